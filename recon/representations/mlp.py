"""Paper B's implicit network: Fourier features of the position and plain ReLU layers."""

from pydantic import Field

from recon.representations import RepresentationKind
from recon.representations.implicit import Implicit, ImplicitSettings
from recon.schema import Count


class MLPSettings(ImplicitSettings):
    """The network of paper B in 2D, with 165 122 parameters. That in 3D has 7 layers of 512."""

    width: Count = 256
    layers: Count = 3
    features: Count = 64
    normalised: bool = False
    warm: int = Field(0, ge=0)


REPRESENTATION = RepresentationKind(Implicit, MLPSettings, bf16=True)
