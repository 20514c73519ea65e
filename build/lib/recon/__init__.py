"""3D MRI reconstruction with 2D diffusion priors."""

from recon.errors import ReconError

__version__ = "0.1.0"
__all__ = ["ReconError", "__version__"]
