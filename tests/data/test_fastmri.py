"""fastMRI: whole stacks, single slices, both tracks, and what is refused."""

import h5py
import numpy as np
import pytest
import torch

from recon.data.fastmri import fastmri_scan
from recon.data.opening import open_scan
from recon.data.section import Dataset
from recon.errors import ReconError
from recon.mri import fourier
from recon.mri.scan import Scan
from tests.data.writers_gated import to_kspace, write_fastmri
from tests.io.io_files import COILS, NX, NY, NZ, coil_images


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return coil_images()


def assert_recovers(scan: Scan, images: np.ndarray) -> None:
    torch.testing.assert_close(
        fourier.ifft(scan.kspace), torch.from_numpy(images), rtol=1e-4, atol=1e-4
    )


def test_a_stack_is_found_anywhere_and_recovers_the_coil_images(tmp_path, images):
    write_fastmri(tmp_path / "knee", "multicoil_train", "file1000001", images)
    write_fastmri(tmp_path / "knee", "multicoil_val", "file1000002", 2 * images)
    scan = fastmri_scan(tmp_path, "file1000001")
    assert_recovers(scan, images)
    assert (
        scan.mask.all()
        and scan.shape == (NX, NY, NZ)
        and scan.coils == COILS
        and scan.origin == "measured"
    )
    assert scan.voxel == pytest.approx((0.4, 0.5, 3.0)) and scan.name == "file1000001"
    assert scan.meta["acquisition"] == "CORPDFS_FBK" and "oversampling" in scan.meta


def test_one_slice_is_a_2d_scan_and_the_others_are_not_read(tmp_path, images):
    """The other slices are damaged on purpose."""
    path = write_fastmri(tmp_path, "brain/multicoil_train", "file_brain_AXT2_200_2000019", images)
    with h5py.File(path, "a") as file:
        file["kspace"][:5] = np.nan
        file["kspace"][6:] = 0
    scan = fastmri_scan(tmp_path, "file_brain_AXT2_200_2000019:5")
    assert_recovers(scan, images[..., 5:6])
    assert scan.shape == (NX, NY, 1) and scan.mask.shape == (NY, 1) and scan.mask.all()
    assert (
        scan.voxel == pytest.approx((0.4, 0.5, 3.0))
        and scan.name.endswith(":5")
        and scan.meta["slice"] == 5
    )


def test_a_slice_may_be_undersampled_along_both_axes(tmp_path, images):
    write_fastmri(tmp_path, "multicoil_val", "file1000001", images)
    splits = {"train": [], "validation": [], "test": ["file1000001:3", "file1000001"]}
    given = {"kind": "fastmri_brain", "label": "", "path": str(tmp_path), **splits}
    section = Dataset(**given, options={"two_phase_encodes": True})
    scan = open_scan(section, "file1000001:3")
    assert scan.shape == (1, NX, NY) and scan.mask.shape == (NX, NY) and scan.mask.all()
    assert scan.voxel == pytest.approx((3.0, 0.4, 0.5))
    torch.testing.assert_close(
        fourier.ifft(scan.kspace)[:, 0], torch.from_numpy(images[..., 3]), rtol=1e-4, atol=1e-4
    )
    with pytest.raises(ReconError, match="two_phase_encodes is for single slices"):
        open_scan(section, "file1000001")


@pytest.mark.parametrize("subject", ["file1000001", "file1000001:3"])
def test_padding_and_the_mask_of_test_files_are_not_measured(tmp_path, images, subject):
    wanted = images[..., 3:4] if ":" in subject else images
    sampled = (np.arange(NY) % 3 == 0) | (abs(np.arange(NY) - NY // 2) < 2)
    write_fastmri(tmp_path, "multicoil_test", "file1000001", images, padding=2, mask=sampled)
    scan = fastmri_scan(tmp_path, subject)
    sampled = sampled & (np.arange(NY) >= 2) & (np.arange(NY) < NY - 1)
    assert np.array_equal(scan.mask.numpy(), np.repeat(sampled[:, None], wanted.shape[-1], 1))
    expected = to_kspace(wanted, (1, 2, 3)) * sampled[:, None]
    torch.testing.assert_close(
        scan.kspace, torch.from_numpy(expected.astype(np.complex64)), rtol=1e-4, atol=1e-4
    )


def test_tracks_share_names_so_the_folder_can_be_given(tmp_path, images):
    write_fastmri(tmp_path, "knee/singlecoil_val", "file1000001", 3 * images[1:2])
    write_fastmri(tmp_path, "knee/multicoil_val", "file1000001", images)
    with pytest.raises(
        ReconError,
        match="2 files are named file1000001.h5; "
        "give the folder too, as in 'multicoil_val/file1000001'",
    ):
        fastmri_scan(tmp_path, "file1000001")
    assert_recovers(fastmri_scan(tmp_path, "multicoil_val/file1000001:2"), images[..., 2:3])
    assert_recovers(fastmri_scan(tmp_path, "singlecoil_val/file1000001"), 3 * images[1:2])


def test_refusals_are_one_line_that_names_the_file(tmp_path, images):
    good = write_fastmri(tmp_path, "multicoil_val", "good", images).read_bytes()
    for name, content in {
        "empty": b"",
        "text": b"no HDF5\n" * 40,
        "cut": good[: len(good) // 2],
    }.items():
        (tmp_path / f"{name}.h5").write_bytes(content)
    stored = {
        "flat": np.ones((4, 4), np.complex64),
        "real": np.ones((2, 2, 4, 4)),
        "nan": np.full((1, 2, 4, 4), np.nan + 0j),
    }
    for name, array in stored.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["kspace"] = array
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset(
            "kspace", (20000, 20, 20000, 2000), np.complex64, chunks=(1, 1, 100, 100)
        )
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["image"] = 1
    cases = {
        "missing": "0 files match",
        "empty": "empty",
        "text": "cannot be read",
        "cut": "cannot be read|damaged",
        "flat": "expected .slice",
        "real": "not complex",
        "nan": "NaN",
        "huge:3": "more than the file can hold",
        "other": "no dataset 'kspace'",
        f"good:{NZ}": "has no slice 7; it has 0, 1",
        "good:-1": "names no slice",
        "good:": "names no slice",
    }
    for subject, message in cases.items():
        with pytest.raises(ReconError, match=message) as caught:
            fastmri_scan(tmp_path, subject)
        assert "\n" not in str(caught.value) and subject.split(":")[0] in str(caught.value)
    with pytest.raises(ReconError, match="no such folder"):
        fastmri_scan(tmp_path / "nowhere", "good")
