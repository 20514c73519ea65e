"""Sums of 3D Gaussians on a CPU: only the samples in the box around each are visited.

Gaussians with boxes of one size are computed together. All that depends on one or two axes only is
computed on these. Real and imaginary parts are held apart, since complex products are slow.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from recon.representations.meshes import Mesh

CUT = 3.0  # standard deviations beyond which a Gaussian is zero
PAIRS = 2**18  # of Gaussian and sample that are held in memory at once
# A batch of its own costs about as much time as this many pairs.
BATCH = 2**14
# Sides of the boxes are rounded up to these.
SIZES = (2, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


class Boxes:
    """Gaussians on a mesh, box by box, for both passes; see `recon.representations.splatting`."""

    def __init__(
        self,
        mesh: Mesh,
        centre: Float[Tensor, "g 3"],
        factor: Float[Tensor, "g 3 3"],
        wave: Float[Tensor, "g 3"] | None,
    ):
        self.mesh, self.centre, self.factor, self.wave = mesh, centre, factor, wave

    def forward(self, amplitude: Complex[Tensor, "g"]) -> Complex[Tensor, "x y z"]:
        """The sum of all Gaussians."""
        shape = [len(positions) for positions in self.mesh]
        sums = self.centre.new_zeros(2, math.prod(shape))
        for batch in batches(self.mesh, self.centre, self.factor):
            weight, flat = batch.weight(self.factor), batch.places.flatten()
            for part, turned in zip(sums, batch.turned(amplitude, self.wave), strict=True):
                part.index_add_(0, flat, (weight * turned).flatten())
        return torch.complex(*sums).view(shape)

    def backward(
        self, amplitude: Complex[Tensor, "g"], gradient: Complex[Tensor, "x y z"]
    ) -> Float[Tensor, "g 15"]:
        """Sums over the samples of each Gaussian, as `splatting.gradients` takes them."""
        parts = torch.view_as_real(gradient.reshape(-1)).T.contiguous()
        sums = self.centre.new_zeros(len(self.centre), 15)
        for batch in batches(self.mesh, self.centre, self.factor):
            which, flat = batch.which, batch.places.flatten()
            weight = batch.weight(self.factor)
            re, im = (weight * p.index_select(0, flat).view_as(weight) for p in parts)
            if self.wave is not None:  # times the conjugate of the plane wave
                cos, sin = batch.turned(torch.ones_like(amplitude), self.wave)
                re, im = re * cos + im * sin, im * cos - re * sin
            sums[which, :2] = torch.stack([re.sum((1, 2, 3)), im.sum((1, 2, 3))], 1)
            a, b = torch.view_as_real(amplitude[which])[:, :, None, None, None].unbind(1)
            sums[which, 2:11] = batch.moments(a * re + b * im)[:, 1:]
            if self.wave is not None:
                sums[which, 11:] = batch.moments(a * im - b * re)[:, :4]
        return sums


@dataclass(frozen=True)
class Batch:
    """Gaussians whose boxes on the mesh have one size."""

    which: Int[Tensor, "b"]  # of all Gaussians
    places: Int[Tensor, "b x y z"]  # flat indices of the samples in the box of each
    apart: tuple[Tensor, Tensor, Tensor]  # offsets of the samples from the centre, by axis: (b, n)

    def weight(self, factor: Float[Tensor, "g 3 3"]) -> Float[Tensor, "b x y z"]:
        """The Gaussian with amplitude 1 and without its wave; zero beyond the cut."""
        inner = factor[self.which]
        inverse = (inner @ inner.mT)[:, :, :, None, None]  # of the covariance
        (dx, dy, dz), p = self.apart, inverse
        x, y, z = dx[:, :, None], dy[:, None, :], dz[:, None, :]
        # |Lᵀd|², as a sum of terms that depend on two axes each
        xy = x * (p[:, 0, 0] * x + 2 * p[:, 0, 1] * y)
        yz = y.mT * (p[:, 1, 1] * y.mT + 2 * p[:, 1, 2] * z)
        xz = z * (p[:, 2, 2] * z + 2 * p[:, 0, 2] * x)
        square = xy[:, :, :, None] + xz[:, :, None, :] + yz[:, None]
        return square.mul(-0.5).exp_().mul_(square < CUT**2)

    def turned(
        self, amplitude: Complex[Tensor, "g"], wave: Float[Tensor, "g 3"] | None
    ) -> tuple[Float[Tensor, "b #x #y #z"], Float[Tensor, "b #x #y #z"]]:
        """Amplitude times plane wave, real and imaginary part; the wave is a product over axes."""
        found = amplitude[self.which, None, None]
        if wave is None:
            return found.real[..., None], found.imag[..., None]
        angles = [wave[self.which, a, None] * apart for a, apart in enumerate(self.apart)]
        x, y, z = (torch.polar(torch.ones_like(angle), angle) for angle in angles)
        xy, z = (found * x[:, :, None] * y[:, None, :])[..., None], z[:, None, None, :]
        return xy.real * z.real - xy.imag * z.imag, xy.real * z.imag + xy.imag * z.real

    def moments(self, weight: Float[Tensor, "b x y z"]) -> Float[Tensor, "b 10"]:
        """Sums of weights times 1, dx, dy, dz, dx², dxdy, dxdz, dy², dydz, dz²."""
        xy, xz, yz = weight.sum(3), weight.sum(2), weight.sum(1)
        lines = xy.sum(2), xy.sum(1), yz.sum(1)
        first = [(d * w).sum(1) for d, w in zip(self.apart, lines, strict=True)]
        xx, yy, zz = ((d * d * w).sum(1) for d, w in zip(self.apart, lines, strict=True))
        dx, dy, dz = self.apart
        xy, xz, yz = (
            ((a[:, None] @ w)[:, 0] * b).sum(1)
            for a, w, b in ((dx, xy, dy), (dx, xz, dz), (dy, yz, dz))
        )
        return torch.stack([lines[0].sum(1), *first, xx, xy, xz, yy, yz, zz], 1)


def deviations(factor: Float[Tensor, "g 3 3"]) -> Float[Tensor, "g 3"]:
    """The standard deviation along each axis, the root of the diagonal of (L Lᵀ)⁻¹.

    The rows of L⁻¹ are cross products of the columns of L, which is faster than to invert it.
    """
    a, b, c = factor.unbind(2)
    crossed = [torch.linalg.cross(*pair) for pair in ((b, c), (c, a), (a, b))]
    volume = (a * crossed[0]).sum(1, keepdim=True)
    return torch.stack(crossed, 1).norm(dim=1) / volume.abs()


def reached(
    mesh: Mesh, centre: Float[Tensor, "g 3"], factor: Float[Tensor, "g 3 3"]
) -> tuple[Int[Tensor, "b"], Int[Tensor, "b 3"], Int[Tensor, "b 3"]]:
    """Which Gaussians reach samples of the mesh, the first along each axis, and the end."""
    reach = CUT * deviations(factor)
    low, high = (
        torch.stack(
            [
                torch.searchsorted(positions, x.contiguous(), right=right)
                for positions, x in zip(mesh, side.T, strict=True)
            ],
            1,
        )
        for side, right in ((centre - reach, False), (centre + reach, True))
    )
    near = (low < high).all(1).nonzero()[:, 0]
    return near, low[near], high[near]


def batches(
    mesh: Mesh, centre: Float[Tensor, "g 3"], factor: Float[Tensor, "g 3 3"]
) -> Iterator[Batch]:
    """All Gaussians that reach the mesh, in batches of bounded memory."""
    x, y, z = mesh
    near, low, high = reached(mesh, centre, factor)
    counts = torch.tensor([len(positions) for positions in mesh], device=centre.device)
    sizes = torch.tensor([*SIZES, 2**31], device=centre.device)
    size = torch.minimum(sizes[torch.bucketize(high - low, sizes)], counts)
    kinds, member, numbers = size.unique(dim=0, return_inverse=True, return_counts=True)
    for box, joined in merged(kinds.tolist(), numbers.tolist()):
        of = torch.isin(member, torch.tensor(joined, device=member.device)).nonzero()[:, 0]
        steps = [torch.arange(n, device=centre.device) for n in box]
        first = torch.minimum(low, counts - torch.tensor(box, device=low.device))  # on the mesh
        for part in of.split(max(1, PAIRS // math.prod(box))):
            which = near[part]
            i, j, k = (first[part, a, None] + steps[a] for a in range(3))
            plane = (i * len(y))[:, :, None] + j[:, None, :]
            places = (plane * len(z))[..., None] + k[:, None, None, :]
            centres = centre[which].T[..., None]
            yield Batch(which, places, (x[i] - centres[0], y[j] - centres[1], z[k] - centres[2]))


def merged(kinds: list[list[int]], numbers: list[int]) -> list[tuple[list[int], list[int]]]:
    """Sizes of boxes, joined where one larger box for all costs less than a batch of its own.

    ``numbers`` says how many boxes have each size. Returns the larger boxes, each with the places
    in ``kinds`` that it stands for.
    """
    out: list[tuple[list[int], list[int]]] = []
    held = 0  # boxes of the last entry
    for n in sorted(range(len(kinds)), key=lambda n: (math.prod(kinds[n]), kinds[n])):
        if out:
            box, joined = out[-1]
            larger = [max(a, b) for a, b in zip(box, kinds[n], strict=True)]
            before = math.prod(box) * held + math.prod(kinds[n]) * numbers[n]
            if math.prod(larger) * (held + numbers[n]) - before <= BATCH:
                out[-1], held = (larger, [*joined, n]), held + numbers[n]
                continue
        out.append((kinds[n], [n]))
        held = numbers[n]
    return out
