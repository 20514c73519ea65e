"""fastMRI brains; `recon.data.fastmri` describes and reads their files."""

from recon.data.fastmri import scan
from recon.data.source import Source

DATASET = Source(scan)
