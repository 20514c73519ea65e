import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from recon import ReconError, phantoms
from recon.data.opening import open_scan
from recon.data.preparation import load_prepared, prepare, support
from recon.data.section import Dataset
from recon.data.simulate import simulate
from recon.mri import coils, fourier, masks
from recon.mri.channels import channels, mixed
from recon.mri.noise import noise_covariance
from recon.mri.problem import undersampled
from recon.mri.resample import crop_kspace
from tests.conftest import complex_normal

SHAPE = (24, 32, 28)


@pytest.fixture(scope="module")
def image():
    return phantoms.subject("knee", 3).render(SHAPE)


@pytest.fixture(scope="module")
def maps():
    return phantoms.coil_maps(6, SHAPE, tuple(5.0 * n for n in SHAPE), phantoms.stream(3, "coils"))


@pytest.fixture(scope="module")
def scan(image):
    return simulate(image, (5.0, 5.0, 5.0), 6, 0.02, seed=3, name="k3", origin="phantom")


@pytest.fixture(scope="module")
def prepared(scan, tmp_path_factory):
    return stored(scan, tmp_path_factory.mktemp("prepared"))


def stored(scan, folder, **options):
    """The volume as it comes back from disk."""
    prepare(scan, folder / "v.h5", {"seed": 3}, **options)
    assert [p.name for p in folder.iterdir()] == ["v.h5"], "nothing else is left"
    return load_prepared(folder / "v.h5")


