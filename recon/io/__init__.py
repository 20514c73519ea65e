"""Files: k-space and volumes are read, volumes are written.

`read_scan` reads k-space from ISMRMRD, fastMRI, BART, MATLAB and NumPy files. `read_volume` reads
NIfTI and NumPy, `write_volume` writes NIfTI. `read_maps` and `write_maps` do the same for coil
sensitivities. A reader returns a valid `Scan` or volume, or it raises a
`ReconError` of one line, however damaged the file is. Pickles are never read.

A newcomer adds one file with the reader of a format, and one branch in scans.py.
"""

from recon.io.frames import Selection, frames_of
from recon.io.maps import read_maps, write_maps
from recon.io.nifti import check_output, read_volume, write_volume
from recon.io.scans import read_scan

__all__ = [
    "Selection",
    "check_output",
    "frames_of",
    "read_maps",
    "read_scan",
    "read_volume",
    "write_maps",
    "write_volume",
]
