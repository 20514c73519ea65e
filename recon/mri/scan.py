"""`Scan`: the one record in which every dataset, phantom and file of k-space arrives."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from recon.errors import ReconError


@dataclass(frozen=True)
class Scan:
    """Multi-coil Cartesian k-space of one volume.

    A 2D scan has ``z = 1``. A stack of 2D slices with one mask is transformed along the slices,
    which makes it a 3D scan fully sampled along kz. Positions ``(y, z)`` that were not measured
    hold zeros.
    """

    kspace: Complex[Tensor, "coil x y z"]  # centred; x is the readout, fully sampled
    voxel: tuple[float, float, float]  # mm, in axis order
    mask: Bool[Tensor, "y z"]  # measured phase encodes
    name: str = ""
    # a noise-only measurement, where there is one
    noise: Complex[Tensor, "coil sample"] | None = None
    # standard deviation of the noise per real component, where known otherwise
    levels: Float[Tensor, "coil"] | None = None
    # noise-free image × root sum of squares of the maps, where it is simulated
    truth: Complex[Tensor, "x y z"] | None = None
    # "measured", "semi-synthetic" or "phantom"; shown wherever the scan is shown
    origin: str = "measured"
    meta: dict = field(default_factory=dict)  # what the file says of itself; kept for provenance

    def __post_init__(self):
        where = self.name or "scan"
        if self.kspace.ndim != 4 or 0 in self.kspace.shape:
            raise ReconError(
                f"{where}: k-space has shape {tuple(self.kspace.shape)}; expected (coil, x, y, z), none of them 0"
            )
        if self.mask.shape != self.kspace.shape[-2:]:
            raise ReconError(
                f"{where}: mask has shape {tuple(self.mask.shape)}; expected (y, z) = {tuple(self.kspace.shape[-2:])}"
            )
        # one by one: the test itself takes memory
        if not all(torch.isfinite(torch.view_as_real(coil)).all() for coil in self.kspace):
            raise ReconError(
                f"{where}: k-space holds NaN or infinite values; repair the file or drop the damaged readouts"
            )
        if not self.mask.any() or not any(coil.any() for coil in self.kspace):
            raise ReconError(
                f"{where}: k-space is empty (all zeros); check which array of the file was read"
            )
        if len(self.voxel) != 3 or not all(0 < v < 1000 for v in self.voxel):
            raise ReconError(
                f"{where}: voxel size {self.voxel} mm is not plausible; expected three positive numbers in axis order"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (x, y, z)."""
        return tuple(self.kspace.shape[1:])

    @property
    def coils(self) -> int:
        """The number of receive channels."""
        return self.kspace.shape[0]