def test_a_scan_keeps_the_low_frequencies_of_what_its_coils_see(image):
    """Coils act on the finer grid. Without noise, k-space is that of the fine coil images, cropped.

    The truth keeps its amplitude, and its phase encodes beyond the scan's matrix are lost.
    """
    shape, voxel = tuple(n // 2 for n in SHAPE), (5.0, 5.0, 5.0)
    scan = simulate(image, voxel, 3, 0.0, seed=3, name="k3", origin="phantom", shape=shape)
    fov = tuple(v * n for v, n in zip(voxel, SHAPE, strict=True))
    fine = phantoms.coil_maps(3, SHAPE, fov, phantoms.stream(3, "coils")) * image
    expected = fourier.fft(crop_kspace(fine, shape))
    assert scan.shape == shape and scan.voxel == (10.0, 10.0, 10.0)
    assert torch.allclose(scan.kspace, expected, atol=1e-5 * float(expected.abs().max()))
    seen = fine.abs().square().sum(0).sqrt()
    assert scan.truth.abs().mean() == pytest.approx(float(seen.mean()), rel=0.05)


def test_voxels_of_every_size_have_the_noise_that_their_dataset_says():
    """The noise is relative to the image at the voxel size of the dataset; training has its own."""
    options = {"kind": "phantom", "label": "", "anatomy": "knee", "shape": SHAPE, "noise": 0.1}
    for factor in (1.0, 2.0, (1.0, 1.0, 2.0)):
        section = Dataset(
            **options, coils=2, voxel_factor=factor, train=[1], validation=[], test=[3]
        )
        scan = open_scan(section, 3)
        image = torch.view_as_real(scan.truth).square().mean().sqrt()
        assert float(torch.view_as_real(scan.noise).std() / image) == pytest.approx(0.1, rel=0.15)
        assert not open_scan(section, 1).noise.any()


def test_the_object_is_above_the_noise():
    """Background of pure noise is not object, though it exceeds 5 % of the maximum."""
    noise = complex_normal(30, 30, 30, generator=torch.Generator().manual_seed(0)).abs()
    assert float(support(noise, 2**-0.5).float().mean()) < 0.02


def test_simulated_scan_is_the_forward_model(scan, image, maps):
    """K-space is that of image × maps, up to noise of the stated level.

    The noise scan has the same level.
    """
    residual = scan.kspace - torch.stack([fourier.fft(s * image) for s in maps])
    expected = 0.02 * torch.view_as_real(image).std()
    assert torch.view_as_real(residual).std() == pytest.approx(float(expected), rel=0.02)
    assert channels(scan)[1] == pytest.approx(float(expected), rel=0.03)


def test_a_measured_scan_is_whitened_by_its_noise_scan(scan, generator):
    """Correlated noise of unequal coils becomes independent.

    Its variance is 1, summed over both components.
    """
    mixing = torch.eye(6) + 0.5 * torch.rand(6, 6, generator=generator)
    measured = replace(
        scan,
        origin="measured",
        kspace=torch.einsum("ij,jxyz->ixyz", mixing.to(torch.complex64), scan.kspace),
        noise=mixing.to(torch.complex64) @ scan.noise,
    )
    matrix, std = channels(measured)
    white = mixed(measured.noise, matrix)
    assert std == pytest.approx(2**-0.5) and torch.view_as_real(white).std() == pytest.approx(
        std, rel=0.02
    )
    assert torch.allclose(noise_covariance(white), torch.eye(6, dtype=torch.complex64), atol=1e-3)


def test_virtual_coils_keep_white_noise_and_the_object(scan, prepared, tmp_path):
    few = stored(scan, tmp_path, virtual_coils=4)
    assert len(few.kspace) == len(few.maps) == 4 and few.noise == prepared.noise
    inside = prepared.support & few.support
    difference = (few.reference.abs() - prepared.reference.abs())[inside]
    assert difference.norm() < 0.03 * prepared.reference[inside].norm()
    with pytest.raises(ReconError, match="between 1 and 6"):
        stored(scan, tmp_path, virtual_coils=7)
    assert [p.name for p in tmp_path.iterdir()] == ["v.h5"], (
        "a refused preparation leaves what was there"
    )


def test_the_noise_of_virtual_coils_follows_from_that_of_the_channels(scan, generator):
    """Channels are unequal, and there is no noise scan.

    The stated level is the root mean square of the noise of the virtual coils.
    """
    sigma = torch.tensor([1.0, 1, 1, 1, 5, 5])
    noise = sigma[:, None, None, None] * complex_normal(6, *SHAPE, generator=generator) / 2**0.5
    bare = replace(
        scan, origin="measured", noise=None, levels=sigma / 2, kspace=scan.kspace + noise
    )
    matrix, level = channels(bare, 3)
    expected = torch.view_as_real(coils.mix(noise, matrix)).std()
    assert level == pytest.approx(float(expected), rel=0.05)


def test_reference_is_the_truth_with_noise(scan, prepared, image, maps):
    """The magnitude of the MVUE is |image| times the root sum of squares of the maps.

    This is the truth of a simulated scan.
    """
    seen = image.abs() * maps.abs().square().sum(0).sqrt()
    assert torch.allclose(scan.truth.abs(), seen, atol=1e-6)
    inside = seen > 0.2 * seen.max()
    difference = (prepared.reference.abs() - seen)[inside]
    assert difference.norm() < 0.03 * seen[inside].norm()


def test_maps_from_the_centre_of_undersampled_data_are_close_to_those_from_all_data(prepared):
    mask = masks.make("poisson_disc", (32, 28), 4, (10, 10), 0)
    own, full = (
        undersampled(prepared, mask, kind).operator.maps for kind in ("calibration", "full")
    )
    inside = prepared.support & (own.abs().sum(0) > 0)
    assert (own.abs() - full.abs())[:, inside].abs().mean() < 0.02


def test_only_the_mask_is_measured(prepared):
    mask = masks.make("poisson_disc", (32, 28), 4, (10, 10), 0)
    task = undersampled(prepared, mask)
    assert (task.kspace[:, :, ~mask] == 0).all() and (task.kspace[:, :, mask] != 0).any()
    assert torch.allclose(task.kspace / task.scale, prepared.kspace * mask, rtol=1e-4, atol=1e-6)


def test_what_is_stored_is_what_was_computed(scan, prepared):
    """Arrays that are written in parts have the same numbers as whole arrays in memory."""
    assert (
        torch.equal(prepared.kspace, scan.kspace)
        and torch.equal(prepared.truth, scan.truth)
        and torch.equal(prepared.mask, scan.mask)
    )
    maps = coils.espirit(scan.kspace)
    assert torch.equal(prepared.maps, maps) and torch.equal(
        prepared.reference, coils.mvue(scan.kspace, maps)
    )
    truth = scan.truth.abs()
    assert torch.equal(prepared.support, truth > 0.05 * truth.max())
    assert (prepared.voxel, prepared.name, prepared.origin) == (scan.voxel, "k3", "phantom")


def test_arrays_are_stored_in_chunks_of_one_coil(scan, tmp_path):
    stored(scan, tmp_path)
    with h5py.File(tmp_path / "v.h5") as file:
        assert file["kspace"].chunks == file["maps"].chunks == (1, *SHAPE)
        assert json.loads(file.attrs["provenance"])["seed"] == 3


def test_a_reference_may_have_noise_of_its_own(scan, tmp_path):
    """The noise of the reference is uncorrelated with that of the data, both √2 times as strong."""
    bare = replace(scan, origin="measured", truth=None)
    before, after = stored(bare, tmp_path), stored(bare, tmp_path, split_noise=True)
    assert after.noise == pytest.approx(2**0.5 * before.noise)
    data = coils.mvue(after.kspace, after.maps)
    between = (data + after.reference) / 2  # the reference of the data as they were measured
    assert torch.allclose(between, before.reference, atol=1e-4 * float(between.abs().max()))
    fresh = torch.view_as_real(data - before.reference)[before.support].flatten()
    assert fresh.std() == pytest.approx(before.noise, rel=0.05)
    with pytest.raises(ReconError, match="truth of this scan is known; remove split_noise"):
        prepare(scan, tmp_path / "w.h5", {}, split_noise=True)


def test_a_training_volume_keeps_its_reference_only(scan, prepared, tmp_path):
    back = stored(scan, tmp_path, reference_only=True)
    assert (
        back.kspace is None
        and torch.equal(back.reference, prepared.reference)
        and back.hash == prepared.hash
    )
    with pytest.raises(ReconError, match="only the reference"):
        undersampled(back, torch.ones(32, 28, dtype=torch.bool))


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_a_damaged_file_is_refused(tmp_path, content):
    (tmp_path / "v.h5").write_bytes(content)
    with pytest.raises(ReconError, match="not a prepared volume"):
        load_prepared(tmp_path / "v.h5")


def test_identical_scans_have_one_hash_and_different_ones_do_not(scan, prepared, image, tmp_path):
    assert stored(scan, tmp_path).hash == prepared.hash
    other = simulate(image, scan.voxel, 6, 0.02, seed=4, name="k3", origin="phantom")
    assert stored(other, tmp_path).hash != prepared.hash
    assert np.isfinite(prepared.noise)
