"""fastMRI knees; `recon.data.fastmri` describes and reads their files."""

from recon.data.fastmri import FastMRIOptions, scan
from recon.data.source import Source

DATASET = Source(scan, options=FastMRIOptions)
