"""The plain voxel grid."""

from typing import Any

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from recon.mri.resample import trilinear
from recon.mri.slices import as_slices
from recon.representations import RepresentationKind


class Voxels(nn.Module):
    """A volume whose parameters are its voxels."""

    def __init__(self, start: Complex[Tensor, "x y z"]):
        super().__init__()
        self.values = nn.Parameter(torch.view_as_real(start).clone())

    def volume(self) -> Complex[Tensor, "x y z"]:
        """The volume on the measurement's grid."""
        return torch.view_as_complex(self.values)

    def slices(
        self, axis: int, index: Int[Tensor, "n"], pixels: tuple[int, int] | None = None
    ) -> Float[Tensor, "n 2 h w"]:
        """Slices across ``axis``, interpolated linearly where ``pixels`` asks for another mesh.

        A coarser mesh gets anti-aliasing.
        """
        slices = as_slices(self.volume().index_select(axis, index), axis)
        if pixels is None or tuple(slices.shape[-2:]) == tuple(pixels):
            return slices
        return trilinear(slices, (2, *pixels))

    def parameter_groups(self, rate: float) -> list[dict[str, Any]]:
        """All voxels at the method's rate."""
        return [{"params": [self.values], "lr": rate}]


REPRESENTATION = RepresentationKind(Voxels)
