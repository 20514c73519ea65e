import nibabel as nib
import numpy as np
import pytest
import torch

from recon import ReconError, phantoms
from recon.data import source
from recon.data.find import find
from recon.data.opening import open_scan
from recon.data.section import Dataset
from recon.data.simulate import crop_or_pad, semi_synthetic
from recon.io import read_volume


@pytest.fixture
def folder(tmp_path):
    """One magnitude and one complex volume of 2 mm voxels: a box off the centre."""
    data = np.zeros((20, 24, 16), np.float32)
    data[4:9, 6:18, 3:8] = 100
    nib.save(nib.Nifti1Image(data, np.diag([2, 2, 2, 1])), tmp_path / "s1.nii.gz")
    nib.save(
        nib.Nifti1Image((data * np.exp(0.7j)).astype(np.complex64), np.diag([2, 2, 2, 1])),
        tmp_path / "s2.nii.gz",
    )
    return tmp_path


def image_of(scan):
    """The image that a simulated scan measured: its truth without the shading of the coils."""
    fov = tuple(v * n for v, n in zip(scan.voxel, scan.shape, strict=True))
    maps = phantoms.coil_maps(
        scan.coils, scan.shape, fov, phantoms.stream(scan.meta["seed"], "coils")
    )
    return scan.truth / maps.abs().square().sum(0).sqrt()


def measured(folder, subject, coils, shape, voxel):
    """The scan that simulated coils make of a volume, without noise."""
    options = {"path": str(folder), "coils": coils, "noise": 0.0, "shape": shape, "voxel": voxel}
    section = Dataset(kind="folder", label="", train=[], validation=[], test=[subject], **options)
    return semi_synthetic(*read_volume(find(folder, "*.nii.gz", subject)), subject, section)


def test_magnitude_volume_gets_a_phase_and_says_so(folder):
    scan = measured(folder, "s1", 4, (20, 24, 16), (2.0, 2.0, 2.0))
    assert (
        scan.origin == "semi-synthetic"
        and scan.kspace.shape == (4, 20, 24, 16)
        and scan.voxel == (2.0, 2.0, 2.0)
    )
    magnitude = image_of(scan).abs()
    assert magnitude[4:9, 6:18, 3:8].min() > 0.99 and magnitude[12:].max() < 0.01
    assert image_of(scan)[4:9, 6:18, 3:8].angle().std() > 0.01


def test_complex_volume_keeps_its_phase(folder):
    scan = measured(folder, "s2", 4, (20, 24, 16), (2.0, 2.0, 2.0))
    assert torch.allclose(image_of(scan)[6, 10, 5].angle(), torch.tensor(0.7), atol=1e-3)


def test_resampling_keeps_the_object_in_place(folder):
    """At 4 mm the box has half the voxels and the same centre in mm."""
    scan = measured(folder, "s1", 2, (10, 12, 8), (4.0, 4.0, 4.0))
    magnitude = image_of(scan).abs()
    for axis, centre in enumerate(((4 + 8) / 2, (6 + 17) / 2, (3 + 7) / 2)):
        weights = magnitude.square().sum([a for a in range(3) if a != axis])
        found = float((weights * torch.arange(len(weights))).sum() / weights.sum())
        assert (found + 0.5) * 4 == pytest.approx((centre + 0.5) * 2, abs=0.3)


def test_fit_crops_and_pads_around_the_centre():
    volume = torch.zeros(6, 6, 6, dtype=torch.complex64)
    volume[3, 3, 3] = 1
    assert crop_or_pad(volume, (4, 9, 6))[2, 4, 3] == 1


def test_a_subject_may_have_dots_and_name_its_folder(folder):
    (folder / "site").mkdir()
    for name in ("pot.1.npz", "site/s1.nii.gz", "site/pot.1.npz"):
        (folder / name).touch()
    assert find(folder, "*.npz", "pot.1") == folder / "pot.1.npz"
    assert find(folder, "**/*.gz", "site/s1") == folder / "site" / "s1.nii.gz"
    with pytest.raises(ReconError, match="2 files match"):
        find(folder, "**/*.npz", "pot.1")


def test_refusals(folder):
    with pytest.raises(ReconError, match="0 files match .* named s9"):
        find(folder, "*.nii.gz", "s9")
    with pytest.raises(ReconError, match="no such folder"):
        find(folder / "absent", "*", "s1")


def test_real_brains_become_scans(real_data):
    section = Dataset(
        kind="folder",
        label="b",
        path=str(real_data / "brain_t1w"),
        pattern="*.nii.gz",
        shape=(40, 52, 44),
        voxel=(4, 4, 4),
        coils=4,
        train=[],
        validation=[1001],
        test=[1000],
    )
    scan = open_scan(section, 1000)
    magnitude = image_of(scan).abs()
    assert scan.shape == (40, 52, 44) and 0.8 < magnitude.max() < 1.2
    edge = torch.cat(
        [
            magnitude[0].flatten(),
            magnitude[-1].flatten(),
            magnitude[:, 0].flatten(),
            magnitude[:, -1].flatten(),
        ]
    )
    assert edge.max() < 0.05, "the brain fits into the field of view"


def test_a_slice_of_a_volume_is_a_2d_scan(folder):
    """Both of its axes are phase-encoded, and its pixels are those of the volume."""
    options = {"path": str(folder), "coils": 2, "noise": 0.0}
    splits = {"train": [], "validation": [], "test": ["s1@3"]}
    section = Dataset(kind="folder", label="", **splits, **options)
    volume, voxel = read_volume(find(folder, "*", "s1"))
    found = source.lookup("folder").scan(section, "s1@3")
    assert found.shape == (1, *volume.shape[:2]) and found.name == "s1@3"
    assert found.voxel == pytest.approx((voxel[2], *voxel[:2]))
    seen, wanted = found.truth[0].abs(), volume[..., 3].abs()
    assert torch.corrcoef(torch.stack([seen.flatten(), wanted.flatten()]))[0, 1] > 0.9
    for wrong in ("s1@999", "s1@-1", "s1@x"):
        with pytest.raises(ReconError, match="choose from 0 to"):
            source.lookup("folder").scan(section, wrong)
