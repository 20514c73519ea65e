"""Files of k-space in, volumes in and out: ISMRMRD, fastMRI, BART, NumPy and NIfTI, one module per
format.

Whatever a file is, the reader answers with a valid `Scan` (or volume) or a `ReconError` of one
line; pickles are never read.
"""

from recon.io.nifti import read_volume, write_volume
from recon.io.scans import read_scan

__all__ = ["read_scan", "read_volume", "write_volume"]
