"""A folder of fully sampled k-space, in any format that `recon.io.read_scan` knows."""

from recon.data.folder import file
from recon.data.section import Dataset
from recon.data.source import Source
from recon.io import read_scan
from recon.mri.scan import Scan


def scan(section: Dataset, subject: str | int) -> Scan:
    """The scan in the file of one subject, as `recon.io.read_scan` reads it."""
    return read_scan(file(section, subject))


DATASET = Source(scan, takes=("path", "pattern"), needs=("path",), file=file)
