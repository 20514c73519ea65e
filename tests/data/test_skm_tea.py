"""SKM-TEA: the hybrid axis, the echoes, the padding, and what is refused."""

import h5py
import numpy as np
import pytest
import torch

from recon.data.skm_tea import skm_tea_scan
from recon.errors import ReconError
from recon.mri import fourier
from tests.data.writers_gated import to_kspace, write_skm_tea
from tests.io.io_files import NX, NY, NZ, coil_images


@pytest.fixture(scope="module")
def echoes() -> list[np.ndarray]:
    first = coil_images()
    return [
        first,
        np.roll(first, 2, 1) * np.exp(1j * np.arange(NY) / 5).astype(np.complex64)[:, None],
    ]


@pytest.mark.parametrize(
    "options", [{}, {"chunks": (5, 10, 7, 1, 3)}, {"chunks": (1, 5, 7, 2, 1), "compression": "lzf"}]
)
def test_either_echo_recovers_its_coil_images(tmp_path, echoes, options):
    """This holds for any chunks of the file."""
    write_skm_tea(tmp_path / "v1-release", "MTR_001", echoes, **options)
    for subject, images in {
        "MTR_001": echoes[0],
        "MTR_001:1": echoes[0],
        "MTR_001:2": echoes[1],
    }.items():
        scan = skm_tea_scan(tmp_path, subject)
        torch.testing.assert_close(
            fourier.ifft(scan.kspace), torch.from_numpy(images), rtol=1e-4, atol=1e-4
        )
        assert scan.mask.all() and scan.shape == (NX, NY, NZ) and scan.origin == "measured"
        assert scan.voxel == pytest.approx((0.3125, 0.3125, 0.8)) and scan.name == subject
    assert scan.meta["echo"] == 2


def test_corners_and_padding_are_not_measured(tmp_path, echoes):
    y, z = np.meshgrid((np.arange(NY) - NY // 2) / 4, (np.arange(NZ) - NZ // 2) / 3, indexing="ij")
    ellipse = y**2 + z**2 <= 1
    write_skm_tea(tmp_path, "MTR_001", echoes, ellipse)
    scan = skm_tea_scan(tmp_path, "MTR_001")
    assert np.array_equal(scan.mask.numpy(), ellipse)
    expected = (to_kspace(echoes[0], (1, 2, 3)) * ellipse).astype(np.complex64)
    torch.testing.assert_close(scan.kspace, torch.from_numpy(expected), rtol=1e-4, atol=1e-4)


def test_a_smaller_matrix_is_the_centre_of_kspace_in_the_same_field_of_view(tmp_path, echoes):
    write_skm_tea(tmp_path, "MTR_001", echoes, chunks=(5, 10, 7, 1, 3))
    whole, small = (
        skm_tea_scan(tmp_path, "MTR_001:2"),
        skm_tea_scan(tmp_path, "MTR_001:2", (6, 5, 4)),
    )
    torch.testing.assert_close(
        small.kspace, fourier.crop(whole.kspace, (6, 5, 4)), rtol=1e-4, atol=1e-4
    )
    assert small.voxel == pytest.approx((0.3125 * NX / 6, 0.3125 * NY / 5, 0.8 * NZ / 4))


def test_refusals_are_one_line_that_names_the_file(tmp_path, echoes):
    good = write_skm_tea(tmp_path, "MTR_001", echoes)
    for name, content in {
        "empty": b"",
        "text": b"no HDF5\n" * 40,
        "cut": good.read_bytes()[:4000],
    }.items():
        (good.parent / f"{name}.h5").write_bytes(content)
    flat, nan = np.ones((4, 4, 4, 2), np.complex64), np.full((4, 4, 4, 2, 2), np.nan, np.complex64)
    for name, array in {"flat": flat, "real": np.ones((4, 4, 4, 2, 2)), "nan": nan}.items():
        with h5py.File(good.parent / f"{name}.h5", "w") as file:
            file["kspace"] = array
    with h5py.File(good.parent / "huge.h5", "w") as file:
        file.create_dataset(
            "kspace", (5120, 5120, 1600, 2, 16), np.complex64, chunks=(1, 512, 160, 2, 16)
        )
    with h5py.File(good.parent / "other.h5", "w") as file:
        file["image"] = 1
    cases = {
        "MTR_002": "0 files match",
        "empty": "empty",
        "text": "cannot be read",
        "cut": "cannot be read|damaged",
        "flat": "expected complex",
        "real": "expected complex",
        "nan": "NaN",
        "huge": "more than the file can hold",
        "other": "no dataset 'kspace'",
        "MTR_001:3": "has no echo '3'; choose one of 1 to 2",
        "MTR_001:": "has no echo ''",
        "MTR_001:0": "has no echo",
    }
    for subject, message in cases.items():
        with pytest.raises(ReconError, match=message) as caught:
            skm_tea_scan(tmp_path, subject)
        assert "\n" not in str(caught.value) and subject.split(":")[0] in str(caught.value)
    with pytest.raises(ReconError, match="cannot be cut"):
        skm_tea_scan(tmp_path, "MTR_001", (NX, NY + 1, NZ))
