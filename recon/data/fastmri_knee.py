"""fastMRI knees; see `recon.data.fastmri`."""

from recon.data.fastmri import scan
from recon.data.source import Source

DATASET = Source(scan)
