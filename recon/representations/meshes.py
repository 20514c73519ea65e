"""Regular meshes in a volume, on which continuous representations are sampled.

Positions are in voxels of the measurement: n voxels tile an axis, voxel i reaches from i to i + 1
and has its centre at i + ½. A mesh of m pixels over the same field of view has its centres at
``(j + ½) n / m``. So a structure keeps its position, whatever the size of the pixels (see
`recon.mri.resample`).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from recon.mri.slices import as_slices


class Axis(NamedTuple):
    """Equally spaced positions along one axis."""

    first: float
    step: float
    count: int

    def positions(self, like: Tensor) -> Float[Tensor, "n"]:
        """The positions themselves."""
        steps = torch.arange(self.count, dtype=like.dtype, device=like.device)
        return self.first + self.step * steps


Mesh = tuple[Axis, Axis, Axis]


def cells(voxels: int, count: int) -> Axis:
    """Centres of ``count`` cells that tile ``voxels`` voxels."""
    step = voxels / count
    return Axis(step / 2, step, count)


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

    ``sampled`` takes a mesh; neighbouring slices are one. ``pixels`` is (h, w), None the voxels.
    """
    sizes = [n for a, n in enumerate(shape) if a != axis]
    within = [cells(n, m) for n, m in zip(sizes, pixels or sizes, strict=True)]
    found = []
    for first, count in runs(index):
        mesh = list(within)
        mesh.insert(axis, Axis(first + 0.5, 1.0, count))
        x, y, z = mesh
        found.append(as_slices(sampled((x, y, z)), axis))
    return torch.cat(found)


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


def runs(index: Int[Tensor, "n"]) -> list[tuple[int, int]]:
    """The first position and the length of each run of neighbouring positions."""
    breaks = (torch.diff(index) != 1).nonzero()[:, 0] + 1
    parts = index.tensor_split(breaks.cpu())
    return [(int(part[0]), len(part)) for part in parts if len(part)]
