"""Calgary-Campinas: the hybrid axis, the transform without shifts, sampling, and refusals."""

import h5py
import numpy as np
import pytest
import torch

from recon.data.calgary import calgary_scan
from recon.errors import ReconError
from recon.mri import fourier
from tests.data.writers import COILS, SHAPE, centred, coil_images, damages, hybrid, write_calgary

NAME = "e14089s3_P53248"
NX, NY, NZ = SHAPE
FACTOR = (NY * NZ) ** 0.5  # the makers transform without a factor, and back with 1 / n


@pytest.mark.parametrize("shape", [SHAPE, (12, 9, 18), (9, 10, 15)])
@pytest.mark.parametrize(
    "options", [{}, {"chunks": (1, 3, 5, 2)}, {"chunks": (12, 9, 15, 2), "compression": "gzip"}]
)
def test_recovers_the_coil_images(tmp_path, shape, options):
    """Nothing is flipped, shifted or transposed, for even and odd sizes and any chunks.

    The amplitude is right up to the factor that the reader's docstring states.
    """
    images = coil_images(shape)
    options = {
        k: tuple(map(min, v, (*shape, 2 * COILS))) if k == "chunks" else v
        for k, v in options.items()
    }
    write_calgary(tmp_path / "Train", NAME, hybrid(images, shape[2]), **options)
    scan = calgary_scan(tmp_path, NAME)
    expected = torch.from_numpy(images * np.float32((shape[1] * shape[2]) ** 0.5))
    torch.testing.assert_close(fourier.ifft(scan.kspace), expected, rtol=1e-4, atol=1e-4 * FACTOR)
    assert scan.kspace.dtype == torch.complex64 and scan.shape == shape and scan.coils == COILS
    assert scan.mask.all() and scan.mask.shape == shape[1:]
    assert scan.voxel == (1.0, 1.0, 1.0) and scan.name == NAME and scan.origin == "measured"


def test_the_makers_reference_is_the_same_image(tmp_path):
    """The challenge was scored with the root sum of squares of `ifft2` of the file."""
    parts = hybrid(coil_images(), NZ)
    channels = np.fft.ifft2(parts[..., ::2] + 1j * parts[..., 1::2], axes=(1, 2))
    reference = np.sqrt((np.abs(channels) ** 2).sum(-1))
    write_calgary(tmp_path, NAME, parts)
    ours = fourier.ifft(calgary_scan(tmp_path, NAME).kspace).abs().square().sum(0).sqrt() / FACTOR
    torch.testing.assert_close(ours, torch.from_numpy(reference).float(), rtol=1e-4, atol=1e-4)


def test_the_sign_of_the_images_does_not_alternate(tmp_path):
    """The phase of a real object is flat; in `ifft2` of the file its sign alternates."""
    real = np.abs(coil_images()).astype(np.complex64)
    write_calgary(tmp_path, NAME, hybrid(real, NZ))
    image = fourier.ifft(calgary_scan(tmp_path, NAME).kspace)
    assert (
        image.real.min() > -1e-3 * image.abs().max()
        and image.imag.abs().max() < 1e-3 * image.abs().max()
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_unsampled_end_of_kz_is_not_measured(tmp_path, dtype):
    """85 % of 16 planes were sampled; what rounding left in the others is removed."""
    sampled, images = 14, coil_images()
    write_calgary(tmp_path, NAME, hybrid(images, sampled, dtype))
    scan = calgary_scan(tmp_path, NAME)
    expected = centred(images * np.float32(FACTOR), (1, 2, 3))
    expected[..., sampled:] = 0
    torch.testing.assert_close(
        scan.kspace, torch.from_numpy(expected), rtol=1e-4, atol=1e-4 * FACTOR
    )
    assert torch.equal(scan.mask, (torch.arange(NZ) < sampled).expand(NY, NZ))
    assert scan.meta["kz planes sampled"] == f"{sampled} of {NZ}"


def test_an_undersampled_file_has_its_mask(tmp_path):
    """Exact zeros were not measured, as in the test set of the challenge."""
    keep = np.random.default_rng(0).random((NY, NZ)) < 0.6
    keep[3:7, 5:11] = True
    keep[0] = True  # no plane is empty
    write_calgary(tmp_path, NAME, hybrid(coil_images(), NZ) * keep[..., None])
    assert np.array_equal(calgary_scan(tmp_path, NAME).mask.numpy(), keep)


def test_refuses_damage_and_other_files(tmp_path):
    path = write_calgary(tmp_path, NAME, hybrid(coil_images(), NZ))
    for kind in damages(path):
        with pytest.raises(ReconError) as caught:
            calgary_scan(tmp_path, NAME)
        assert "\n" not in str(caught.value) and path.name in str(caught.value), kind
    with pytest.raises(ReconError, match="0 files .* named absent"):
        calgary_scan(tmp_path, "absent")


def test_refuses_other_layouts(tmp_path):
    good = hybrid(coil_images(), NZ)
    spread = np.random.default_rng(0).standard_normal(good.shape).astype(np.float32)
    cases = {
        "expected real": good + 0j,
        "expected real .*coils": good[..., :-1],
        "expected real .x": good[0],
        "int64 of shape": good.astype(np.int64),
        "NaN": np.where(np.arange(NZ)[:, None] == 3, np.nan, good),
        "NaN or infinite": good.astype(np.float64) * 1e300,
        "no centre along": spread,
        "no centre": 0 * good,
    }
    for message, parts in cases.items():
        path = write_calgary(tmp_path, NAME, parts)
        with pytest.raises(ReconError, match=message) as caught:
            calgary_scan(tmp_path, NAME)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)
    with h5py.File(path, "w") as file:  # claims 15 GB, holds nothing
        file.create_dataset("kspace", (256, 218, 1700, 40), np.float32)
    with pytest.raises(ReconError, match="more than the file can hold"):
        calgary_scan(tmp_path, NAME)
