"""Paper B's hybrid network: x and y go in, and the values of all voxels along z come out.

In a 2D scan it is the plain network.
"""

from recon.representations import RepresentationKind
from recon.representations.implicit import Implicit
from recon.representations.mlp import MLPSettings


class ColumnsSettings(MLPSettings):
    """The hybrid of paper B has 3 layers of 3200."""

    columns: bool = True


REPRESENTATION = RepresentationKind(Implicit, ColumnsSettings, bf16=True)
