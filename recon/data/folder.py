"""A folder of magnitude or complex volumes, turned into semi-synthetic scans.

The anatomy is real. Coils and noise are simulated; so is the phase where a volume is a magnitude. A
subject called NAME@K is slice K across z of the volume NAME, as a 2D scan with two phase-encoded
axes.
"""

from pathlib import Path

from recon.data.find import find
from recon.data.section import Dataset
from recon.data.simulate import semi_synthetic
from recon.data.source import Source
from recon.errors import ReconError
from recon.io import read_volume
from recon.mri.scan import Scan


def file(section: Dataset, subject: str | int) -> Path:
    """The file of one subject: it matches the section's pattern and is called SUBJECT.*."""
    return find(section.folder, section.pattern, str(subject).partition("@")[0])


def scan(section: Dataset, subject: str | int) -> Scan:
    """The semi-synthetic scan that simulated coils make of one subject's volume or slice."""
    path = file(section, subject)
    volume, voxel = read_volume(path)
    wanted = str(subject).partition("@")[2]
    if wanted:
        if not wanted.isdecimal() or int(wanted) >= volume.shape[2]:
            last = volume.shape[2] - 1
            raise ReconError(f"{path}: {subject} asks for slice {wanted}; choose from 0 to {last}")
        volume, voxel = volume[..., int(wanted)][None], (voxel[2], *voxel[:2])
    return semi_synthetic(volume, voxel, subject, section)


DATASET = Source(
    scan,
    takes=("path", "pattern", "shape", "coils", "noise", "training_noise", "voxel"),
    needs=("path",),
    file=file,
)
