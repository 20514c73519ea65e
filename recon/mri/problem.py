"""The reconstruction `Problem` that every method solves, and the way from a scan to it."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from recon.errors import ReconError
from recon.mri import coils
from recon.mri.prepared import Prepared
from recon.mri.sense import Sense


@dataclass(frozen=True)
class Problem:
    """One undersampled scan, scaled for reconstruction: what every method is given.

    The k-space is multiplied by `scale` so that the zero-filled volume has unit variance over real
    and imaginary parts, the scale at which priors are trained (paper A, section 4.1).
    Regularisation weights are quoted in this scale; `unscale` undoes it before metrics.
    """

    operator: Sense
    kspace: Complex[Tensor, "coil x y z"]  # measured samples, scaled; zero elsewhere
    rhs: Complex[Tensor, "x y z"]  # Aᴴ y, the zero-filled volume
    noise: float  # standard deviation of the noise in `kspace`, per real component
    scale: float
    voxel: tuple[float, float, float] = (1.0, 1.0, 1.0)  # mm

    @classmethod
    def build(
        cls,
        kspace: Complex[Tensor, "coil x y z"],
        mask: Bool[Tensor, "y z"],
        maps: Complex[Tensor, "coil x y z"],
        noise: float = 0.0,
        voxel: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> "Problem":
        """Masks and scales ``kspace``; ``noise`` is the standard deviation per real component
        before scaling.
        """
        if kspace.shape != maps.shape:
            raise ReconError(
                f"k-space has shape {tuple(kspace.shape)} but the coil maps {tuple(maps.shape)}; they must agree"
            )
        operator = Sense(maps, mask)
        kspace = kspace * mask
        rhs = operator.adjoint(kspace)
        spread = float(torch.view_as_real(rhs).std())
        if not spread > 0:
            raise ReconError(
                "the zero-filled volume is empty; check that the mask covers the measured samples and the maps are not zero"
            )
        return cls(operator, kspace / spread, rhs / spread, noise / spread, 1 / spread, voxel)

    def objective(self, volume: Complex[Tensor, "x y z"]) -> Tensor:
        """Data term ``½‖Ax − y‖²``."""
        return 0.5 * (self.operator.forward(volume) - self.kspace).abs().square().sum()

    def gradient(self, volume: Complex[Tensor, "x y z"]) -> Complex[Tensor, "x y z"]:
        """Gradient ``Aᴴ(Ax − y)`` of the data term, without going back to the samples."""
        return self.operator.normal(volume) - self.rhs

    def unscale(self, volume: Complex[Tensor, "x y z"]) -> Complex[Tensor, "x y z"]:
        """Back to the units of the scan."""
        return volume / self.scale

    def to(self, device: torch.device | str) -> "Problem":
        """The same problem on another device."""
        operator = Sense(self.operator.maps.to(device), self.operator.mask.to(device))
        return Problem(
            operator,
            self.kspace.to(device),
            self.rhs.to(device),
            self.noise,
            self.scale,
            self.voxel,
        )


def pose(
    kspace: Complex[Tensor, "coil x y z"],
    mask: Bool[Tensor, "y z"],
    noise: float,
    voxel: tuple[float, float, float],
    maps: Complex[Tensor, "coil x y z"] | None = None,
) -> Problem:
    """The problem that remains when only ``mask`` is measured of the k-space of independent
    channels.

    Without ``maps`` they are estimated by ESPIRiT from the fully sampled centre of the masked data,
    as at the scanner.
    """
    kspace = kspace * mask
    return Problem.build(
        kspace, mask, coils.espirit(kspace) if maps is None else maps, noise, voxel
    )


def undersampled(
    prepared: Prepared, mask: Bool[Tensor, "y z"], maps: str = "calibration"
) -> Problem:
    """The problem that remains when only ``mask`` is measured of a prepared volume.

    ``maps`` is "calibration" (see `pose`) or "full", from all data, as in paper A.
    """
    if prepared.kspace is None or prepared.maps is None:
        kept = "only the reference of this training volume is stored"
        raise ReconError(f"{prepared.name}: {kept}; reconstruct a validation or test volume")
    known = prepared.maps if maps == "full" else None
    return pose(prepared.kspace, mask & prepared.mask, prepared.noise, prepared.voxel, known)
