"""`Subject`: one random individual of an anatomy, defined in mm and sampled at any voxel size."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Int
from torch import Tensor

from recon.errors import ReconError
from recon.phantoms import brain, knee, roots
from recon.phantoms.coils import smooth_phase, stream, voxel_centres
from recon.phantoms.fields import Canvas, Noise, Points

_MODULES = {"brain": brain, "knee": knee, "roots": roots}
ANATOMIES = tuple(_MODULES)
FOV = {name: module.FOV for name, module in _MODULES.items()}  # mm along (x, y, z)
TISSUES = {name: module.TISSUES for name, module in _MODULES.items()}  # the names of the labels
# Samples along each axis that are painted at a time. Such a block fits the caches, and shapes far
# from it cost nothing.
_BLOCK = 48


@runtime_checkable
class Model(Protocol):
    """What an anatomy provides: its tissue values, and methods that paint it at given positions."""

    values: dict[str, float]

    def paint(self, canvas: Canvas) -> None:
        """Paints every tissue of the block, outermost first."""

    def phase(self, points: Points) -> Float[Tensor, "x y z"] | float:
        """Local phase (radians) on top of the smooth object phase."""


@dataclass(frozen=True)
class Subject:
    """One individual; axes are x to the right, y to the front, z up (RAS), lengths in mm."""

    anatomy: str
    seed: int
    fov: tuple[float, float, float]
    model: Model = field(repr=False, compare=False)

    def render(self, shape: tuple[int, int, int], supersample: int = 2) -> Complex[Tensor, "x y z"]:
        """The image of ``shape`` voxels over the field of view; its magnitude peaks near 1.

        Every voxel is the mean of ``supersample`` samples along each axis. This gives it its
        partial volumes.
        """
        magnitude = torch.empty(shape)
        for where, canvas in self._painted(shape, supersample):
            magnitude[where] = F.avg_pool3d(canvas.image[None], supersample)[0]
        axes = [voxel_centres(n, f) for n, f in zip(shape, self.fov, strict=True)]
        points = Points(*torch.meshgrid(*axes, indexing="ij"))
        phase = smooth_phase(
            shape, self.fov, stream(self.seed, f"{self.anatomy} phase")
        ) + self.model.phase(points)
        return torch.polar(magnitude * self._shading(points), phase)

    def tissue(self, shape: tuple[int, int, int]) -> Int[Tensor, "x y z"]:
        """The label at every voxel centre, an index into ``TISSUES[anatomy]``; 0 is air."""
        label = torch.empty(shape, dtype=torch.int32)
        for where, canvas in self._painted(shape, 1):
            label[where] = canvas.label
        return label

    def _painted(
        self, shape: tuple[int, int, int], supersample: int
    ) -> Iterator[tuple[tuple[slice, ...], Canvas]]:
        axes = [voxel_centres(n * supersample, f) for n, f in zip(shape, self.fov, strict=True)]
        spacing = max(f / (n * supersample) for n, f in zip(shape, self.fov, strict=True))
        side = max(1, _BLOCK // supersample)
        for start in product(*(range(0, n, side) for n in shape)):
            where = tuple(slice(a, a + side) for a in start)
            part = [
                line[a * supersample : (a + side) * supersample]
                for line, a in zip(axes, start, strict=True)
            ]
            canvas = Canvas(
                Points(*torch.meshgrid(*part, indexing="ij")),
                spacing,
                TISSUES[self.anatomy],
                self.model.values,
            )
            self.model.paint(canvas)
            yield where, canvas

    def _shading(self, points: Points) -> Float[Tensor, "x y z"]:
        """The smooth receive shading of about ±15 % that remains after coil combination."""
        generator = torch.Generator().manual_seed(stream(self.seed, f"{self.anatomy} shading"))
        shading = Noise(1.3 * max(self.fov), generator, size=12)
        return 1 + 0.13 * torch.tanh(shading(*points)[0])


def subject(anatomy: str, seed: int) -> Subject:
    """The individual number ``seed`` of an anatomy.

    Raises ReconError for an anatomy that is not in ``ANATOMIES``.
    """
    if anatomy not in _MODULES:
        raise ReconError(f"unknown anatomy {anatomy!r}; choose one of {', '.join(ANATOMIES)}")
    return Subject(anatomy, seed, FOV[anatomy], _MODULES[anatomy].build(seed))
