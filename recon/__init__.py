"""3D MRI reconstruction with 2D diffusion priors."""

import os

from recon.errors import ReconError

# GNU's OpenMP reads this when torch is loaded. Its idle threads spin 300000 times by default, and
# take the cores from every other process. 3000 costs nothing on an idle machine
# (tests/bench/neighbours.py). What the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")

__version__ = "0.1.0"
__all__ = ["ReconError", "__version__"]
