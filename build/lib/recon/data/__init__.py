"""Where scans come from: one file per dataset, one shared `Scan` record."""

from recon.config import Dataset, expand
from recon.data.folder import find, folder_scan
from recon.data.phantom import phantom_scan
from recon.data.scan import Scan
from recon.io import read_scan


def open_scan(dataset: Dataset, subject: str | int) -> Scan:
    """The fully sampled scan of one subject of a configured dataset."""
    if dataset.kind == "phantom":
        return phantom_scan(dataset.anatomy, int(subject), dataset.shape, dataset.coils, dataset.noise)
    if dataset.kind == "kspace":
        return read_scan(find(expand(dataset.path), dataset.pattern, subject))
    return folder_scan(expand(dataset.path), dataset.pattern, subject, dataset.shape, dataset.voxel, dataset.coils, dataset.noise)


__all__ = ["Scan", "open_scan"]
