"""Numerical phantoms of brain, knee and plant roots, and a simulated scanner to measure them.

A subject is a continuous function of position that is drawn from a seed. So it is the same
individual at any voxel size. `subject` holds the `Subject`; `brain`, `knee` and `roots` the
anatomies; `fields` and `pose` their building blocks; `coils` the receive coils, the phase and the
noise.

A new anatomy is one module and one entry in ``subject._MODULES``. The module has ``FOV``,
``TISSUES`` and ``build(seed)``, which returns a `subject.Model`: an object that paints itself.
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
