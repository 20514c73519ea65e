"""Where scans come from: one file per dataset, one shared `Scan` record."""

from collections.abc import Callable
from pathlib import Path

from recon import registry
from recon.config import Dataset
from recon.data.ahead import ahead_scan
from recon.data.brats import brats_volume
from recon.data.calgary import calgary_scan
from recon.data.fastmri import fastmri_scan
from recon.data.folder import find, folder_volume, semi_synthetic
from recon.data.phantom import phantom_scan
from recon.data.resolution import coarser
from recon.data.roots import roots_volume
from recon.data.scan import Scan
from recon.data.skm_tea import skm_tea_scan
from recon.data.stanford import stanford_scan
from recon.io import read_scan

# Readers of k-space: (folder, subject) -> Scan.
KSPACE: dict[str, Callable] = {
    "stanford": stanford_scan,
    "calgary": calgary_scan,
    "ahead": ahead_scan,
    "fastmri_knee": fastmri_scan,
    "fastmri_brain": fastmri_scan,
    "skm_tea": skm_tea_scan,
}
# Readers of volumes, which simulated coils measure: (folder, subject) -> volume and voxel size.
VOLUMES: dict[str, Callable] = {"brats": brats_volume, "roots": roots_volume}


def open_scan(dataset: Dataset, subject: str | int) -> Scan:
    """The scan of one subject of a configured dataset, at the voxel size asked for."""
    scan = _measured(dataset, subject) if dataset.kind in (*KSPACE, "kspace") else _simulated(dataset, subject)
    return coarser(scan, dataset.voxel_factor, dataset.resampling)


def source(dataset: Dataset, subject: str | int) -> Path | None:
    """The file that a subject is read from; None for a phantom. Raises `ReconError` where it is not there."""
    if dataset.kind == "phantom":
        return None
    if dataset.kind in ("folder", "kspace"):
        return find(dataset.folder, dataset.pattern, subject)
    return registry.items(dataset.kind, [str(subject)])[0].path if dataset.path is None else None


def fingerprint(dataset: Dataset, subject: str | int) -> dict:
    """Name, size and time of the file that a subject is read from: what tells that it was replaced."""
    path = source(dataset, subject)
    if path is None or not path.is_file():
        return {}
    return {"file": path.name, "bytes": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}


def _measured(dataset: Dataset, subject: str | int) -> Scan:
    """K-space as it was measured."""
    if dataset.kind == "kspace":
        return read_scan(find(dataset.folder, dataset.pattern, subject))
    if dataset.kind == "skm_tea":  # cut to the matrix asked for while it is read
        return skm_tea_scan(dataset.folder, str(subject), dataset.shape)
    return KSPACE[dataset.kind](dataset.folder, str(subject))


def _simulated(dataset: Dataset, subject: str | int) -> Scan:
    """K-space that simulated coils measure of a phantom or a volume."""
    if dataset.kind == "phantom":
        return phantom_scan(dataset.anatomy, int(subject), dataset.shape, dataset.coils, dataset.noise)
    if dataset.kind == "folder":
        volume, voxel = folder_volume(dataset.folder, subject, dataset.pattern)
    else:
        volume, voxel = VOLUMES[dataset.kind](dataset.folder, str(subject))
    return semi_synthetic(volume, voxel, subject, dataset.coils, dataset.noise, dataset.shape, dataset.voxel)


__all__ = ["KSPACE", "VOLUMES", "Scan", "coarser", "fingerprint", "open_scan", "source"]
