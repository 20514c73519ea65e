"""Volumes come back as they were written and in canonical axes, or they are refused."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from recon import files
from recon.errors import ReconError
from recon.io import read_volume, write_volume
from tests.conftest import REAL_DATA
from tests.io.io_files import coil_images


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return coil_images()


def test_nifti_magnitude_and_complex_survive_a_round_trip(tmp_path, images):
    volume, voxel = torch.from_numpy(images[1]), (0.7, 1.0, 1.3)
    write_volume(
        tmp_path / "new" / "a.nii.gz", volume, voxel, meta={"method": "dds", "path": Path("x")}
    )
    back, size = read_volume(tmp_path / "new" / "a.nii.gz")
    torch.testing.assert_close(back, volume.abs().to(torch.complex64))
    assert (
        size == pytest.approx(voxel)
        and nibabel.load(tmp_path / "new" / "a.nii.gz").get_data_dtype() == np.float32
    )
    assert json.loads((tmp_path / "new" / "a.json").read_text())["method"] == "dds"
    for name, flag in (("b_complex.nii.gz", False), ("c.nii", True)):
        write_volume(tmp_path / name, volume, voxel, complex=flag)
        torch.testing.assert_close(read_volume(tmp_path / name)[0], volume)


def test_nifti_is_turned_to_canonical_axes(tmp_path):
    """The file stores (z, -x, y), in metres, with a trailing time axis."""
    volume = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)
    affine = np.array([[0, -2, 0, 9], [0, 0, 3, 0], [4, 0, 0, 0], [0, 0, 0, 1000]]) / 1000
    image = nibabel.Nifti1Image(volume[::-1].transpose(2, 0, 1)[..., None], affine)
    image.header.set_xyzt_units("meter")
    nibabel.save(image, tmp_path / "a.nii.gz")
    back, voxel = read_volume(tmp_path / "a.nii.gz")
    torch.testing.assert_close(back, torch.from_numpy(volume).to(torch.complex64))
    assert voxel == pytest.approx((2, 3, 4))


def test_numpy_volumes_are_read(tmp_path, images):
    np.save(tmp_path / "a.npy", images[0].real.astype(np.float64))
    np.savez(tmp_path / "b.npz", volume=images[0, ..., 0], voxel=[1, 2, 3])
    torch.testing.assert_close(
        read_volume(tmp_path / "a.npy")[0], torch.from_numpy(images[0].real).to(torch.complex64)
    )
    volume, voxel = read_volume(tmp_path / "b.npz")
    assert torch.equal(volume[..., 0], torch.from_numpy(images[0, ..., 0])) and voxel == (
        1.0,
        2.0,
        3.0,
    )


def test_volumes_that_are_not_single_finite_grids_are_refused(tmp_path):
    nibabel.save(
        nibabel.Nifti1Image(np.ones((3, 4, 5, 2), np.float32), np.eye(4)), tmp_path / "series.nii"
    )
    nibabel.save(
        nibabel.Nifti1Image(np.full((3, 4, 5), np.nan, np.float32), np.eye(4)),
        tmp_path / "nan.nii.gz",
    )
    nibabel.save(
        nibabel.Nifti1Image(np.ones((3, 4, 5), np.float32), np.eye(4)), tmp_path / "huge.nii"
    )
    raw = bytearray((tmp_path / "huge.nii").read_bytes())
    raw[40:56] = np.array([7, 32767, 32767, 32767, 1, 1, 1, 1], "<i2").tobytes()
    (tmp_path / "huge.nii").write_bytes(raw)
    for name, message in {
        "series.nii": "series",
        "nan.nii.gz": "NaN",
        "huge.nii": "more than the file can hold",
    }.items():
        with pytest.raises(ReconError, match=message):
            read_volume(tmp_path / name)
    for arguments, message in [
        (("a.png", torch.ones(2, 2, 2), (1.0, 1.0, 1.0)), "end the name in .nii.gz"),
        (("a.nii.gz", torch.ones(2, 0, 2), (1.0, 1.0, 1.0)), "expected .x, y, z."),
        (("a.nii.gz", torch.ones(2, 2, 2), (1.0, 1.0, 0.0)), "not plausible"),
        (("a.nii.gz", torch.ones(2, 2, 2), (1.0, 1.0, 2.0), np.eye(4)), "affine"),
        (("a.nii.gz", torch.full((2, 2, 2), torch.inf), (1.0, 1.0, 1.0)), "NaN or infinite"),
        (("huge.nii/a.nii.gz", torch.ones(2, 2, 2), (1.0, 1.0, 1.0)), "cannot be written"),
    ]:
        with pytest.raises(ReconError, match=message):
            write_volume(tmp_path / arguments[0], *arguments[1:])


def test_an_interrupted_write_leaves_the_old_volume_and_no_debris(tmp_path, monkeypatch):
    write_volume(tmp_path / "a.nii.gz", torch.ones(2, 3, 4), (1.0, 1.0, 1.0))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(ReconError, match="No space left"):
        write_volume(tmp_path / "a.nii.gz", torch.zeros(2, 3, 4), (1.0, 1.0, 1.0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "a.nii.gz"]
    assert read_volume(tmp_path / "a.nii.gz")[0].real.min() == 1


@pytest.mark.skipif(
    not (REAL_DATA / "brain_t1w/1000.nii.gz").is_file(), reason="the shared real data are not here"
)
def test_a_real_t1w_brain_is_read():
    volume, voxel = read_volume(REAL_DATA / "brain_t1w/1000.nii.gz")
    assert (
        volume.ndim == 3 and min(volume.shape) > 100 and voxel == pytest.approx((1, 1, 1), abs=0.1)
    )
    assert volume.real.max() > 0 and not volume.imag.any()
