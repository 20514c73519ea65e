"""GRAPPA (Griswold et al. 2002): missing samples of k-space from measured ones around them.

In a neighbourhood of a few samples, a sample of one coil is about the same combination of the
samples of all coils, wherever it lies. The fully sampled centre tells the weights. Where some of
the neighbours are missing, those that were measured have weights of their own. So there is one
kernel for each pattern of measured neighbours that occurs, for any mask, in 2D and in 3D.

pygrappa's ``mdgrappa`` finds the same weights. It goes through the calibration windows anew for
each pattern. Here they are gone through once: the normal equations of a pattern are a part of those
of the whole neighbourhood.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from jaxtyping import Bool, Complex, Int
from torch import Tensor

from recon.errors import ReconError
from recon.mri import fourier
from recon.mri.coils import LARGEST, calibration_region
from recon.progress import track

Size = tuple[int, int, int]
WINDOWS = 2**15  # of the calibration block, at most; more hardly change the weights
CHUNK = 2**24  # numbers that are gathered at a time


@dataclass(frozen=True)
class Filled:
    """K-space with missing samples filled in."""

    kspace: Complex[Tensor, "coil x y z"]
    missing: Bool[Tensor, "y z"]  # without a measured neighbour; there k-space is zero


class Grappa:
    """What a calibration block says of its neighbourhoods. It serves all scans with these coils.

    Args:
        block: fully sampled k-space around the centre.
        size: samples of a neighbourhood along each axis, odd; an axis of one sample has one.
        weight: of the Tikhonov term, relative to the mean of the Gram matrix's singular values
            (its Frobenius norm over its size), as in pygrappa.

    Raises `ReconError` for a block that is smaller than a neighbourhood.
    """

    def __init__(self, block: Complex[Tensor, "coil cx cy cz"], size: Size, weight: float = 0.01):
        if any(n < k for n, k in zip(block.shape[1:], size, strict=True)):
            found, needed = ("×".join(map(str, s)) for s in (block.shape[1:], size))
            small = f"the fully sampled centre of k-space is {found} and must be {needed} at least"
            raise ReconError(f"grappa: {small}; sample a larger centre, or take cg_sense")
        self.size, self.weight, self.coils = size, weight, len(block)
        self.gram = gram(block, size)
        self.known: dict[tuple, Tensor] = {}

    def kernel(self, inside: slice, near: Int[Tensor, "m"]) -> Complex[Tensor, "kx coil_m coil"]:
        """The weights of measured neighbours: all ``inside`` along x at the places ``near``.

        ``near`` counts the places of a neighbourhood in (y, z), row by row.
        """
        key = inside.start, inside.stop, *near.tolist()
        if key not in self.known:
            _, ky, kz = self.size
            places = torch.arange(self.gram.shape[0], device=near.device)
            places = places.view(self.coils, -1, ky * kz)
            source = places[:, inside][..., near].transpose(0, 1).reshape(-1)
            target = places[:, self.size[0] // 2, ky * kz // 2]
            normal = self.gram[source[:, None], source]
            shift = self.weight * torch.linalg.matrix_norm(normal) / len(normal)
            eye = torch.eye(len(normal), dtype=normal.dtype, device=normal.device)
            # The windows are rows, so that weights multiply from the right.
            factor = torch.linalg.cholesky(normal + shift * eye)
            found = torch.cholesky_solve(self.gram[source[:, None], target], factor)
            steps = inside.stop - inside.start
            self.known[key] = found.view(steps, -1, self.coils).to(torch.complex64)
        return self.known[key]

    def fill(self, kspace: Complex[Tensor, "coil x y z"], mask: Bool[Tensor, "y z"]) -> Filled:
        """K-space with every sample that has measured neighbours; those measured stay."""
        half = [k // 2 for k in self.size]
        sides = [side for h in reversed(half) for side in (h, h)]
        padded = torch.nn.functional.pad(kspace * mask, sides)
        out, missing = kspace * mask, torch.zeros_like(mask)
        for near, holes in track(list(patterns(mask, self.size[1:])), "grappa"):
            if not len(near):
                missing[holes[0], holes[1]] = True
                continue
            rows = near // self.size[2] + holes[0][:, None]
            columns = near % self.size[2] + holes[1][:, None]
            at_once = max(1, CHUNK // (self.coils * padded.shape[1] * len(near)))
            for part in torch.arange(len(rows), device=rows.device).split(at_once):
                sources = padded[:, :, rows[part], columns[part]]  # coil, x, hole, near
                sources = sources.permute(1, 2, 0, 3).flatten(2)
                filled = self._along_x(sources, near, kspace.shape[1])
                out[:, :, holes[0][part], holes[1][part]] = filled.permute(2, 0, 1)
        return Filled(out, missing)

    def _along_x(
        self, sources: Complex[Tensor, "px n coil_m"], near: Int[Tensor, "m"], nx: int
    ) -> Complex[Tensor, "x n coil"]:
        """The samples of holes, from their measured neighbours; near the ends there are fewer."""
        kx, half = self.size[0], self.size[0] // 2
        out = sources.new_zeros(nx, sources.shape[1], self.coils)
        for inside, group in groupby(
            range(nx), lambda x: (max(0, half - x), min(kx, nx - x + half))
        ):
            spots = list(group)
            weights = self.kernel(slice(*inside), near)
            for step, matrix in zip(range(*inside), weights, strict=True):
                out[spots[0] : spots[-1] + 1] += (
                    sources[spots[0] + step : spots[-1] + step + 1] @ matrix
                )
        return out


def gram(block: Complex[Tensor, "coil cx cy cz"], size: Size) -> Complex[Tensor, "f f"]:
    """``conj(w)ᵀ w`` of all neighbourhoods ``w`` of a block, with features (coil, kx, ky, kz).

    It is in double precision: a scan's neighbourhoods span few dimensions well.
    """
    windows = block.to(torch.complex128)
    for axis, k in enumerate(size, start=1):
        windows = windows.unfold(axis, k, 1)
    features = len(block) * math.prod(size)
    out = windows.new_zeros(features, features)
    for plane in windows.movedim(1, 0):
        rows = plane.permute(1, 2, 0, 3, 4, 5).reshape(-1, features)
        out += rows.mH @ rows
    return out


def patterns(
    mask: Bool[Tensor, "y z"], size: tuple[int, int]
) -> Iterator[tuple[Int[Tensor, "m"], tuple[Int[Tensor, "n"], Int[Tensor, "n"]]]]:
    """The patterns of measured neighbours around what was not measured, and where each occurs.

    Yields places of the neighbourhood in (y, z), row by row, and the positions (y, z) of the holes.
    """
    sides = [side for k in reversed(size) for side in (k // 2, k // 2)]
    around = torch.nn.functional.pad(mask, sides).unfold(0, size[0], 1).unfold(1, size[1], 1)
    y, z = torch.nonzero(~mask, as_tuple=True)
    found, which = torch.unique(around[y, z].flatten(1), dim=0, return_inverse=True)
    for number, pattern in enumerate(found):
        here = which == number
        yield torch.nonzero(pattern).flatten(), (y[here], z[here])


def calibrated(
    kspace: Complex[Tensor, "coil x y z"],
    mask: Bool[Tensor, "y z"],
    kernel: int,
    weight: float,
    calibration: Complex[Tensor, "coil cx cy cz"] | None = None,
) -> Grappa:
    """GRAPPA from a calibration scan, or else from the fully sampled centre of the scan itself.

    Of either, up to `LARGEST` samples along y and z are read. ``kernel`` is the size of a
    neighbourhood along each axis; short axes have the next odd number below. Raises `ReconError`
    where the centre is smaller than that.
    """
    block = calibration
    if block is None:
        block = fourier.crop(kspace, (kspace.shape[1], *calibration_region(mask)))
    region = [min(n, LARGEST) for n in block.shape[2:]]
    size = tuple(min(kernel, n - 1 + n % 2) for n in kspace.shape[1:])  # odd
    across = math.prod(max(1, n - k + 1) for n, k in zip(region, size[1:], strict=True))
    length = min(block.shape[1], size[0] - 1 + max(LARGEST, WINDOWS // across))
    return Grappa(fourier.crop(block, (length, *region)), size, weight)


def grappa(
    kspace: Complex[Tensor, "coil x y z"],
    mask: Bool[Tensor, "y z"],
    kernel: int = 5,
    weight: float = 0.01,
    stack: bool = False,
    calibration: Complex[Tensor, "coil cx cy cz"] | None = None,
) -> Filled:
    """Fills a scan; see `calibrated`. The slices of a ``stack`` each have their own kernels."""
    if not stack:
        return calibrated(kspace, mask, kernel, weight, calibration).fill(kspace, mask)
    found = []
    for z in range(kspace.shape[3]):
        one = kspace[..., z : z + 1], mask[:, z : z + 1]
        block = None if calibration is None else calibration[..., z : z + 1]
        empty = Filled(one[0], ~one[1])  # a slice without signal stays as it is
        made = calibrated(*one, kernel, weight, block).fill(*one) if one[0].any() else empty
        found.append(made)
    filled = torch.cat([one.kspace for one in found], -1)
    return Filled(filled, torch.cat([one.missing for one in found], -1))
