"""Which software a result was made with."""

import platform
from functools import cache
from importlib.metadata import version

from recon import __version__

PACKAGES = ("h5py", "matplotlib", "numpy", "pandas", "safetensors", "scipy", "torch")


@cache
def versions() -> dict[str, str]:
    """The versions of Python, of `recon` and of what it computes with."""
    own = {"python": platform.python_version(), "recon": __version__}
    return own | {name: version(name) for name in PACKAGES}
