"""Rectangular meshes in a volume, on which continuous representations are sampled.

Positions are in voxels of the measurement: n voxels tile an axis, voxel i reaches from i to i + 1
and has its centre at i + ½. A mesh of m pixels over the same field of view has its centres at
``(j + ½) n / m``. So a structure keeps its position, whatever the size of the pixels (see
`recon.mri.resample`).
"""

from collections.abc import Callable

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from recon.mri.slices import as_slices

# Ascending positions along each axis.
Mesh = tuple[Float[Tensor, "x"], Float[Tensor, "y"], Float[Tensor, "z"]]


def cells(voxels: int, count: int) -> Float[Tensor, "count"]:
    """Centres of ``count`` cells that tile ``voxels`` voxels."""
    return (torch.arange(count, dtype=torch.float64) + 0.5) * voxels / count


def grid(shape: tuple[int, int, int]) -> Mesh:
    """The centres of all voxels."""
    x, y, z = (cells(n, n) for n in shape)
    return x, y, z


def on_slices(
    sampled: Callable[[Mesh], Complex[Tensor, "x y z"]],
    shape: tuple[int, int, int],
    axis: int,
    index: Int[Tensor, "n"],
    pixels: tuple[int, int] | None,
) -> Float[Tensor, "n 2 h w"]:
    """What a representation shows on the slices across ``axis`` at the voxels ``index``.

    ``sampled`` takes a mesh, on which all slices lie. ``pixels`` is (h, w), None the voxels.
    """
    sizes = [n for a, n in enumerate(shape) if a != axis]
    mesh = [cells(n, m) for n, m in zip(sizes, pixels or sizes, strict=True)]
    order = index.argsort()
    mesh.insert(axis, index[order].cpu() + 0.5)
    x, y, z = (positions.double() for positions in mesh)
    return as_slices(sampled((x, y, z)), axis)[order.argsort()]


class Sampled(nn.Module):
    """A representation that can be sampled on any mesh, as `sampled` of a subclass does it."""

    shape: tuple[int, int, int]  # of the measurement's grid

    def sampled(self, mesh: Mesh) -> Complex[Tensor, "x y z"]:
        """The volume at the positions of a mesh."""
        raise NotImplementedError

    def volume(self) -> Complex[Tensor, "x y z"]:
        """The volume at the centres of the measurement's voxels."""
        return self.sampled(grid(self.shape))

    def slices(
        self, axis: int, index: Int[Tensor, "n"], pixels: tuple[int, int] | None = None
    ) -> Float[Tensor, "n 2 h w"]:
        """Slices across ``axis``, sampled directly on the mesh that ``pixels`` asks for."""
        return on_slices(self.sampled, self.shape, axis, index, pixels)
