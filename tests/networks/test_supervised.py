"""Networks that reconstruct: their pairs, their data step, and a training that helps."""

import dataclasses

import pytest
import torch

from recon import ReconError
from recon.methods import lookup, reconstruct
from recon.mri import fourier, masks
from recon.mri.masks import Mask
from recon.mri.prepared import Prepared
from recon.mri.problem import pose
from recon.mri.sense import Sense
from recon.mri.solvers import conjugate_gradient
from recon.networks import trained
from recon.networks.fastmri_unet import FastmriUNet, FastmriUNetConfig, FastmriUNetTraining
from recon.networks.modl import DataStep, Modl, ModlConfig, ModlTraining
from recon.networks.supervised import PairSource, across, check_reconstruction
from recon.networks.weights import load_weights, save_weights
from recon.training.loop import train_network
from tests.conftest import complex_normal
from tests.mri.test_coils import simulate

MASK = {"kind": "poisson_disc", "calibration": (6, 6)}
COMMON = {"steps": 60, "batch": 6, "check_every": 60, "warmup": 5, "learning_rate": 2e-3}
COMMON |= {"mask": MASK, "accelerations": [3], "maps": "full"}
UNET = FastmriUNetTraining(**COMMON, network=FastmriUNetConfig(channels=8, pools=2))
MODL = ModlTraining(
    **COMMON, network=ModlConfig(channels=16, layers=3, unrolled=2, cg_iterations=4)
)


def prepared(shape=(12, 20, 18), seed=0):
    kspace, maps, image, inside = simulate(shape, count=4, noise=0, grain=0.1, seed=seed)
    return Prepared(
        kspace=kspace,
        mask=torch.ones(shape[1:], dtype=torch.bool),
        maps=maps,
        reference=(maps.conj() * fourier.ifft(kspace)).sum(0),
        support=inside,
        noise=0.0,
        voxel=(1.0, 1.0, 1.0),
        name=f"{seed}",
        origin="phantom",
        hash=f"{seed}",
    )


@pytest.mark.parametrize("lines", [False, True])
def test_a_pair_is_part_of_the_scan(lines, generator):
    """Slices of a pair pose the problem that the whole scan poses there.

    They lie across the readout, or across z where whole lines along z are measured.
    """
    volume, places = prepared(), [2, 3, 7]
    kind, axis = ("uniform_1d", 2) if lines else ("poisson_disc", 0)
    settings = UNET.model_copy(update={"mask": Mask(kind=kind, calibration=(6, 6))})
    pair = PairSource([volume], settings, "cpu").pair(0, 3, 5, places)
    mask = masks.make(kind, (20, 18), 3, (6, 6), seed=5)
    whole = pose(volume.kspace, mask, 0.0, volume.voxel, volume.maps)
    assert across(whole.operator) == across(pair.problem.operator) == axis
    index = torch.tensor(places)
    ratio = pair.problem.scale / whole.scale
    expected = ratio * whole.rhs.index_select(axis, index)
    assert torch.allclose(pair.problem.rhs, expected, atol=1e-4)
    image = pair.problem.scale * volume.reference.index_select(axis, index)
    assert torch.allclose(pair.target, image, atol=1e-3)
    one = complex_normal(*pair.target.shape, generator=generator)
    every = torch.zeros_like(whole.rhs).index_copy(axis, index, one)
    expected = whole.operator.normal(every).index_select(axis, index)
    assert torch.allclose(pair.problem.operator.normal(one), expected, atol=1e-4)


def test_the_target_has_the_phase_of_the_maps():
    """The truth of a simulation has its own phase, with which no network could fit the data."""
    volume = prepared()
    turned = dataclasses.replace(volume, truth=1j * volume.reference)
    pair = PairSource([turned], UNET, "cpu").pair(0, 3, 5, [4])
    assert torch.allclose(pair.target, pair.problem.scale * volume.reference[[4]], atol=1e-3)


def test_maps_and_noise_are_those_of_a_test():
    """From the centre that every mask holds, with the noise of the scan."""
    kspace, maps, image, inside = simulate((12, 20, 18), count=4, noise=0.05, grain=0.1)
    volume = dataclasses.replace(prepared(), kspace=kspace, noise=0.05 * 2**-0.5)
    settings = UNET.model_copy(update={"maps": "calibration"})
    pair = PairSource([volume], settings, "cpu").pair(0, 3, 5)
    mask = masks.poisson_disc((20, 18), 3, (6, 6), seed=5)
    tested = pose(kspace, mask, volume.noise, volume.voxel)
    near = (pair.problem.operator.maps - tested.operator.maps).norm()
    assert near < 0.25 * tested.operator.maps.norm()
    assert pair.problem.noise == pytest.approx(tested.noise, rel=0.1)


def test_what_a_network_does_not_know_is_refused(generator):
    maps = complex_normal(2, 3, 8, 10, 1, generator=generator)
    two = Sense(maps, torch.ones(10, 1, dtype=torch.bool))
    with pytest.raises(ReconError, match="one set of maps"):
        across(two)
    stack = Sense(maps[0].expand(3, 8, 10, 4).contiguous(), torch.rand(10, 4) < 0.5, stack=True)
    assert across(stack) == 2


