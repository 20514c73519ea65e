"""AHEAD: which of a subject's files is read, where its lines go, and what is refused."""

import numpy as np
import pytest
import torch

from recon.data.ahead import ahead_scan
from recon.errors import ReconError
from recon.mri import fourier
from tests.data.writers import (
    COILS,
    SHAPE,
    centred,
    coil_images,
    damages,
    write_ahead,
    write_ahead_maps,
)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return coil_images()


@pytest.mark.parametrize("first", ["inv1", "inv1_te1"])
def test_recovers_the_coil_images_of_the_image_asked_for(tmp_path, images, first):
    """The first inversion is read under either name, unless the subject names another image.

    Maps and other subjects are in the same folder.
    """
    write_ahead(tmp_path, f"mp2rageme_001_{first}", images)
    echoes = {f"inv2_te{i}": images * np.float32(i + 1) for i in range(1, 5)}
    for image, content in echoes.items():
        write_ahead(tmp_path, f"mp2rageme_001_{image}", content)
    write_ahead(tmp_path, f"mp2rageme_002_{first}", 0.5 * images)
    write_ahead_maps(tmp_path, "001", images)
    for subject, content in {
        "001": images,
        "001:inv1": images,
        "001:inv2_te3": echoes["inv2_te3"],
        "002": 0.5 * images,
    }.items():
        scan = ahead_scan(tmp_path, subject)
        torch.testing.assert_close(
            fourier.ifft(scan.kspace), torch.from_numpy(content), rtol=1e-4, atol=1e-4
        )
        assert scan.kspace.dtype == torch.complex64 and scan.shape == SHAPE and scan.coils == COILS
        assert scan.mask.all() and scan.mask.shape == SHAPE[1:] and scan.name == subject
        assert scan.voxel == pytest.approx((0.7, 0.7, 0.7)) and scan.origin == "measured"
    assert (
        scan.meta["image"] == "inv1"
        and ahead_scan(tmp_path, "001:inv2_te2").meta["image"] == "inv2_te2"
    )


def test_lines_of_zeros_are_not_measured(tmp_path, images):
    """The scan is an ellipse, and its corners are filled with zeros. A noise scan is kept."""
    y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE[1:]), indexing="ij")
    ellipse = y**2 + z**2 <= 1.2
    noise = np.ones((COILS, 50), np.complex64)
    write_ahead(tmp_path, "mp2rageme_001_inv1", images, ellipse, noise)
    scan = ahead_scan(tmp_path, "001")
    assert np.array_equal(scan.mask.numpy(), ellipse) and scan.noise.shape == (COILS, 50)
    torch.testing.assert_close(
        scan.kspace,
        torch.from_numpy(centred(images, (1, 2, 3)) * ellipse).to(torch.complex64),
        rtol=1e-4,
        atol=1e-4,
    )


def test_refuses_damage_and_other_files(tmp_path, images):
    path = write_ahead(tmp_path, "mp2rageme_001_inv1", images)
    for kind in damages(path):
        with pytest.raises(ReconError) as caught:
            ahead_scan(tmp_path, "001")
        assert "\n" not in str(caught.value) and path.name in str(caught.value), kind


def test_refuses_what_is_not_one_image(tmp_path, images):
    for image in ("inv2_te1", "inv2_te2"):
        write_ahead(tmp_path, f"mp2rageme_001_{image}", images)
    for subject, message in {
        "001": "0 files are called mp2rageme_001_inv1",
        "001:inv2": "2 files .* say which",
    }.items():
        with pytest.raises(ReconError, match=message):
            ahead_scan(tmp_path, subject)
    with pytest.raises(ReconError, match="no such folder"):
        ahead_scan(tmp_path / "absent", "001")
    noise = np.random.default_rng(0).standard_normal(images.shape)
    for message, content in {
        "NaN": images * np.nan,
        "no centre along x": centred(noise, (1, 2, 3)),
    }.items():
        path = write_ahead(tmp_path, "mp2rageme_003_inv1", content.astype(np.complex64))
        with pytest.raises(ReconError, match=message) as caught:
            ahead_scan(tmp_path, "003")
        assert "\n" not in str(caught.value) and path.name in str(caught.value)
        path.unlink()
