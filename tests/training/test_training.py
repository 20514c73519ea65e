import json

import pytest
import torch

from recon import ReconError
from recon.mri.prepared import Prepared
from recon.mri.resample import crop_kspace, trilinear
from recon.mri.slices import spread
from recon.networks.unet import UNet, UNetConfig
from recon.networks.weights import load_weights, save_weights
from recon.priors.ddpm import DDPM, DDPMTraining
from recon.priors.validation import denoising_error
from recon.training.loop import averaged, begun_with, learning_rate, run_key, train_network
from recon.training.slices import DiverseSource, SliceSource, scaled_shape
from tests.conftest import complex_normal
from tests.gaussian import GaussianPrior

NETWORK = UNetConfig(channels=16, multipliers=(1, 2), attention=(1,), patch=2)


def smooth_volumes(generator, count=2):
    return [
        torch.fft.ifftn(complex_normal(2, 2, 2, generator=generator), s=(12, 16, 10))
        for _ in range(count)
    ]


def train_on(volumes, settings, checkpoint):
    """Trains on references alone, and validates on the same."""
    about = {"noise": 0.0, "voxel": (1.0, 1.0, 1.0), "name": "", "origin": "phantom", "hash": ""}
    held = [Prepared(None, v[0].abs() >= 0, None, v, v.abs() > 0, **about) for v in volumes]
    return train_network(settings, held, held, checkpoint)


def test_slices_come_from_all_three_planes_at_unit_scale(generator):
    volumes = [100 * complex_normal(8, 12, 10, generator=generator)]
    source = SliceSource(volumes)
    batches = [source.batch(4, generator) for _ in range(60)]
    assert {tuple(b.shape[2:]) for b in batches} == {(12, 10), (8, 10), (8, 12)}
    assert float(torch.cat([b.flatten() for b in batches]).std()) == pytest.approx(1, rel=0.02)


def test_empty_slices_are_left_out(generator):
    volume = complex_normal(8, 12, 10, generator=generator)
    volume[:3] = 0
    source = SliceSource([volume])
    assert {index for _, index in source.entries[(0, 12, 10)]} == set(range(3, 8))


def test_global_phase_is_random(generator):
    source = SliceSource([torch.ones(4, 4, 4, dtype=torch.complex64)])
    phases = torch.view_as_complex(source.batch(500, generator).movedim(1, -1).contiguous())[
        :, 0, 0
    ].angle()
    assert phases.min() < -2.9 and phases.max() > 2.9 and abs(float(phases.mean())) < 0.3


@pytest.mark.parametrize(
    ("resampling", "resample"), [("kspace", crop_kspace), ("trilinear", trilinear)]
)
def test_diverse_slices_are_those_of_the_resampled_volume(resampling, resample, generator):
    """Volumes are resampled along all three axes with anti-aliasing.

    The slice lies where the one of the full volume does.
    """
    volume = smooth_volumes(generator, 1)[0]
    source = DiverseSource([volume], (0.3, 1.0), resampling=resampling)
    for factor in (0.3, 0.5, 0.83, 1.0):
        coarse = resample(source.volumes[0], scaled_shape(volume.shape, factor))
        for axis in range(3):
            place = coarse.shape[axis] // 2
            index = int((place + 0.5) * volume.shape[axis] / coarse.shape[axis])
            found = source._slice(0, index, axis, factor)
            assert torch.allclose(found, coarse.select(axis, place) / spread(coarse), atol=0.02)


def test_what_lies_outside_the_object_stays_zero(generator):
    """References are zero where the coils see nothing, at every voxel size.

    Cropping k-space alone would leave ringing there.
    """
    volume = complex_normal(16, 16, 16, generator=generator)
    volume[:, :6] = 0
    found = DiverseSource([volume], (0.3, 1.0))._slice(0, 8, 0, 0.5)
    assert found.shape == (8, 8) and not found[:2].any() and found[4:].all()


def test_diverse_batches_have_a_voxel_size_of_their_own(generator):
    """The factor is uniform over its range, and drawn anew for every batch.

    Slices stay at the scale of the prior.
    """
    source = DiverseSource(
        [complex_normal(1, 1, 1, generator=generator).expand(40, 40, 40).clone()], (0.1, 1.0)
    )
    sizes = torch.tensor([source.batch(3, generator).shape[-1] for _ in range(300)]) / 40
    assert sizes.min() < 0.15 and sizes.max() > 0.95 and abs(float(sizes.mean()) - 0.55) < 0.04


def test_voxel_sizes_held_out_are_never_drawn(generator):
    """What remains of the range is drawn uniformly, on both sides of the gap."""
    volume = complex_normal(1, 1, 1, generator=generator).expand(40, 40, 40).clone()
    source = DiverseSource([volume], (0.1, 1.0), (0.4, 0.65))
    sizes = torch.tensor([source.batch(2, generator).shape[-1] for _ in range(300)]) / 40
    assert not ((sizes > 0.41) & (sizes < 0.64)).any()
    assert abs(float((sizes < 0.5).float().mean()) - 0.3 / 0.65) < 0.09


def test_ema_follows_its_warm_up():
    average, network = UNet(NETWORK), UNet(NETWORK)
    for net, value in ((average, 0.0), (network, 1.0)):
        for parameter in net.parameters():
            torch.nn.init.constant_(parameter, value)
    ema = averaged(average, rate=0.999)
    for expected in (0.9, 1 - 0.1 * 2 / 11):  # keeps min(0.999, (1 + n)/(10 + n)): 1/10, then 2/11
        ema.update_parameters(network)
        assert float(next(ema.parameters()).detach().flatten()[0]) == pytest.approx(expected)


