"""Numerical phantoms of brain, knee and plant roots, and the coils, phase and noise to measure them
with.

A subject is a continuous function of position, drawn from a seed: the same individual at any voxel
size.
"""

from recon.phantoms.coils import coil_maps, complex_noise, smooth_phase, stream
from recon.phantoms.subject import ANATOMIES, FOV, TISSUES, Subject, subject

__all__ = [
    "ANATOMIES",
    "FOV",
    "TISSUES",
    "Subject",
    "coil_maps",
    "complex_noise",
    "smooth_phase",
    "stream",
    "subject",
]
