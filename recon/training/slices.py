"""Batches of slices of all three planes, at one voxel size or at many."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Complex, Float, Inexact
from torch import Tensor

from recon.errors import ReconError
from recon.mri.prepared import Prepared
from recon.mri.resample import crop_kspace, sincs, triangles, trilinear
from recon.mri.slices import planes, spread, stack_around
from recon.networks.trained import SliceTraining
from recon.training import Batches, BatchSource
from recon.training.transfer import TransferSource, varied


class SliceSource:
    """Draws a plane at random, then slices of that plane from random volumes of one shape.

    Volumes are at unit power over real and imaginary parts. Each slice gets a random global
    phase, since the phase of a scan is arbitrary. Slices below 1 % of the mean energy are almost
    empty: they teach nothing, and are left out.
    """

    def __init__(
        self, volumes: Sequence[Complex[Tensor, "x y z"]], axes: Sequence[int] = (0, 1, 2)
    ):
        if not volumes:
            raise ReconError("no training volumes; check the dataset's training split")
        self.volumes = [volume / spread(volume) for volume in volumes]
        self.entries: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        for number, volume in enumerate(self.volumes):
            for axis in (a for a in planes(tuple(volume.shape)) if a in axes):
                energy = volume.abs().square().mean([a for a in range(3) if a != axis])
                kept = torch.nonzero(energy > 0.01 * energy.mean()).flatten().tolist()
                plane = tuple(n for a, n in enumerate(volume.shape) if a != axis)
                found = self.entries.setdefault((axis, *plane), [])
                found += [(number, index) for index in kept]
        self.groups = list(self.entries)
        if not self.groups:
            raise ReconError(f"no training slices across the axes {list(axes)}; correct axes")
        shares = [len(self.entries[g]) / self._axis_total(g[0]) for g in self.groups]
        self.weights = torch.tensor(shares)

    def _axis_total(self, axis: int) -> int:
        return sum(len(entries) for group, entries in self.entries.items() if group[0] == axis)

    def batch(self, size: int, generator: torch.Generator) -> Float[Tensor, "n 2 h w"]:
        """``size`` slices of one plane and shape."""

        def cut(number: int, index: int, axis: int) -> Complex[Tensor, "h w"]:
            return self.volumes[number].select(axis, index)

        return self._draw(size, generator, cut)

    def _draw(
        self,
        size: int,
        generator: torch.Generator,
        cut: Callable[[int, int, int], Complex[Tensor, "*d h w"]],
    ) -> Float[Tensor, "n *d 2 h w"]:
        """Slices of one group, as ``cut(volume, index, axis)`` gives them, with random phases."""
        group = self.groups[int(torch.multinomial(self.weights, 1, generator=generator))]
        entries = self.entries[group]
        picks = torch.randint(len(entries), (size,), generator=generator).tolist()
        turns = torch.polar(torch.ones(size), 2 * math.pi * torch.rand(size, generator=generator))
        pairs = zip(picks, turns.tolist(), strict=True)
        slices = [cut(*entries[pick], group[0]) * turn for pick, turn in pairs]
        return torch.view_as_real(torch.stack(slices)).movedim(-1, -3).contiguous()


class StackSource(SliceSource):
    """Draws stacks of ``depth`` neighbouring slices, each with one random phase.

    A stack lies where its middle slice was drawn, or as near to it as the volume allows.
    """

    def __init__(
        self,
        volumes: Sequence[Complex[Tensor, "x y z"]],
        depth: int,
        axes: Sequence[int] = (0, 1, 2),
    ):
        super().__init__(volumes, axes)
        self.depth = depth
        thin = [n for group in self.groups for n in self._sizes(group[0]) if n < depth]
        if thin:
            few = f"a stack of {depth} slices is deeper than a volume of {min(thin)}"
            raise ReconError(f"{few}; set stack to less")

    def _sizes(self, axis: int) -> list[int]:
        return [volume.shape[axis] for volume in self.volumes]

    def batch(self, size: int, generator: torch.Generator) -> Float[Tensor, "b d 2 h w"]:
        """``size`` slices of one plane and shape, as stacks."""

        def cut(number: int, index: int, axis: int) -> Complex[Tensor, "d h w"]:
            return stack_around(self.volumes[number], axis, index, self.depth)

        return self._draw(size // self.depth, generator, cut)


class DiverseSource(SliceSource):
    """Draws every batch at a voxel size of its own, for diverse-resolution training.

    Source: paper A, section 4.2, approach 1. The matrix factor is uniform in ``factors`` without
    ``held_out``. It is drawn anew for every batch, so that the slices of a batch have one shape.
    The volume is resampled along all three axes with anti-aliasing, and the field of view is kept.
    Only the slice that is needed is computed. "kspace" leaves the remaining frequencies as they
    are. "trilinear" damps them at every factor below 1, by 0.4 at the highest, so that hardly any
    batch is as sharp as the volumes themselves.
    """

    def __init__(
        self,
        volumes: Sequence[Complex[Tensor, "x y z"]],
        factors: tuple[float, float],
        held_out: tuple[float, float] | None = None,
        resampling: str = "kspace",
        axes: Sequence[int] = (0, 1, 2),
    ):
        super().__init__(volumes, axes)
        self.factors, self.held_out = factors, held_out or (factors[1], factors[1])
        cropped = resampling == "kspace"
        self.weights_of, resample = (sincs, crop_kspace) if cropped else (triangles, trilinear)
        # References are zero where the coils see nothing.
        self.inside = [(v != 0).to(v.dtype) for v in self.volumes]
        self.grid = torch.linspace(*factors, 8).tolist()
        self.spreads = [
            [float(spread(resample(v, scaled_shape(v.shape, f)))) for f in self.grid]
            for v in self.volumes
        ]

    def batch(self, size: int, generator: torch.Generator) -> Float[Tensor, "n 2 h w"]:
        """``size`` slices of one plane, shape and voxel size.

        They are scaled so that their resampled volume has unit variance.
        """
        (low, high), (start, stop) = self.factors, self.held_out
        factor = float(torch.empty(()).uniform_(low, high - (stop - start), generator=generator))
        # This makes the factor uniform in what remains without the part held out.
        factor += (stop - start) * (factor >= start)
        return self._draw(size, generator, partial(self._slice, factor=factor))

    def _slice(self, number: int, index: int, axis: int, factor: float) -> Complex[Tensor, "h w"]:
        """The slice of the resampled volume that lies where slice ``index`` of the volume does."""
        volume = self.volumes[number]
        shape = scaled_shape(volume.shape, factor)
        place = int((index + 0.5) * shape[axis] / volume.shape[axis])
        sizes = list(zip(volume.shape, shape, strict=True))
        scale = float(np.interp(factor, self.grid, self.spreads[number]))

        def resampled(
            values: Complex[Tensor, "x y z"],
            weights_of: Callable[[int, int], Inexact[Tensor, "old new"]],
        ) -> Complex[Tensor, "h w"]:
            weights = [weights_of(n, m).to(values) for n, m in sizes]
            image = torch.tensordot(weights.pop(axis)[:, place], values, dims=([0], [axis]))
            return weights[0].T @ image @ weights[1]

        # Nothing rings where a coarse reference would be zero.
        inside = resampled(self.inside[number], triangles).real > 0.5
        return resampled(volume, self.weights_of) * inside / scale


def scaled_shape(shape: Sequence[int], factor: float) -> tuple[int, int, int]:
    """The matrix of the same field of view with ``factor`` times the voxels along each axis.

    An axis of one voxel stays.
    """
    return tuple(max(2, round(n * factor)) if n > 1 else 1 for n in shape)


def slices_of(volumes: Sequence[Prepared], settings: SliceTraining, device: str) -> BatchSource:
    """Slices of the references, at their own voxel size or, with ``settings.factors``, at many.

    With ``settings.transfer`` they are varied for measured scans; see `recon.training.transfer`.
    """
    if settings.transfer:
        voxels = [volume.voxel for volume in volumes]
        parts = voxels, settings.transfer, settings.stack
        return TransferSource([v.reference for v in volumes], *parts)
    references = [volume.reference.to(device) for volume in volumes]
    axes = settings.axes
    if settings.factors:
        parts = settings.factors, settings.held_out, settings.resampling
        return DiverseSource(references, *parts, axes)
    if settings.stack > 1:
        return StackSource(references, settings.stack, axes)
    return SliceSource(references, axes)


def validation_of(volumes: Sequence[Prepared], settings: SliceTraining) -> Sequence[Prepared]:
    """The volumes themselves, or varied slices of them."""
    if not settings.transfer or not volumes:
        return volumes
    return varied(volumes, settings.transfer, settings.stack)


BATCHES = Batches(slices_of, validation_of)
