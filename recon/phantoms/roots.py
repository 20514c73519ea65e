"""Plant roots in a pot of soil: bright roots of three orders, a seed, dark soil and stones.

The roots are bright because of their water; the soil is grainy. Template coordinates are in mm: z
up, with the surface of the soil near z = 32.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from recon.phantoms.fields import Canvas, Noise, Number, Point, Points, ellipsoid, tube, uniform

FOV = (64.0, 80.0, 80.0)  # mm along (x, y, z)
_VALUES = {
    "soil": 0.09,
    "stone": 0.02,
    "moisture": 0.26,
    "root": 0.85,
    "stele": 0.62,
    "seed": 0.75,
    "seed coat": 0.2,
    "shoot": 0.7,
}
TISSUES = ("air", *_VALUES)
_TOP, _BOTTOM = 32.0, -37.0
_STEP = 2.0  # mm between the vertices of a root


def build(seed: int) -> "Roots":
    """The root system of one plant."""
    return Roots(torch.Generator().manual_seed(seed))


class Roots:
    """One pot: the grown segments of the root system and the random fields of the soil."""

    def __init__(self, generator: torch.Generator):
        g = generator
        self.values = {name: value * uniform(0.9, 1.1, g) for name, value in _VALUES.items()}
        self.radius = uniform(27.5, 29.5, g)
        self.grains, self.clods, self.stones = (
            Noise(2.4, g, channels=2, size=96),
            Noise(9, g, channels=2),
            Noise(6, g),
        )
        self.seed = (uniform(-6, 6, g), uniform(-6, 6, g), uniform(20, 26, g))
        self.start, self.end, self.thick = self._grow(g)

    def phase(self, points: Points) -> float:
        """Zero: roots have no local phase on top of the smooth object phase."""
        return 0.0

    def _grow(
        self, g: torch.Generator
    ) -> tuple[Float[Tensor, "segment 3"], Float[Tensor, "segment 3"], Float[Tensor, "segment 2"]]:
        """Starts, ends and radii (mm) of all root segments.

        There are main roots, laterals, and laterals of the laterals. A segment has one radius at
        each end.
        """
        mains, fibrous = [], uniform(0, 1, g) < 0.5
        for k in range(int(uniform(5, 9, g)) if fibrous else 1):
            spread = uniform(0.5, 1.2, g) if fibrous else 0.15
            thick = uniform(0.7, 1.0, g) if fibrous else uniform(1.5, 2.1, g)
            mains.append(
                self._root(
                    self.seed,
                    self._heading(k * 2.4, spread),
                    thick,
                    95 if fibrous else 80,
                    0.12,
                    0.2 if fibrous else 0.13,
                    g,
                )
            )
        roots = list(mains)
        for order, (spacing, length, thick, droop) in enumerate(
            ((1.1, 36, 0.62, 0.05), (2.4, 14, 0.38, 0.02))
        ):
            parents, laterals = (mains if order == 0 else roots[len(mains) :]), []
            for path, _ in parents:
                reach = len(path) * _STEP
                for _ in range(int(reach / spacing / (3.5 if fibrous and order == 0 else 1))):
                    at = uniform(0.04, 0.8, g)
                    heading = self._heading(uniform(0, 2 * math.pi, g), uniform(1.1, 1.7, g))
                    extent = length * (1.1 - at) * uniform(0.3, 1.2, g)
                    laterals.append(
                        self._root(
                            path[int(at * (len(path) - 1))],
                            heading,
                            thick * uniform(0.7, 1.2, g),
                            extent,
                            droop,
                            0.3,
                            g,
                        )
                    )
            roots += laterals
        start = torch.tensor([p for path, _ in roots for p in path[:-1]])
        end = torch.tensor([p for path, _ in roots for p in path[1:]])
        thick = torch.tensor(
            [pair for path, radii in roots for pair in zip(radii[:-1], radii[1:], strict=True)]
        )
        return start, end, thick

    @staticmethod
    def _heading(azimuth: Number, from_down: Number) -> Point:
        return (
            math.sin(from_down) * math.cos(azimuth),
            math.sin(from_down) * math.sin(azimuth),
            -math.cos(from_down),
        )

    def _root(
        self,
        start: Point,
        heading: Point,
        radius: Number,
        length: Number,
        droop: Number,
        wander: Number,
        g: torch.Generator,
    ) -> tuple[list[Point], list[float]]:
        """Vertices and radii of one root: a random walk that follows the wall where it meets it.

        At each step it bends down by ``droop`` and sideways by ``wander``.
        """
        count = max(3, int(length / _STEP))
        turns = (torch.randn(count, 3, generator=g) * wander).tolist()
        path, d = [start], heading
        for turn in turns:
            d = (d[0] + turn[0], d[1] + turn[1], d[2] + turn[2] - droop)
            x, y, z = path[-1]
            out = math.hypot(x, y) / self.radius
            if out > 0.88:
                push = max(0.0, d[0] * x + d[1] * y) / (x * x + y * y)
                d = (d[0] - 1.3 * push * x, d[1] - 1.3 * push * y, d[2] - 0.1)
            if z < _BOTTOM + 3:
                break
            if z > _TOP - 4:
                d = (d[0], d[1], min(d[2], -0.2))
            norm = math.sqrt(sum(c * c for c in d)) or 1.0
            d = tuple(c / norm for c in d)
            path.append(tuple(c + _STEP * t for c, t in zip(path[-1], d, strict=True)))
        return path, [radius * (1 - 0.65 * k / count) for k in range(len(path))]

    def paint(self, canvas: Canvas) -> None:
        """Paints the soil, the roots in it, and the seed with its shoot."""
        p = canvas.points
        x, y, z = p
        pot = self.radius - (x**2 + y**2).sqrt()
        grains, clods = self.grains(x, y, z), self.clods(x, y, z)
        level = torch.minimum(_TOP + 0.8 * clods[0] - z, z - _BOTTOM)
        soil = torch.minimum(pot, level)
        wet = 1 - 0.012 * (z - 5)
        canvas.paint(soil, "soil", (wet * (1 + 0.35 * grains[0] + 0.3 * clods[0])).clamp(min=0.1))
        canvas.paint(torch.minimum(soil, 0.8 * (grains[1] + 0.5 * clods[1] - 2.0)), "moisture", wet)
        canvas.paint(torch.minimum(soil, 1.1 * (self.stones(x, y, z)[0] - 1.9)), "stone")
        core, share = self._splat(canvas)
        canvas.image += share * (self.values["root"] - canvas.image)
        canvas.image += core * (self.values["stele"] - canvas.image)
        canvas.label.masked_fill_(share > 0.5, TISSUES.index("root")).masked_fill_(
            core > 0.5, TISSUES.index("stele")
        )
        sx, sy, sz = self.seed
        canvas.paint(
            tube(p, ((sx, sy, sz), (sx + 1, sy, 60)), (1.8, 1.5)), "shoot", 1 + 0.1 * grains[0]
        )
        grain = ellipsoid(p, (sx, sy, sz + 1), (4.2, 3.2, 5))
        canvas.paint(grain, "seed coat")
        canvas.paint(torch.minimum(grain - 0.7, (x - sx).abs() - 0.25), "seed", 1 + 0.06 * clods[1])

    def _splat(self, canvas: Canvas) -> tuple[Float[Tensor, "x y z"], Float[Tensor, "x y z"]]:
        """The fractions of stele and of root in every sample.

        Each segment is drawn only in the box that it can reach. A root thinner than a sample is
        drawn one sample wide and fainter, so that its cross-section is kept.
        """
        share, core, h = (
            torch.zeros_like(canvas.image),
            torch.zeros_like(canvas.image),
            canvas.spacing,
        )
        x, y, z = canvas.points
        lines = (x[:, 0, 0].contiguous(), y[0, :, 0].contiguous(), z[0, 0, :].contiguous())
        low, high = torch.minimum(self.start, self.end), torch.maximum(self.start, self.end)
        reach = self.thick.amax(1, keepdim=True) + h
        first = torch.stack(
            [torch.searchsorted(c, low[:, k] - reach[:, 0]) for k, c in enumerate(lines)], 1
        )
        last = torch.stack(
            [torch.searchsorted(c, high[:, k] + reach[:, 0]) for k, c in enumerate(lines)], 1
        )
        for index in (last > first).all(1).nonzero()[:, 0].tolist():
            box = tuple(
                slice(i, j)
                for i, j in zip(first[index].tolist(), last[index].tolist(), strict=True)
            )
            radius, away = self._distance(
                index,
                lines[0][box[0], None, None],
                lines[1][None, box[1], None],
                lines[2][None, None, box[2]],
            )
            wide = radius.clamp(min=h / 2)
            cover = ((wide - away) / h + 0.5).clamp_(0, 1) * (radius**2 / (wide**2 + h * h / 12))
            share[box] = torch.maximum(share[box], cover)
            if self.thick[index, 0] > 0.8:  # the vessels in the middle of a thick root
                core[box] = torch.maximum(core[box], ((0.4 * radius - away) / h + 0.5).clamp_(0, 1))
        return core, share

    def _distance(
        self,
        index: int,
        x: Float[Tensor, "x 1 1"],
        y: Float[Tensor, "1 y 1"],
        z: Float[Tensor, "1 1 z"],
    ) -> tuple[Float[Tensor, "x y z"], Float[Tensor, "x y z"]]:
        """Radius of a segment at the closest point of its axis, and the distance to that point."""
        start, step = self.start[index].tolist(), (self.end[index] - self.start[index]).tolist()
        r0, r1 = self.thick[index].tolist()
        u, v, w = x - start[0], y - start[1], z - start[2]
        t = ((u * step[0] + v * step[1] + w * step[2]) / sum(s * s for s in step)).clamp_(0, 1)
        away = ((u - t * step[0]) ** 2 + (v - t * step[1]) ** 2 + (w - t * step[2]) ** 2).sqrt_()
        return r0 + (r1 - r0) * t, away
