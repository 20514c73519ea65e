"""`Scan`: the common record of every dataset, phantom and k-space file."""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from recon.errors import ReconError
from recon.mri import fourier


@dataclass(frozen=True)
class Scan:
    """Multi-coil Cartesian k-space of one volume.

    A 2D scan has ``z = 1``. In a ``stack``, slices were measured one by one, and z counts them.
    Positions ``(y, z)`` that were not measured hold zeros. Raises ReconError for k-space that
    cannot be used and for implausible voxel sizes.
    """

    kspace: Complex[Tensor, "coil x y z"]  # centred; x is the readout, fully sampled
    voxel: tuple[float, float, float]  # mm, in axis order
    mask: Bool[Tensor, "y z"]  # measured phase encodes
    name: str = ""
    # A noise-only measurement, if there is one.
    noise: Complex[Tensor, "coil sample"] | None = None
    # Standard deviation of the noise per real component, if it is known without a noise scan.
    levels: Float[Tensor, "coil"] | None = None
    # Noise-free image × root sum of squares of the maps, if the scan is simulated.
    truth: Complex[Tensor, "x y z"] | None = None
    # "measured", "semi-synthetic" or "phantom"; shown wherever the scan is shown.
    origin: str = "measured"
    meta: dict = field(default_factory=dict)  # facts from the file, kept for provenance
    stack: bool = False
    # Where voxels lie in the scanner: indices to mm, x to the right, y to the front, z up (RAS).
    affine: np.ndarray | None = None
    # Fully sampled k-space of a separate calibration scan over the same field of view, centred.
    calibration: Complex[Tensor, "coil cx cy cz"] | None = None
    # Central voxels that were asked for, where more were measured; None where all are.
    field_of_view: tuple[int, int, int] | None = None
    notes: tuple[str, ...] = ()  # what was assumed or left out, a sentence each

    def __post_init__(self):
        where = self.name or "scan"
        if self.kspace.ndim != 4 or 0 in self.kspace.shape:
            raise ReconError(
                f"{where}: k-space has shape {tuple(self.kspace.shape)}; "
                "expected (coil, x, y, z), all at least 1"
            )
        if self.mask.shape != self.kspace.shape[-2:]:
            raise ReconError(
                f"{where}: mask has shape {tuple(self.mask.shape)}; "
                f"expected (y, z) = {tuple(self.kspace.shape[-2:])}"
            )
        # The test needs memory, so the coils are tested one by one.
        if not all(torch.isfinite(torch.view_as_real(coil)).all() for coil in self.kspace):
            raise ReconError(
                f"{where}: k-space holds NaN or infinite values; "
                "repair the file or remove the damaged readouts"
            )
        if not self.mask.any() or not any(coil.any() for coil in self.kspace):
            raise ReconError(
                f"{where}: k-space is empty (all zeros); check which array of the file was read"
            )
        if len(self.voxel) != 3 or not all(0 < v < 1000 for v in self.voxel):
            raise ReconError(
                f"{where}: voxel size {self.voxel} mm is not plausible; "
                "expected three positive numbers below 1000, in axis order"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (x, y, z)."""
        return tuple(self.kspace.shape[1:])

    def volume(self) -> "Scan":
        """A stack as a 3D scan that is fully sampled along kz; any other scan as it is.

        So the methods for volumes apply to it. Raises ReconError where slices have different masks.
        """
        if not self.stack:
            return self
        seen = self.mask[:, self.mask.any(0)]  # a slice of zeros does not show its mask
        if (seen != seen[:, :1]).any():
            raise ReconError(
                f"{self.name}: the slices are sampled differently, so they do not make one volume; "
                "keep the slices of one mask"
            )
        mask = seen[:, :1].expand(-1, self.mask.shape[1]).clone()
        return replace(self, kspace=fourier.fft(self.kspace, (-1,)), mask=mask, stack=False)

    @property
    def coils(self) -> int:
        """The number of receive channels."""
        return self.kspace.shape[0]
