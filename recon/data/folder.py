"""A folder of magnitude or complex volumes, turned into semi-synthetic scans.

The anatomy is real; where a volume is a magnitude, its phase is simulated. Coils and noise always
are.
"""

from pathlib import Path

from recon.data.find import find
from recon.data.section import Dataset
from recon.data.simulate import semi_synthetic
from recon.data.source import Source
from recon.io import read_volume
from recon.mri.scan import Scan


def file(section: Dataset, subject: str | int) -> Path:
    """The file of one subject."""
    return find(section.folder, section.pattern, subject)


def scan(section: Dataset, subject: str | int) -> Scan:
    """The volume of one subject, measured by simulated coils."""
    return semi_synthetic(*read_volume(file(section, subject)), subject, section)


DATASET = Source(
    scan,
    takes=("path", "pattern", "shape", "coils", "noise", "voxel"),
    needs=("path", "voxel", "shape"),
    file=file,
)
