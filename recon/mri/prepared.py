"""`Prepared`: one volume with all that experiments need."""

from dataclasses import dataclass

from jaxtyping import Bool, Complex, Float
from torch import Tensor


@dataclass(frozen=True)
class Prepared:
    """One volume, ready to be undersampled and reconstructed."""

    # All that was measured; None where only the reference is kept, for training.
    kspace: Complex[Tensor, "coil x y z"] | None
    mask: Bool[Tensor, "y z"]  # measured phase encodes
    maps: Complex[Tensor, "coil x y z"] | None  # ESPIRiT from all measured data
    reference: Complex[Tensor, "x y z"]  # MVUE of all measured data (paper A, section 5)
    support: Bool[Tensor, "x y z"]  # the object; see `support`
    noise: float  # standard deviation of the k-space noise, per real component
    voxel: tuple[float, float, float]  # mm
    name: str
    origin: str  # "measured", "semi-synthetic" or "phantom"
    hash: str  # of the contents; identifies the volume in sidecars and case keys
    # The reference without noise, where the scan is simulated.
    truth: Complex[Tensor, "x y z"] | None = None

    @property
    def target(self) -> Complex[Tensor, "x y z"]:
        """What reconstructions are compared with: the truth, or the reference where none is known.

        The reference shares the noise of the data. A comparison with it rewards a method for
        keeping that noise.
        """
        return self.reference if self.truth is None else self.truth


def support(
    magnitude: Float[Tensor, "x y z"], noise: float, share: float = 0.05
) -> Bool[Tensor, "x y z"]:
    """The object: where the magnitude is above a share of its maximum, and above the noise.

    ``noise`` is the standard deviation per real component. Three of it are exceeded in 1 % of the
    background.
    """
    return magnitude > max(share * float(magnitude.max()), 3 * noise)
