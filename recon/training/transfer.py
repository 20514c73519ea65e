"""Batches of magnitude slices, varied so that a prior of them serves measured scans.

A measured slice has a smooth phase, a bias field of its coils, some contrast, some voxel size and
some field of view. A folder of magnitudes has none of the first and one of each of the others. So
each slice gets its own, at random. It is cut to a bounded size, so that slices of 320² pixels train
on two cores.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from torch import Tensor

from recon.errors import ReconError
from recon.mri import fourier
from recon.mri.prepared import Prepared
from recon.mri.slices import as_volume, planes, spread, stack_around
from recon.networks.trained import Transfer

SQUARE = 1.5  # the sides of a pixel differ by no more than this factor
EMPTY = 0.05  # slices with a smaller share of the mean energy teach nothing
KNOTS = 6  # of a random map of intensities


class Magnitude(NamedTuple):
    """A slice as it is stored, or a stack around it, and what is known of the slice."""

    image: Float[Tensor, "*d h w"]  # about 1 at the brightest of its volume
    power: float  # root mean square of the slice over that of its volume
    pixel: float  # mm; the geometric mean of the sides


class TransferSource:
    """Draws slices of random volumes and planes, varies them, and cuts them to one size.

    With a ``depth`` above 1 they are stacks of neighbours, varied alike.
    """

    def __init__(
        self,
        volumes: Sequence[Complex[Tensor, "x y z"]],
        voxels: Sequence[tuple[float, float, float]],
        settings: Transfer,
        depth: int = 1,
    ):
        if not volumes:
            raise ReconError("no training volumes; check the dataset's training split")
        found = [magnitudes(*pair, depth) for pair in zip(volumes, voxels, strict=True)]
        self.settings, self.volumes = settings, [slices for slices in found if slices]
        self.depth = depth
        if not self.volumes:
            raise ReconError(f"no plane of the volumes has pixels within 1 : {SQUARE}")

    def batch(self, size: int, generator: torch.Generator) -> Float[Tensor, "n *d 2 h w"]:
        """``size`` slices of one shape, at about the scale of `recon.mri.problem.Problem`.

        They are in stacks where these are drawn.
        """
        low, high = self.settings.size
        steps = torch.randint(low // 8, high // 8 + 1, (2,), generator=generator)
        shape = tuple((8 * steps).tolist())
        samples = range(size // self.depth)
        drawn = [self._varied(self._drawn(generator), shape, generator) for _ in samples]
        return torch.view_as_real(torch.stack(drawn)).movedim(-1, -3).contiguous()

    def _drawn(self, generator: torch.Generator) -> "Magnitude":
        """A slice of some volume. Volumes count the same, however many slices they have."""

        def one(of: list) -> Any:
            return of[int(torch.randint(len(of), (), generator=generator))]

        return one(one(self.volumes))

    def _varied(
        self,
        drawn: "Magnitude",
        shape: tuple[int, int],
        generator: torch.Generator,
    ) -> Complex[Tensor, "*d p q"]:
        """A slice or stack with its own contrast, bias, phase, voxels, orientation and place."""
        chosen, image = self.settings, drawn.image
        uniform = torch.rand(10, generator=generator).tolist()
        if uniform[0] < chosen.contrast:
            image = remapped(image, uniform[1] < chosen.inverted, generator)
        if chosen.bias:
            field = smooth(image.shape[-2:], 3, chosen.bias * uniform[8], generator)
            image = image * field.exp()
        phase = smooth(image.shape[-2:], 5, chosen.phase * uniform[9], generator)
        values = torch.polar(image, phase + 2 * math.pi * uniform[2])
        low, high = chosen.pixels
        factor = min(1.0, drawn.pixel / (low * (high / low) ** uniform[3]))
        kept, plane = [max(8, round(n * factor)) for n in image.shape[-2:]], (-2, -1)
        values = fourier.ifft(fourier.crop(fourier.fft(values, plane), kept, plane), plane)
        if chosen.flips:
            values = values.flip([plane[a] for a in (0, 1) if uniform[4 + a] < 0.5])
            values = values.mT if uniform[6] < 0.5 else values
        # Half of the scans are one slice, whose own power sets the scale, half are volumes.
        power = drawn.power if uniform[7] < 0.5 else 1.0
        scale = power * math.exp(chosen.jitter * float(torch.randn((), generator=generator)))
        values = values * (scale / max(1e-6, float(spread(values))))
        return window(values, shape, generator)


def magnitudes(
    volume: Complex[Tensor, "x y z"], voxel: tuple[float, float, float], depth: int = 1
) -> list[Magnitude]:
    """The slices of all planes whose pixels are about square, without almost empty ones.

    With a ``depth`` above 1, each is the stack of so many slices around it, or as near as can be.
    """
    size, whole, found = volume.abs(), float(spread(volume)), []
    top = float(size.flatten()[:: max(1, size.numel() // 10**6)].quantile(0.995))
    scaled = size / top
    for axis in planes(tuple(volume.shape)):
        sides = [v for a, v in enumerate(voxel) if a != axis]
        if max(sides) > SQUARE * min(sides) or volume.shape[axis] < depth:
            continue
        energy = size.square().mean([a for a in range(3) if a != axis])
        for index in torch.nonzero(energy > EMPTY * energy.mean()).flatten().tolist():
            power = math.sqrt(float(energy[index]) / 2) / whole
            stack = stack_around(scaled, axis, index, depth)
            image = stack if depth > 1 else stack[0]
            found.append(Magnitude(image, power, math.sqrt(sides[0] * sides[1])))
    return found


def varied(
    volumes: Sequence[Prepared], settings: Transfer, depth: int = 1, count: int = 24
) -> list[Prepared]:
    """Slices or stacks of validation volumes as training would draw them, each a volume."""
    voxels = [volume.voxel for volume in volumes]
    source = TransferSource([volume.target for volume in volumes], voxels, settings, depth)
    generator = torch.Generator().manual_seed(0)
    drawn = [source.batch(depth, generator).flatten(0, -4) for _ in range(max(1, count // depth))]
    slices = [as_volume(one, axis=0) for one in drawn]
    arrays = {"kspace": None, "maps": None, "truth": None}
    return [
        replace(volumes[0], reference=s, support=s != 0, mask=s[0] == s[0], **arrays)
        for s in slices
    ]


def remapped(
    image: Float[Tensor, "*d h w"], inverted: bool, generator: torch.Generator
) -> Float[Tensor, "*d h w"]:
    """The image in another contrast: its intensities go through a random rising curve.

    ``inverted`` turns the curve around inside the head; zero stays zero.
    """
    rises = torch.rand(KNOTS, generator=generator) + 0.1
    curve = F.pad((rises / rises.sum()).cumsum(0), (1, 0))
    place = image.clamp(0, 1) * KNOTS
    below = place.long().clamp(max=KNOTS - 1)
    mapped = torch.lerp(curve[below], curve[below + 1], place - below)
    if not inverted:
        return mapped
    inside = (image / 0.1).clamp(max=1)  # rises from the background to the tissue
    return inside * (1.1 - mapped)


def smooth(
    shape: Sequence[int], knots: int, size: float, generator: torch.Generator
) -> Float[Tensor, "h w"]:
    """A smooth random field: ``knots``² normal numbers of standard deviation ``size``,
    interpolated.
    """
    coarse = size * torch.randn((knots, knots), generator=generator)
    rows, columns = (bicubic(n, knots) for n in shape)
    return rows @ coarse @ columns.T


@lru_cache(maxsize=64)
def bicubic(size: int, knots: int) -> Float[Tensor, "n k"]:
    """The matrix that interpolates ``knots`` values to ``size``."""
    each = torch.eye(knots)[None, None]
    return F.interpolate(each, (size, knots), mode="bicubic", align_corners=True)[0, 0]


def window(
    values: Complex[Tensor, "*d h w"], shape: tuple[int, int], generator: torch.Generator
) -> Complex[Tensor, "*d p q"]:
    """A random part of ``shape`` pixels; zeros where the image is smaller."""
    out = values.new_zeros(*values.shape[:-2], *shape)
    taken, placed = [...], [...]
    for n, wanted in zip(values.shape[-2:], shape, strict=True):
        size = min(n, wanted)
        starts = [int(torch.randint(m - size + 1, (), generator=generator)) for m in (n, wanted)]
        taken.append(slice(starts[0], starts[0] + size))
        placed.append(slice(starts[1], starts[1] + size))
    out[tuple(placed)] = values[tuple(taken)]
    return out
