"""BraTS: the names of several years, the contrasts, and what is refused."""

import nibabel
import numpy as np
import pytest
import torch

from recon.data.brats import brats_volume
from recon.errors import ReconError
from tests.data.writers_gated import write_brats

SIZE = (12, 10, 7)
TO_2021, FROM_2023 = (
    ("_t1", "_t1ce", "_t2", "_flair", "_seg"),
    ("-t1n", "-t1c", "-t2w", "-t2f", "-seg"),
)


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, SIZE).astype(np.int16)


def as_loaded(volume: np.ndarray) -> torch.Tensor:
    """The volume with x to the right and y to the front, as `read_volume` returns it."""
    return torch.from_numpy(volume[::-1, ::-1].astype(np.complex64))


@pytest.mark.parametrize(
    ("release", "name", "suffixes", "ending"),
    [
        ("MICCAI_BraTS2020_TrainingData", "BraTS20_Training_001", TO_2021, ".nii.gz"),
        (
            "BraTS2020_TrainingData/MICCAI_BraTS2020_TrainingData",
            "BraTS20_Training_001",
            TO_2021,
            ".nii",
        ),
        ("MICCAI_BraTS_2018_Data_Training/HGG", "Brats18_2013_2_1", TO_2021, ".nii.gz"),
        ("BraTS2021_Training_Data", "BraTS2021_00000", TO_2021, ".nii.gz"),
        (
            "ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData",
            "BraTS-GLI-00000-000",
            FROM_2023,
            ".nii.gz",
        ),
    ],
)
def test_every_contrast_of_every_release_is_the_volume_that_was_stored(
    tmp_path, volume, release, name, suffixes, ending
):
    write_brats(
        tmp_path / release, name, {suffix: volume + i for i, suffix in enumerate(suffixes)}, ending
    )
    write_brats(
        tmp_path / release, f"{name[:-1]}9", {suffix: 5 * volume for suffix in suffixes}, ending
    )
    for i, contrast in enumerate(("t1", "t1ce", "t2", "flair")):
        found, voxel = brats_volume(tmp_path, f"{name}:{contrast}")
        assert found.dtype == torch.complex64 and voxel == (1.0, 1.0, 1.0)
        assert torch.equal(found, as_loaded(volume + i))
    assert torch.equal(brats_volume(tmp_path, name)[0], as_loaded(volume + 2))


def test_refusals_are_one_line_that_names_the_file(tmp_path, volume):
    folder = write_brats(tmp_path, "BraTS20_Training_001", {"_t2": volume})
    good = (folder / "BraTS20_Training_001_t2.nii.gz").read_bytes()
    write_brats(tmp_path, "flat", {"_t2": volume[:, :, :1]})
    nibabel.save(
        nibabel.Nifti1Image(np.full(SIZE, np.nan, np.float32), np.eye(4)),
        tmp_path / "nan_t2.nii.gz",
    )
    nibabel.save(
        nibabel.Nifti1Image(np.ones((*SIZE, 2), np.float32), np.eye(4)),
        tmp_path / "series_t2.nii.gz",
    )
    huge = nibabel.Nifti1Image(volume, np.eye(4)).to_bytes()
    dims = np.array([3, 30000, 30000, 30000, 1, 1, 1, 1], "<i2").tobytes()
    for name, content in {
        "empty": b"",
        "text": b"no NIfTI\n" * 99,
        "cut": good[: len(good) // 2],
    }.items():
        (tmp_path / f"{name}_t2.nii.gz").write_bytes(content)
    (tmp_path / "huge_t2.nii").write_bytes(huge[:40] + dims + huge[56:])
    cases = {
        "BraTS20_Training_002": "0 files match",
        "BraTS20_Training_001:t1": "0 files match",
        "BraTS20_Training_001:pd": "unknown contrast",
        "empty": "empty",
        "text": "cannot be read",
        "cut": "cannot be read",
        "nan": "NaN",
        "series": "expected .x, y, z",
        "flat": "one slice",
        "huge": "more than the file can hold",
    }
    for subject, message in cases.items():
        with pytest.raises(ReconError, match=message) as caught:
            brats_volume(tmp_path, subject)
        assert "\n" not in str(caught.value) and subject.split(":")[0] in str(caught.value)
