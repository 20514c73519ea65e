import numpy as np
import pytest
import torch

from recon import ReconError, fourier, masks, phantoms
from recon.data.prepare import load, noise_of, prepare, problem, save
from recon.data.simulate import simulate


@pytest.fixture(scope="module")
def scan():
    shape = (24, 32, 28)
    image = phantoms.subject("knee", 3).render(shape)
    return simulate(image, (5.0, 5.0, 5.0), 6, 0.02, seed=3, name="k3", origin="phantom")


@pytest.fixture(scope="module")
def prepared(scan):
    return prepare(scan)


def test_simulated_scan_is_the_forward_model(scan):
    """k-space is that of truth × maps, up to noise of the stated level."""
    fov = tuple(5.0 * n for n in scan.shape)
    maps = phantoms.coil_maps(6, scan.shape, fov, 3)
    residual = scan.kspace - torch.stack([fourier.fft(s * scan.truth) for s in maps])
    expected = 0.02 * torch.view_as_real(scan.truth).std()
    assert torch.view_as_real(residual).std() == pytest.approx(float(expected), rel=0.02)
    assert noise_of(scan) == pytest.approx(float(expected), rel=0.03)


def test_reference_is_the_object_seen_through_the_coils(scan, prepared):
    """The magnitude of the MVUE is |truth| times the root sum of squares of the maps, inside the object."""
    fov = tuple(5.0 * n for n in scan.shape)
    seen = scan.truth.abs() * phantoms.coil_maps(6, scan.shape, fov, 3).abs().square().sum(0).sqrt()
    inside = seen > 0.2 * seen.max()
    difference = (prepared.reference.abs() - seen)[inside]
    assert difference.norm() < 0.03 * seen[inside].norm()


def test_maps_from_the_centre_of_undersampled_data_are_close_to_those_from_all_data(prepared):
    mask = masks.make("poisson_disc", (32, 28), 4, (10, 10), 0)
    own, full = (problem(prepared, mask, kind).operator.maps for kind in ("calibration", "full"))
    inside = prepared.support & (own.abs().sum(0) > 0)
    assert (own.abs() - full.abs())[:, inside].abs().mean() < 0.02


def test_only_the_mask_is_measured(prepared):
    mask = masks.make("poisson_disc", (32, 28), 4, (10, 10), 0)
    task = problem(prepared, mask)
    assert (task.kspace[:, :, ~mask] == 0).all() and (task.kspace[:, :, mask] != 0).any()
    assert torch.allclose(task.kspace / task.scale, prepared.kspace * mask, rtol=1e-4, atol=1e-6)


def test_round_trip(prepared, tmp_path):
    save(tmp_path / "v.h5", prepared, {"seed": 3})
    back = load(tmp_path / "v.h5")
    for name in ("kspace", "mask", "maps", "reference"):
        assert torch.equal(getattr(back, name), getattr(prepared, name))
    assert (back.voxel, back.name, back.origin, back.hash) == (prepared.voxel, "k3", "phantom", prepared.hash)
    assert back.noise == pytest.approx(prepared.noise)


def test_a_training_volume_keeps_its_reference_only(prepared, tmp_path):
    save(tmp_path / "v.h5", prepared, {}, reference_only=True)
    back = load(tmp_path / "v.h5")
    assert back.kspace is None and torch.equal(back.reference, prepared.reference)
    with pytest.raises(ReconError, match="only the reference"):
        problem(back, torch.ones(32, 28, dtype=torch.bool))


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "v.h5").write_bytes(content)
    with pytest.raises(ReconError, match="not a prepared volume"):
        load(tmp_path / "v.h5")


def test_identical_scans_have_one_hash_and_different_ones_do_not(scan, prepared):
    assert prepare(scan).hash == prepared.hash
    other = simulate(scan.truth, scan.voxel, 6, 0.02, seed=4, name="k3", origin="phantom")
    assert prepare(other).hash != prepared.hash
    assert np.isfinite(prepared.noise)
