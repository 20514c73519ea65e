"""The slices of a volume that a prior regularises: which are drawn, and on which mesh they lie."""

import math

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from recon.methods.common import Pixel
from recon.mri.problem import Problem
from recon.mri.resample import trilinear
from recon.mri.slices import as_slices
from recon.priors import Prior, Wrapped
from recon.priors.resampled import in_voxels, mesh
from recon.representations import Representation


def random_slabs(
    size: int, slices: int, slab: int, generator: torch.Generator
) -> tuple[Int[Tensor, "n"], float]:
    """Indices of about ``slices`` of ``size`` positions, in random disjoint runs of ``slab``.

    The second value is the probability with which each position is among them. It is the same for
    all positions, although runs at the border are cut short.
    """
    if slices >= size:
        return torch.arange(size), 1.0
    slab = min(slab, slices)
    offset = int(torch.randint(slab, (1,), generator=generator))
    starts = torch.arange(-offset, size, slab)
    order = torch.randperm(len(starts), generator=generator)
    runs = max(1, round(slices / slab))
    index = (starts[order[:runs]][:, None] + torch.arange(slab)).flatten()
    return index[(index >= 0) & (index < size)], min(1.0, runs / len(starts))


class Slices:
    """The slices of a volume in some orientations, at the pixels of a prior.

    There are up to ``count``; see `Problem.orientations`. Raises `ReconError` for a pixel size that
    is not known or too large (see `in_voxels`, `mesh`).
    """

    def __init__(self, problem: Problem, prior: Prior, pixel: Pixel, count: int):
        self.shape, self.support = problem.operator.shape, problem.operator.support
        self.axes = problem.orientations(count)
        widths = in_voxels(pixel, prior, problem.voxel), (1.0, 1.0, 1.0)
        self.meshes, self.own = (
            {axis: mesh(self.shape, axis, width) for axis in self.axes} for width in widths
        )

    def of(
        self,
        model: Representation,
        volume: Complex[Tensor, "x y z"],
        axis: int,
        index: Int[Tensor, "n"],
    ) -> Float[Tensor, "n 2 h w"]:
        """The slices at the positions ``index``.

        They are taken from the ``volume`` of the model where the prior's pixels are the voxels.
        Elsewhere the model is sampled on their mesh.
        """
        pixels = self.meshes[axis]
        if pixels == self.own[axis]:
            return as_slices(volume.index_select(axis, index), axis)
        return model.slices(axis, index, pixels) * seen(self.support, axis, index, pixels)

    def area(self, axis: int) -> float:
        """The area of a pixel, in voxels."""
        return math.prod(self.own[axis]) / math.prod(self.meshes[axis])


def seen(
    support: Bool[Tensor, "x y z"], axis: int, index: Int[Tensor, "n"], pixels: tuple[int, int]
) -> Bool[Tensor, "n 1 h w"]:
    """Where some coil sees the slices at the positions ``index``, on a mesh of ``pixels``."""
    slices = support.index_select(axis, index).movedim(axis, 0)
    if tuple(slices.shape[1:]) != pixels:
        slices = trilinear(slices.float(), (len(slices), *pixels)) > 0.5
    return slices[:, None]


def denoise_runs(
    prior: Prior,
    slices: Float[Tensor, "n 2 h w"],
    sigma: Float[Tensor, "n"],
    index: Int[Tensor, "n"],
) -> Float[Tensor, "n 2 h w"]:
    """Denoises slices at the positions ``index``. A prior that looks at neighbours is given true
    neighbours only.
    """
    if prior.neighbours == 0:
        return prior.denoise(slices, sigma)
    breaks = torch.nonzero(torch.diff(index) != 1).flatten() + 1
    lengths = torch.diff(breaks, prepend=index.new_zeros(1), append=index.new_tensor([len(index)]))
    runs = zip(slices.split(lengths.tolist()), sigma.split(lengths.tolist()), strict=True)
    return torch.cat([prior.denoise(*run) for run in runs])


class InRuns(Wrapped):
    """A prior for slices at the positions ``index``, which it is shown run by run."""

    def __init__(self, prior: Prior, index: Int[Tensor, "n"]):
        super().__init__(prior)
        self.index = index

    def denoise(
        self, x: Float[Tensor, "n 2 h w"], sigma: float | Float[Tensor, "n"]
    ) -> Float[Tensor, "n 2 h w"]:
        """What the prior answers."""
        if self.neighbours == 0:
            return self.prior.denoise(x, sigma)
        levels = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).expand(len(x))
        return denoise_runs(self.prior, x, levels, self.index)
