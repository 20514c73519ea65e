"""Batches of slices of all three planes, at one voxel size or at many."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon.errors import ReconError
from recon.mri.prepared import Prepared
from recon.mri.resample import crop_kspace, sincs, triangles, trilinear
from recon.mri.slices import planes
from recon.training import Batches


class SliceSource:
    """Draws batches of slices: one plane at random, then slices of that plane from random volumes
    of one shape.

    Volumes are at unit variance over real and imaginary parts. Each slice gets a random global
    phase, since the phase of a scan is arbitrary. Slices that are almost empty (below 1 % of the
    mean energy) teach nothing and are left out.
    """

    def __init__(self, volumes: Sequence[Complex[Tensor, "x y z"]]):
        if not volumes:
            raise ReconError("no training volumes; check the dataset's training split")
        self.volumes = [v / torch.view_as_real(v).std() for v in volumes]
        self.entries: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        for number, volume in enumerate(self.volumes):
            for axis in planes(tuple(volume.shape)):
                energy = volume.abs().square().mean([a for a in range(3) if a != axis])
                kept = torch.nonzero(energy > 0.01 * energy.mean()).flatten().tolist()
                plane = tuple(n for a, n in enumerate(volume.shape) if a != axis)
                self.entries.setdefault((axis, *plane), []).extend(
                    (number, index) for index in kept
                )
        self.groups = list(self.entries)
        self.weights = torch.tensor(
            [len(self.entries[g]) / self._axis_total(g[0]) for g in self.groups]
        )

    def _axis_total(self, axis: int) -> int:
        return sum(len(entries) for group, entries in self.entries.items() if group[0] == axis)

    def batch(self, size: int, generator: torch.Generator) -> Float[Tensor, "n 2 h w"]:
        """``size`` slices of one plane and shape."""
        return self._draw(
            size, generator, lambda number, index, axis: self.volumes[number].select(axis, index)
        )

    def _draw(
        self, size: int, generator: torch.Generator, cut: Callable[[int, int, int], Tensor]
    ) -> Float[Tensor, "n 2 h w"]:
        """Slices of one group, each as ``cut(volume, index, axis)`` gives it, turned by a random
        phase.
        """
        group = self.groups[int(torch.multinomial(self.weights, 1, generator=generator))]
        entries = self.entries[group]
        picks = torch.randint(len(entries), (size,), generator=generator).tolist()
        turns = torch.polar(torch.ones(size), 2 * math.pi * torch.rand(size, generator=generator))
        slices = [
            cut(*entries[p], group[0]) * turn for p, turn in zip(picks, turns.tolist(), strict=True)
        ]
        return torch.view_as_real(torch.stack(slices)).movedim(-1, 1).contiguous()


class DiverseSource(SliceSource):
    """Draws every batch at a voxel size of its own (paper A, section 4.2, approach 1):
    diverse-resolution training.

    The matrix factor is uniform in ``factors`` without ``held_out`` and drawn anew for every batch,
    whose slices so have one shape. The volume is resampled along all three axes with anti-aliasing,
    the field of view kept; only the slice that is needed is computed. "kspace" leaves the
    frequencies that remain as they are. "trilinear" damps them, by 0.4 at the highest, at every
    factor below 1, so that hardly any batch is as sharp as the volumes themselves.
    """

    def __init__(
        self,
        volumes: Sequence[Complex[Tensor, "x y z"]],
        factors: tuple[float, float],
        held_out: tuple[float, float] | None = None,
        resampling: str = "kspace",
    ):
        super().__init__(volumes)
        self.factors, self.held_out = factors, held_out or (factors[1], factors[1])
        self.weights_of, resample = (
            (sincs, crop_kspace) if resampling == "kspace" else (triangles, trilinear)
        )
        # references are zero where the coils see nothing
        self.inside = [(v != 0).to(v.dtype) for v in self.volumes]
        self.grid = torch.linspace(*factors, 8).tolist()
        self.spreads = [
            [
                float(torch.view_as_real(resample(v, scaled_shape(v.shape, f))).std())
                for f in self.grid
            ]
            for v in self.volumes
        ]

    def batch(self, size: int, generator: torch.Generator) -> Float[Tensor, "n 2 h w"]:
        """``size`` slices of one plane, shape and voxel size, at the unit variance of their
        resampled volume.
        """
        (low, high), (start, stop) = self.factors, self.held_out
        factor = float(torch.empty(()).uniform_(low, high - (stop - start), generator=generator))
        # uniform in what remains without the part held out
        factor += (stop - start) * (factor >= start)
        return self._draw(size, generator, partial(self._slice, factor=factor))

    def _slice(self, number: int, index: int, axis: int, factor: float) -> Complex[Tensor, "h w"]:
        """The slice of the resampled volume that lies where slice ``index`` of the volume does."""
        volume = self.volumes[number]
        shape = scaled_shape(volume.shape, factor)
        place = int((index + 0.5) * shape[axis] / volume.shape[axis])

        def resampled(values: Tensor, weights_of: Callable[[int, int], Tensor]) -> Tensor:
            weights = [
                weights_of(n, m).to(values) for n, m in zip(volume.shape, shape, strict=True)
            ]
            image = torch.tensordot(weights.pop(axis)[:, place], values, dims=([0], [axis]))
            return weights[0].T @ image @ weights[1]

        # no ringing where a coarse reference would be zero
        inside = resampled(self.inside[number], triangles).real > 0.5
        return (
            resampled(volume, self.weights_of)
            * inside
            / float(np.interp(factor, self.grid, self.spreads[number]))
        )


def scaled_shape(shape: Sequence[int], factor: float) -> tuple[int, int, int]:
    """The matrix of the same field of view at ``factor`` times the voxels along each axis; axes of
    one voxel stay.
    """
    return tuple(max(2, round(n * factor)) if n > 1 else 1 for n in shape)


def slices_of(volumes: Sequence[Prepared], settings: Any, device: str) -> SliceSource:
    """Slices of the references, at their own voxel size or, where ``settings.factors`` says so, at
    many.
    """
    references = [volume.reference.to(device) for volume in volumes]
    if settings.factors:
        return DiverseSource(references, settings.factors, settings.held_out, settings.resampling)
    return SliceSource(references)


BATCHES = Batches(slices_of)
