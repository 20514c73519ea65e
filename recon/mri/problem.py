"""The reconstruction `Problem` that every method solves, and how a scan becomes one."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from recon.errors import ReconError
from recon.mri import coils
from recon.mri.prepared import Prepared
from recon.mri.sense import Sense


@dataclass(frozen=True)
class Problem:
    """One undersampled scan, scaled for reconstruction: the input of every method.

    The k-space is multiplied by `scale` so that the volume has about unit power over real and
    imaginary parts (see `power`). Priors are trained at this scale (paper A, section 4.1), and
    regularisation weights are given in it. `unscale` undoes it before metrics.
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
        """Masks and scales ``kspace``.

        ``noise`` is the standard deviation per real component before scaling. Raises ReconError for
        shapes that disagree and for an empty zero-filled volume.
        """
        if kspace.shape != maps.shape:
            raise ReconError(
                f"k-space has shape {tuple(kspace.shape)} "
                f"but the coil maps have {tuple(maps.shape)}; they must agree"
            )
        operator = Sense(maps, mask)
        kspace = kspace * mask
        rhs = operator.adjoint(kspace)
        spread = power(kspace, mask, noise) ** 0.5 if rhs.any() else 0.0
        if not spread > 0:
            raise ReconError(
                "the zero-filled volume is empty; "
                "check that the mask covers the measured samples and the maps are not zero"
            )
        return cls(operator, kspace / spread, rhs / spread, noise / spread, 1 / spread, voxel)

    def objective(self, volume: Complex[Tensor, "x y z"]) -> Float[Tensor, ""]:
        """The data term ``½‖Ax − y‖²``."""
        return 0.5 * (self.operator.forward(volume) - self.kspace).abs().square().sum()

    def gradient(self, volume: Complex[Tensor, "x y z"]) -> Complex[Tensor, "x y z"]:
        """Gradient ``Aᴴ(Ax − y)`` of the data term, computed as ``AᴴA x − rhs``."""
        return self.operator.normal(volume) - self.rhs

    def unscale(self, volume: Complex[Tensor, "x y z"]) -> Complex[Tensor, "x y z"]:
        """The volume in the units of the scan."""
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


def power(
    kspace: Complex[Tensor, "coil x y z"], mask: Bool[Tensor, "y z"], noise: float = 0.0
) -> float:
    """Mean square of the real and imaginary parts of the volume, estimated from its samples.

    Maps of unit norm keep the energy of a volume in k-space. Its samples thin out towards the edge,
    so each ring of phase encodes counts as much as if it were fully sampled. The zero-filled volume
    alone has less: its references were at 1.04 to 1.08 of unit spread. ``noise`` is the standard
    deviation per real component; its part of the energy is left out.
    """
    coils, nx, ny, nz = kspace.shape
    y = (torch.arange(ny) - ny // 2)[:, None] * (max(ny, nz) / ny)
    z = (torch.arange(nz) - nz // 2)[None] * (max(ny, nz) / nz)
    ring = (y**2 + z**2).sqrt().round().long()
    energy = kspace.abs().square().sum((0, 1)).double().cpu() - 2 * nx * coils * noise**2
    measured = mask.cpu()
    every = torch.bincount(ring.flatten())
    seen = torch.bincount(ring[measured], minlength=len(every))
    sums = torch.bincount(ring[measured], weights=energy[measured], minlength=len(every))
    total = (sums * every / seen.clamp(min=1)).sum()
    return float(total) / (2 * nx * ny * nz)


def pose(
    kspace: Complex[Tensor, "coil x y z"],
    mask: Bool[Tensor, "y z"],
    noise: float,
    voxel: tuple[float, float, float],
    maps: Complex[Tensor, "coil x y z"] | None = None,
) -> Problem:
    """The problem of reconstructing independent channels when only ``mask`` is measured.

    Without ``maps``, ESPIRiT estimates them from the fully sampled centre of the masked data, as at
    the scanner.
    """
    kspace = kspace * mask
    return Problem.build(
        kspace, mask, coils.espirit(kspace) if maps is None else maps, noise, voxel
    )


def undersampled(
    prepared: Prepared, mask: Bool[Tensor, "y z"], maps: str = "calibration"
) -> Problem:
    """The problem of reconstructing a prepared volume when only ``mask`` is measured.

    ``maps`` is "calibration" (see `pose`), or "full" for maps from all data, as in paper A. Raises
    ReconError where only the reference of the volume is stored.
    """
    if prepared.kspace is None or prepared.maps is None:
        kept = "only the reference of this training volume is stored"
        raise ReconError(f"{prepared.name}: {kept}; reconstruct a validation or test volume")
    known = prepared.maps if maps == "full" else None
    return pose(prepared.kspace, mask & prepared.mask, prepared.noise, prepared.voxel, known)