def test_learning_rate_schedule():
    config = DDPMTraining(steps=1000, learning_rate=1.0, warmup=100)
    assert learning_rate(0, config) == pytest.approx(0.01, rel=1e-3)
    assert learning_rate(500, config) == pytest.approx(0.5)
    assert learning_rate(999, config) < 1e-4
    assert learning_rate(999, DDPMTraining(steps=1000, learning_rate=1.0, decay="constant")) == 1.0


def test_denoising_error_of_a_known_prior(generator):
    """For unit Gaussian data and the matching prior the error is σ² / (1 + σ²)."""
    errors = denoising_error(
        GaussianPrior(), [complex_normal(16, 20, 24, generator=generator)], slices=60
    )
    for sigma, error in errors.items():
        assert error == pytest.approx(float(sigma) ** 2 / (1 + float(sigma) ** 2), rel=0.05)
    assert denoising_error(GaussianPrior(), []) == {}  # nothing was kept for validation


def test_training_learns_and_a_killed_run_resumes_bit_for_bit(tmp_path, generator):
    volumes = smooth_volumes(generator)
    config = DDPMTraining(
        steps=40, batch=4, check_every=20, learning_rate=2e-3, warmup=5, network=NETWORK
    )
    whole, log = train_on(volumes, config, tmp_path / "whole.ckpt")
    assert log[-1]["mse"]["1"] < 0.95 * log[0]["mse"]["1"] < 0.95  # untrained: σ² = 1

    class Killed(Exception):
        pass

    def killing_track(items, *args, **kwargs):
        for number, item in enumerate(items):
            if number == 25:
                raise Killed
            yield item

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recon.training.loop.track", killing_track)
        with pytest.raises(Killed):
            train_on(volumes, config, tmp_path / "killed.ckpt")
    resumed, log = train_on(volumes, config, tmp_path / "killed.ckpt")
    for a, b in zip(whole.network.parameters(), resumed.network.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [entry["step"] for entry in log] == [20, 40]
    assert json.loads((tmp_path / "killed.jsonl").read_text().splitlines()[1])["step"] == 40


def test_training_goes_on_from_given_weights(tmp_path, generator):
    """The first model has them; weights of another architecture are refused."""
    settings = DDPMTraining(network=NETWORK, starts_from=str(tmp_path / "w.safetensors"))
    save_weights(tmp_path / "w.safetensors", settings, DDPM(UNet(NETWORK)), {})
    first = load_weights(tmp_path / "w.safetensors")[0]
    found, known = begun_with(DDPM(UNet(NETWORK)), first).state_dict(), first.state_dict()
    assert all(torch.equal(found[name], known[name]) for name in known)
    assert run_key(settings, [], "c", "one") != run_key(settings, [], "c", "another")
    wider = NETWORK.model_copy(update={"channels": 2 * NETWORK.channels})
    with pytest.raises(ReconError, match="another architecture"):
        begun_with(DDPM(UNet(wider)), first)


def test_a_checkpoint_of_another_network_is_not_used(tmp_path, generator, capsys):
    """Nor does it change the first weights."""
    volumes, wide = smooth_volumes(generator, 1), UNetConfig(channels=32, multipliers=(1,))
    train_on(volumes, DDPMTraining(steps=1, batch=1, network=NETWORK), tmp_path / "run.ckpt")
    other = DDPMTraining(steps=2, batch=1, network=wide)
    found = train_on(volumes, other, tmp_path / "run.ckpt")[0].state_dict()
    known = train_on(volumes, other, tmp_path / "other.ckpt")[0].state_dict()
    assert "belongs to another network" in capsys.readouterr().err
    assert all(torch.equal(found[name], known[name]) for name in known)


def test_a_run_is_named_by_all_it_depends_on():
    config = DDPMTraining(network=NETWORK)
    keys = {
        run_key(config, ["a", "b"], "c"),
        run_key(config, ["a"], "c"),
        run_key(config, ["a", "b"], "d"),
    }
    keys.add(run_key(DDPMTraining(network=NETWORK, seed=1), ["a", "b"], "c"))
    assert len(keys) == 4 and run_key(config, ["a", "b"], "c") in keys


def test_two_dimensional_volumes_give_slices_of_their_one_plane(generator):
    assert SliceSource([complex_normal(8, 12, 1, generator=generator)]).batch(
        3, generator
    ).shape == (3, 2, 8, 12)


def test_no_volumes_is_refused():
    with pytest.raises(ReconError, match="no training volumes"):
        SliceSource([])


def test_slices_of_chosen_planes_only(generator):
    """Planes are told apart by their shapes; a 2D scan has slices across one axis alone."""
    volume = complex_normal(8, 12, 16, generator=generator)
    shapes = {tuple(SliceSource([volume], [a]).batch(2, generator).shape[2:]) for a in (0, 2)}
    assert shapes == {(12, 16), (8, 12)}
    assert tuple(DiverseSource([volume], (1.0, 1.0), axes=[1]).batch(1, generator).shape[2:]) == (
        8,
        16,
    )
    with pytest.raises(ReconError, match=r"no training slices across the axes \[0\]"):
        SliceSource([complex_normal(8, 12, 1, generator=generator)], [0])
