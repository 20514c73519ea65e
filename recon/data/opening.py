"""From a section of the configuration and a subject to a scan and its file."""

from pathlib import Path

from recon.data import source
from recon.data.resolution import coarser
from recon.data.section import Dataset
from recon.mri.channels import alive
from recon.mri.plausibility import plausible
from recon.mri.scan import Scan


def open_scan(section: Dataset, subject: str | int) -> Scan:
    """The fully sampled scan of one subject, at the voxel size that the section asks for.

    A stack of slices becomes a volume. Raises `ReconError` for a measured scan that is not
    `plausible`.
    """
    scan = source.lookup(section.kind).scan(section, subject).volume()
    scan = plausible(alive(scan)) if scan.origin == "measured" else scan
    return coarser(scan, section.voxel_factor, section.resampling)


def file_of(section: Dataset, subject: str | int) -> Path | None:
    """The file that a subject is read from; None where it is not known before reading.

    It is not known for a phantom, nor for a dataset of data/registry.yaml with a path of its own.
    Raises `ReconError` where a folder does not have the file.
    """
    return source.lookup(section.kind).file(section, subject)


def fingerprint(section: Dataset, subject: str | int) -> dict:
    """Name, size and time of the file that a subject is read from, to notice that it was replaced.

    Empty where no file is known.
    """
    path = file_of(section, subject)
    if path is None or not path.is_file():
        return {}
    return {"file": path.name, "bytes": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
