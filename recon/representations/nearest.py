"""The voxel grid, read without interpolation: each pixel of a mesh shows the voxel that it lies in.

Paper A compares this with linear interpolation, which `voxels` does.
"""

from jaxtyping import Float, Int
from torch import Tensor

from recon.mri.slices import as_slices
from recon.representations import RepresentationKind
from recon.representations.meshes import cells
from recon.representations.voxels import Voxels


class Nearest(Voxels):
    """A volume whose parameters are its voxels, constant within each."""

    def slices(
        self, axis: int, index: Int[Tensor, "n"], pixels: tuple[int, int] | None = None
    ) -> Float[Tensor, "n 2 h w"]:
        """Slices across ``axis``. On a coarser mesh voxels are left out, so it aliases."""
        slices = as_slices(self.volume().index_select(axis, index), axis)
        for dim, count in zip((2, 3), pixels or slices.shape[2:], strict=True):
            if count != slices.shape[dim]:
                inside = cells(slices.shape[dim], count).floor().long()
                slices = slices.index_select(dim, inside.to(slices.device))
        return slices


REPRESENTATION = RepresentationKind(Nearest)
