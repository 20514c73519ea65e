from dataclasses import replace

import numpy as np
import pytest
import torch

from recon import ReconError, coils, fourier, masks, phantoms
from recon.data.prepare import load, prepare, problem, save, whitened
from recon.data.simulate import simulate

SHAPE = (24, 32, 28)


@pytest.fixture(scope="module")
def image():
    return phantoms.subject("knee", 3).render(SHAPE)


@pytest.fixture(scope="module")
def maps():
    return phantoms.coil_maps(6, SHAPE, tuple(5.0 * n for n in SHAPE), 3)


@pytest.fixture(scope="module")
def scan(image):
    return simulate(image, (5.0, 5.0, 5.0), 6, 0.02, seed=3, name="k3", origin="phantom")


@pytest.fixture(scope="module")
def prepared(scan):
    return prepare(scan)


def test_simulated_scan_is_the_forward_model(scan, image, maps):
    """k-space is that of image × maps, up to noise of the stated level, which the noise scan shows."""
    residual = scan.kspace - torch.stack([fourier.fft(s * image) for s in maps])
    expected = 0.02 * torch.view_as_real(image).std()
    assert torch.view_as_real(residual).std() == pytest.approx(float(expected), rel=0.02)
    assert whitened(scan)[1] == pytest.approx(float(expected), rel=0.03)


def test_a_measured_scan_is_whitened_by_its_noise_scan(scan, generator):
    """Correlated noise of unequal coils becomes independent, with unit variance over both components."""
    mixing = torch.eye(6) + 0.5 * torch.rand(6, 6, generator=generator)
    mixed = replace(
        scan,
        origin="measured",
        kspace=torch.einsum("ij,jxyz->ixyz", mixing.to(torch.complex64), scan.kspace),
        noise=mixing.to(torch.complex64) @ scan.noise,
    )
    kspace, std = whitened(mixed)
    ratio = coils.whiten(mixed.noise, coils.noise_covariance(mixed.noise))
    assert std == pytest.approx(2**-0.5) and torch.view_as_real(ratio).std() == pytest.approx(std, rel=0.02)
    assert kspace.shape == scan.kspace.shape and not torch.allclose(kspace, mixed.kspace)


def test_reference_is_the_truth_with_noise(scan, prepared, image, maps):
    """The magnitude of the MVUE is |image| times the root sum of squares of the maps: what is called the truth of a simulated scan."""
    seen = image.abs() * maps.abs().square().sum(0).sqrt()
    assert torch.allclose(scan.truth.abs(), seen, atol=1e-6)
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
    for name in ("kspace", "mask", "maps", "reference", "truth"):
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


def test_identical_scans_have_one_hash_and_different_ones_do_not(scan, prepared, image):
    assert prepare(scan).hash == prepared.hash
    other = simulate(image, scan.voxel, 6, 0.02, seed=4, name="k3", origin="phantom")
    assert prepare(other).hash != prepared.hash
    assert np.isfinite(prepared.noise)