def test_draws_differ_and_repeat():
    source = PairSource([prepared(), prepared(seed=1)], UNET, "cpu")
    generator = torch.Generator().manual_seed(0)
    first, second = source.batch(4, generator), source.batch(4, generator)
    assert not torch.equal(first.problem.operator.mask, second.problem.operator.mask)
    again = source.batch(4, torch.Generator().manual_seed(0))
    assert torch.equal(first.problem.kspace, again.problem.kspace)
    with pytest.raises(ReconError, match="references alone"):
        PairSource([dataclasses.replace(prepared(), kspace=None, maps=None)], UNET, "cpu")


def test_gradient_of_the_data_step(generator):
    """Against finite differences in double precision, for z and λ."""
    root = torch.randn(6, 6, 2, dtype=torch.float64, generator=generator)
    root = torch.view_as_complex(root)
    matrix = root.mH @ root / 6
    rhs, z = torch.view_as_complex(
        torch.randn(2, 6, 2, dtype=torch.float64, generator=generator)
    ).unbind()

    def step(z, weight):
        return DataStep.apply(z, weight, lambda v: matrix @ v, rhs, 50, 1e-14)

    weight = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    exact = torch.linalg.solve(matrix + 0.3 * torch.eye(6), rhs + 0.3 * z)
    assert torch.allclose(step(z, weight), exact)
    assert torch.autograd.gradcheck(step, (z.requires_grad_(), weight))


def test_modl_begins_with_data_steps_alone():
    """Its network starts as the identity, so that it is CG-SENSE with a proximal term."""
    pair = PairSource([prepared()], MODL, "cpu").pair(0, 3, 5, list(range(12)))
    model = trained.build(MODL).eval()
    operator, x = pair.problem.operator, pair.problem.rhs
    for _ in range(2):
        inside = operator.support * x
        x = conjugate_gradient(
            lambda v: operator.normal(v) + 0.05 * v, pair.problem.rhs + 0.05 * inside, inside, 4
        )
    with torch.no_grad():
        assert torch.allclose(model.reconstruct(pair.problem), x, atol=1e-4)


@pytest.mark.parametrize("size", [(20, 18), (13, 22), (9, 9)])
def test_networks_keep_any_size(size, generator):
    for net, channels in ((FastmriUNet(UNET.network), 1), (Modl(MODL.network), 2)):
        net.eval()
        x = 5 + 3 * torch.randn(3, channels, *size, generator=generator)
        found = net(x)
        assert found.shape == x.shape
        single = torch.cat([net(one) for one in x.split(1)])
        assert torch.allclose(found, single, atol=1e-4)  # slices do not see each other


@pytest.mark.parametrize("settings", [UNET, MODL], ids=["unet", "modl"])
def test_training_helps_and_survives_the_file(settings, tmp_path):
    """A short training beats its start on a volume that it does not see; weights come back."""
    volumes, held = [prepared(seed=s) for s in range(3)], [prepared(seed=9)]
    torch.manual_seed(settings.seed)
    start = check_reconstruction(trained.build(settings), held, settings)["R = 3"]
    model, log = train_network(settings, volumes, held, tmp_path / "x.ckpt")
    assert log[-1]["mse"]["R = 3"] < 0.9 * start
    save_weights(tmp_path / "x.safetensors", settings, model, {})
    loaded, _ = load_weights(tmp_path / "x.safetensors")
    error = check_reconstruction(loaded, held, settings)["R = 3"]
    assert error == pytest.approx(log[-1]["mse"]["R = 3"], rel=0.05)
    problem = pose(held[0].kspace, masks.poisson_disc((20, 18), 3, (6, 6)), 0.0, (1.0, 1.0, 1.0))
    name = settings.kind
    found = reconstruct(problem, name, loaded)
    assert found.shape == problem.operator.shape
    assert lookup(name).needs == {"network": name}
    with pytest.raises(ReconError, match="needs a network of kind"):
        reconstruct(problem, "modl" if name == "fastmri_unet" else "fastmri_unet", loaded)


@pytest.mark.parametrize("settings", [UNET, MODL], ids=["unet", "modl"])
def test_a_single_slice(settings, generator):
    """A 2D scan is one slice across z."""
    kspace, maps, _, _ = simulate((20, 24, 1), count=3)
    problem = pose(kspace, masks.uniform_1d((24, 1), 2, (6, 1)), 0.0, (1.0, 1.0, 1.0), maps)
    found = reconstruct(problem, settings.kind, trained.build(settings).eval())
    assert found.shape == (20, 24, 1)
    assert fourier.fft(found).isfinite().all()


def test_lines_of_a_scan_that_was_measured_in_an_ellipse_are_no_lines():
    """Then the slices across z are not measured alike, and a network would cut the other way."""
    y, z = torch.linspace(-1, 1, 20)[:, None], torch.linspace(-1, 1, 18)
    volume = dataclasses.replace(prepared(), mask=y**2 + z**2 < 1.1)
    settings = UNET.model_copy(update={"mask": Mask(kind="uniform_1d", calibration=(6, 6))})
    with pytest.raises(ReconError, match="masks uniform_1d at R = 3 slices depend on one another"):
        PairSource([volume], settings, "cpu").pair(0, 3, 5)
