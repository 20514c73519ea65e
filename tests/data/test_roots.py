"""Plant roots: the formats of volumes that are read, and what is refused."""

import numpy as np
import pytest
import torch

from recon.data.roots import roots_volume
from recon.errors import ReconError
from tests.data.writers_gated import write_roots

VOXEL = (0.5, 0.25, 1.5)  # exact in float32, which NIfTI stores


@pytest.fixture
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (12, 10, 7)).astype(np.uint8)


@pytest.mark.parametrize(
    ("ending", "voxel"),
    [(".nii", VOXEL), (".nii.gz", VOXEL), (".npz", VOXEL), (".npy", (1.0, 1.0, 1.0))],
)
def test_the_volume_and_its_voxel_size_come_back(tmp_path, volume, ending, voxel):
    write_roots(tmp_path / "lupine" / f"pot1{ending}", volume, VOXEL)
    write_roots(tmp_path / f"pot10{ending}", 255 - volume, VOXEL)
    (tmp_path / "lupine" / "pot1.json").write_text("{}")
    found, size = roots_volume(tmp_path, "pot1")
    assert found.dtype == torch.complex64 and size == voxel
    assert torch.equal(found, torch.from_numpy(volume.astype(np.complex64)))


def test_refusals_are_one_line_that_names_the_file(tmp_path, volume):
    write_roots(tmp_path / "twice.npz", volume, VOXEL)
    write_roots(tmp_path / "twice.nii", volume, VOXEL)
    write_roots(tmp_path / "flat.npz", volume[..., :1], VOXEL)
    write_roots(tmp_path / "nan.npz", volume * np.nan, VOXEL)
    write_roots(tmp_path / "voxel.npz", volume, (0.4, 0.0, 1.1))
    write_roots(tmp_path / "pickle.npz", np.array([{}, 1], object), VOXEL)
    for name, content in {
        "empty.npz": b"",
        "text.npz": b"no archive\n" * 40,
        "cut.nii": (tmp_path / "twice.nii").read_bytes()[:700],
    }.items():
        (tmp_path / name).write_bytes(content)
    cases = {
        "missing": "0 files match",
        "twice": "2 files match",
        "flat": "one slice",
        "nan": "NaN",
        "voxel": "not plausible",
        "pickle": "pickle",
        "empty": "empty",
        "text": "cannot be read",
        "cut": "more than the file can hold|cannot be read",
    }
    for subject, message in cases.items():
        with pytest.raises(ReconError, match=message) as caught:
            roots_volume(tmp_path, subject)
        assert "\n" not in str(caught.value) and subject in str(caught.value)
