"""A folder of magnitude or complex volumes, turned into semi-synthetic scans.

The anatomy is real. Coils and noise are simulated; so is the phase where a volume is a magnitude.
"""

from pathlib import Path

from recon.data.find import find
from recon.data.section import Dataset
from recon.data.simulate import semi_synthetic
from recon.data.sliced import name_of, slice_of
from recon.data.source import Source
from recon.io import read_volume
from recon.mri.scan import Scan


def file(section: Dataset, subject: str | int) -> Path:
    """The file of one subject: it matches the section's pattern and is called SUBJECT.*."""
    return find(section.folder, section.pattern, name_of(subject))


def scan(section: Dataset, subject: str | int) -> Scan:
    """The semi-synthetic scan that simulated coils make of one subject's volume or slice."""
    path = file(section, subject)
    volume, voxel = read_volume(path)
    place = slice_of(subject, volume.shape[2], str(path))
    if place is not None:
        volume, voxel = volume[..., place.index][None], (voxel[2], *voxel[:2])
    return semi_synthetic(volume, voxel, subject, section, place)


DATASET = Source(
    scan,
    takes=("path", "pattern", "shape", "coils", "noise", "training_noise", "voxel"),
    needs=("path",),
    file=file,
)
