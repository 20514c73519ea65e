"""Building blocks of the phantoms: random fields, solid shapes and a canvas.

All of them are continuous functions of position in mm. Shapes are given by their *depth*: the
distance to the surface, positive inside. So ``maximum`` is a union, ``minimum`` an intersection,
``-depth`` the outside, and ``depth - t`` the shape without its outer layer of thickness ``t``.
"""

from collections.abc import Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Number = float | int  # the run-time type checker does not accept a whole number as a float
Point = tuple[Number, Number, Number]
Depth = Float[Tensor, "..."]  # one value for each position, or a single one for a block far away
_FAR = 25.0  # mm; a shape further away than this from a block of positions is not evaluated there


class Points:
    """A block of positions, and its bounding box.

    The positions are three tensors x, y and z of one shape, in mm.
    """

    def __init__(
        self,
        x: Float[Tensor, "*shape"],
        y: Float[Tensor, "*shape"],
        z: Float[Tensor, "*shape"],
    ):
        self.axes = (x, y, z)
        self.low, self.high = (
            [c.min().item() for c in self.axes],
            [c.max().item() for c in self.axes],
        )

    def __iter__(self) -> Iterator[Float[Tensor, "..."]]:
        return iter(self.axes)

    def far_from(self, low: Sequence[Number], high: Sequence[Number]) -> bool:
        """Whether the whole block is far away from the box between ``low`` and ``high``."""
        return any(
            a - q > _FAR or p - b > _FAR
            for p, q, a, b in zip(self.low, self.high, low, high, strict=True)
        )


class Noise:
    """A periodic random field of unit variance, with its energy around one ``wavelength`` (mm).

    The period has ``size / 6`` waves. There are six lattice points to a wave, so the trilinear
    interpolation between them is smooth enough for level sets. With ``slopes``, further channels
    are the derivatives along x, y and z (per mm), by central differences.
    """

    def __init__(
        self,
        wavelength: Number,
        generator: torch.Generator,
        channels: int = 1,
        size: int = 64,
        bandwidth: Number = 0.3,
        slopes: bool = False,
    ):
        self.period = wavelength * size / 6
        k = torch.fft.fftfreq(size) * 6
        radius = (
            k[:, None, None] ** 2 + k[None, :, None] ** 2 + k[None, None, : size // 2 + 1] ** 2
        ).sqrt()
        spectrum = torch.fft.rfftn(
            torch.randn(channels, size, size, size, generator=generator), dim=(1, 2, 3)
        )
        lattice = torch.fft.irfftn(
            spectrum * torch.exp(-0.5 * ((radius - 1) / bandwidth) ** 2),
            s=(size,) * 3,
            dim=(1, 2, 3),
        )
        lattice = (lattice - lattice.mean((1, 2, 3), keepdim=True)) / lattice.std(
            (1, 2, 3), keepdim=True
        )
        if slopes:
            steps = [
                (lattice.roll(-1, axis) - lattice.roll(1, axis)) * (3 / wavelength)
                for axis in (1, 2, 3)
            ]
            lattice = torch.cat([lattice, *steps])
        self.lattice = F.pad(lattice[None], (0, 1) * 3, mode="circular")

    def __call__(
        self,
        x: Float[Tensor, "#x #y #z"],
        y: Float[Tensor, "#x #y #z"],
        z: Float[Tensor, "#x #y #z"],
    ) -> Float[Tensor, "channel x y z"]:
        """Values at the given positions (mm)."""
        turns = torch.stack(torch.broadcast_tensors(z, y, x), dim=-1) / self.period
        grid = (turns - turns.floor()) * 2 - 1
        return F.grid_sample(
            self.lattice, grid[None], mode="bilinear", padding_mode="border", align_corners=True
        )[0]


def uniform(low: Number, high: Number, generator: torch.Generator) -> float:
    """One random number between ``low`` and ``high``."""
    return low + (high - low) * torch.rand((), generator=generator).item()


def ellipsoid(p: Points, centre: Point, axes: Point) -> Depth:
    """Depth in an ellipsoid with half-axes ``axes``; exact to first order at the surface.

    A block far away gets a single number.
    """
    if p.far_from(
        [c - a for c, a in zip(centre, axes, strict=True)],
        [c + a for c, a in zip(centre, axes, strict=True)],
    ):
        return torch.tensor(-_FAR)
    x, y, z = (((c - c0) / a) for c, c0, a in zip(p, centre, axes, strict=True))
    level = (x * x + y * y + z * z).sqrt_()
    slope = ((x / axes[0]) ** 2 + (y / axes[1]) ** 2 + (z / axes[2]) ** 2).sqrt_()
    return (1 - level) * level / slope.clamp_(min=1e-6)


def tube(
    p: Points, path: Sequence[Point], radii: Sequence[Number], stretch: Point = (1.0, 1.0, 1.0)
) -> Depth:
    """Depth in a tube along a polyline; its radius changes linearly between the vertices.

    ``stretch`` > 1 widens the tube along an axis. A block far away gets a single number.
    """
    depth = torch.tensor(-_FAR)
    for start, end, r0, r1 in zip(path[:-1], path[1:], radii[:-1], radii[1:], strict=True):
        reach = [max(r0, r1) * s for s in stretch]
        if p.far_from(
            [min(a, b) - r for a, b, r in zip(start, end, reach, strict=True)],
            [max(a, b) + r for a, b, r in zip(start, end, reach, strict=True)],
        ):
            continue
        step = [(b - a) / s for a, b, s in zip(start, end, stretch, strict=True)]
        offset = [(c - a) / s for c, a, s in zip(p, start, stretch, strict=True)]
        t = (
            sum(o * d for o, d in zip(offset, step, strict=True))
            .div_(sum(d * d for d in step))
            .clamp_(0, 1)
        )
        away = sum((o - t * d) ** 2 for o, d in zip(offset, step, strict=True)).sqrt_()
        depth = torch.maximum(depth, r0 + t * (r1 - r0) - away)
    return depth


def union(a: Depth, b: Depth, blend: Number) -> Depth:
    """Union of two shapes; where they meet, the edge is filled over about ``blend`` mm."""
    return torch.maximum(a, b) + (blend - (a - b).abs()).clamp(min=0) ** 2 / (4 * blend)


def carve(a: Depth, b: Depth, blend: Number) -> Depth:
    """Shape ``a`` without shape ``b``; the edge is rounded over about ``blend`` mm."""
    return -union(-a, b, blend)


class Canvas:
    """A block of positions on which tissues are painted one over the other.

    A surface is drawn as a ramp that is one sample wide. For a flat surface, its value is the
    fraction of the sample's box that lies inside. So thin layers have no staircases, and images of
    different voxel sizes agree.
    """

    def __init__(
        self, points: Points, spacing: float, tissues: Sequence[str], values: Mapping[str, float]
    ):
        self.points, self.spacing, self.tissues, self.values = points, spacing, tissues, values
        self.image = torch.zeros_like(points.axes[0])
        self.label = torch.zeros_like(points.axes[0], dtype=torch.int32)

    def paint(self, depth: Depth, tissue: str, texture: Float[Tensor, "..."] | float = 1.0) -> None:
        """Covers the inside of a shape with a tissue; ``texture`` multiplies its value."""
        if depth.max() < -self.spacing:
            return
        cover = (depth / self.spacing + 0.5).clamp_(0, 1)
        self.image += cover * (self.values[tissue] * texture - self.image)
        self.label.masked_fill_(cover > 0.5, self.tissues.index(tissue))
