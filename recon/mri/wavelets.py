"""Orthonormal, separable, periodic wavelet transforms of volumes, real or complex, and the
thresholding they are used for.

A filter pair of length 2J is a cascade of J plane rotations with unit delays between them (the
paraunitary lattice of Vaidyanathan and Hoang, IEEE Trans. ASSP 1988), and a rotation is two
additions in place and a scale factor that can wait until the end. So one axis costs about J passes
over memory, whatever the number of axes left to do, and the inverse is the same list of additions
read backwards with the signs changed: it undoes the transform exactly, not only up to the precision
of the filters. Coefficients equal those of `pywt.wavedecn(..., mode="periodization")`.

Layout (Mallat's): one tensor of the padded volume's shape, the approximation in the corner
``[:x/2^L, :y/2^L, :z/2^L]``. An axis is split as often as ``levels`` says, or less often where it
gets shorter than the filter (never where it has size 1, as in 2D scans). An axis of a size that 2^L
does not divide is padded with zeros at its end: the transform is then an isometry onto a subspace,
and ``idwt``, which drops the padding, is both its adjoint and its left inverse.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pywt
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon.errors import ReconError


@dataclass(frozen=True)
class Lattice:
    """One level along one axis: steps ``x[target][k] += factor * x[1 - target][k + shift]`` on even
    and odd samples, then scaling.
    """

    # (target: 0 even samples or 1 odd ones, shift, factor)
    steps: tuple[tuple[int, int, float], ...]
    scale: tuple[float, float]  # of (low, high)
    slot: tuple[int, int]  # which of even (0) and odd (1) now holds (low, high)
    shift: tuple[int, int]  # coefficient k of (low, high) lies at k + shift


@functools.cache
def lattice(wavelet: str) -> Lattice:
    """Factors the filters of an orthogonal wavelet into rotations, and those into lifting steps.
    Raises ReconError for other wavelets.
    """
    if wavelet not in pywt.wavelist(kind="discrete") or not pywt.Wavelet(wavelet).orthogonal:
        raise ReconError(
            f"wavelet {wavelet!r} is not an orthogonal wavelet of PyWavelets; use for instance 'haar', 'db2', 'db4' or 'sym4'"
        )
    filters = pywt.Wavelet(wavelet)
    rotations, determinant = _rotations(np.array(filters.rec_lo), np.array(filters.rec_hi))
    # A stream is [slot, base, scale]: its item k lies at index k + base of the even (slot 0) or odd
    # (slot 1) samples.
    # An even number of rotations starts from the pairs (2k - 1, 2k), an odd one from (2k, 2k + 1):
    # so pywt centres its filters.
    low, high = (
        ([1, -1, 1.0], [0, 0, 1.0]) if len(rotations) % 2 == 0 else ([0, 0, 1.0], [1, 0, 1.0])
    )
    steps = []
    for stage, (c, s) in enumerate(rotations):
        high[1] += stage > 0  # the delay between two rotations
        sign = determinant if stage == 0 else 1.0
        if abs(s) > abs(c):  # pivot: divide by the larger of the two
            low, high, c, s, sign = high, low, s, c, -sign
        steps.append((low[0], high[1] - low[1], s * high[2] / (c * low[2])))
        low[2] *= c
        steps.append((high[0], low[1] - high[1], -s * low[2] / high[2]))
        high[2] *= sign / c
    centre = (len(rotations) - 1) // 2
    return Lattice(
        tuple(steps), (low[2], high[2]), (low[0], high[0]), (low[1] - centre, high[1] - centre)
    )


def _rotations(h: np.ndarray, g: np.ndarray) -> tuple[list[tuple[float, float]], float]:
    """Peels rotations ``(c, s)`` off the filters, last one first, until two taps are left; their
    determinant is +1 or -1.
    """
    rotations = []
    while len(h) > 2:
        tap = -1 if abs(h[-1]) + abs(g[-1]) > abs(h[-2]) + abs(g[-2]) else -2
        # rotates the last pair of h to zero; orthogonality then clears the first pair of g
        angle = np.arctan2(h[tap], g[tap])
        c, s = float(np.cos(angle)), float(np.sin(angle))
        h, g = c * h - s * g, s * h + c * g
        if np.hypot(*h[-2:]) + np.hypot(*g[:2]) > 1e-3:
            raise ReconError(
                "this wavelet's filters are only roughly orthogonal (as those of 'dmey'); use for instance 'db4' or 'sym4'"
            )
        h, g = h[:-2], g[2:]
        rotations.insert(0, (c, s))
    norm = float(np.hypot(*h))
    return [(float(h[0]) / norm, float(h[1]) / norm), *rotations], float(
        np.sign(h[0] * g[1] - h[1] * g[0])
    )


def axis_levels(
    shape: Sequence[int], wavelet: str = "db2", levels: int = 3
) -> tuple[int, int, int]:
    """How often each of the last three axes is split: at most ``levels`` times, and while it is no
    shorter than the filter.
    """
    if levels < 0:
        raise ReconError(f"wavelet levels = {levels}; expected 0 or more")
    taps = len(lattice(wavelet).steps)  # two additions a rotation, two taps a rotation
    return tuple(min(levels, pywt.dwt_max_level(n, taps)) if n > 1 else 0 for n in shape[-3:])


def padded_shape(
    shape: Sequence[int], wavelet: str = "db2", levels: int = 3
) -> tuple[int, int, int]:
    """The last three sizes, each rounded up to a multiple of 2^(its levels): the size of the
    coefficients.
    """
    return tuple(
        -(-n // 2**depth) * 2**depth
        for n, depth in zip(shape[-3:], axis_levels(shape, wavelet, levels), strict=True)
    )


def dwt(
    volume: Complex[Tensor, "*batch x y z"] | Float[Tensor, "*batch x y z"],
    wavelet: str = "db2",
    levels: int = 3,
) -> Tensor:
    """Wavelet coefficients in Mallat's layout (see the module), of `padded_shape`; differentiable.

    Raises ReconError where ``wavelet`` is not an orthogonal wavelet of PyWavelets.
    """
    full = padded_shape(volume.shape, wavelet, levels)
    margins = [
        pair
        for n, m in zip(reversed(volume.shape[-3:]), reversed(full), strict=True)
        for pair in (0, m - n)
    ]
    padded = torch.nn.functional.pad(volume, margins) if any(margins) else volume
    return _Transform.apply(padded, wavelet, axis_levels(volume.shape, wavelet, levels), True)


def idwt(
    coefficients: Tensor, shape: Sequence[int], wavelet: str = "db2", levels: int = 3
) -> Tensor:
    """The volume of ``shape`` (x, y, z) with these coefficients: left inverse and adjoint of `dwt`;
    differentiable.
    """
    full = padded_shape(shape, wavelet, levels)
    if tuple(coefficients.shape[-3:]) != full:
        found = tuple(coefficients.shape[-3:])
        raise ReconError(
            f"wavelet coefficients have shape {found}; expected {full} for a volume of {tuple(shape[-3:])}"
        )
    volume = _Transform.apply(coefficients, wavelet, axis_levels(shape, wavelet, levels), False)
    return volume[..., : shape[-3], : shape[-2], : shape[-1]]


def approximation(
    coefficients: Tensor, shape: Sequence[int], wavelet: str = "db2", levels: int = 3
) -> Tensor:
    """A view of the approximation band; everything else is detail. ``shape`` is that of the volume."""
    x, y, z = (
        n >> depth
        for n, depth in zip(
            coefficients.shape[-3:], axis_levels(shape, wavelet, levels), strict=True
        )
    )
    return coefficients[..., :x, :y, :z]


def soft(z: Tensor, threshold: float | int | Tensor) -> Tensor:
    """Soft thresholding ``z max(1 - threshold/|z|, 0)``, which keeps phase or sign: the proximal
    operator of threshold·‖z‖₁.
    """
    tiny = torch.finfo(z.dtype).tiny  # keeps 0 at 0 without a division by it
    # three times faster than the overflow-safe abs
    power = z.real.square().addcmul_(z.imag, z.imag) if z.is_complex() else z.square()
    return z * (1 - threshold * power.add_(tiny).rsqrt_()).clamp_(min=0)


def shrink_details(
    volume: Tensor,
    threshold: float | int | Tensor,
    wavelet: str = "db2",
    levels: int = 3,
    shift: Sequence[int] = (0, 0, 0),
) -> Tensor:
    """Soft-thresholds the detail bands of the volume rolled by ``shift`` voxels; the approximation
    is left alone.

    Without padding this is the proximal operator of threshold·‖details‖₁. A new random ``shift`` in
    each iteration is cycle spinning (Coifman and Donoho 1995), which makes the result nearly
    translation invariant at the price of one transform.
    """
    rolled = torch.roll(volume, tuple(shift), (-3, -2, -1)) if any(shift) else volume
    coefficients = dwt(rolled, wavelet, levels)
    shrunk = soft(coefficients, threshold)
    approximation(shrunk, volume.shape, wavelet, levels).copy_(
        approximation(coefficients, volume.shape, wavelet, levels)
    )
    result = idwt(shrunk, volume.shape, wavelet, levels)
    return torch.roll(result, tuple(-s for s in shift), (-3, -2, -1)) if any(shift) else result


class _Transform(torch.autograd.Function):
    """The transform of an unpadded volume or its inverse. Orthogonal, so each is the gradient of
    the other.
    """

    @staticmethod
    def forward(ctx, array, wavelet, depths, analyse):
        ctx.wavelet, ctx.depths, ctx.analyse = wavelet, depths, analyse
        return (_analyse if analyse else _synthesise)(array, lattice(wavelet), depths)

    @staticmethod
    def backward(ctx, gradient):
        return (
            _Transform.apply(gradient, ctx.wavelet, ctx.depths, not ctx.analyse),
            None,
            None,
            None,
        )


def _analyse(volume: Tensor, steps: Lattice, depths: Sequence[int]) -> Tensor:
    """Volume to Mallat layout, axis a split ``depths[a]`` times."""
    out = (
        torch.empty_like(volume, memory_format=torch.contiguous_format)
        if any(depths)
        else volume.clone()
    )
    for level in range(max(depths)):
        split = [depth > level for depth in depths]
        # even and odd samples apart, so that the later passes run over contiguous memory
        phases = _phases(volume, split).contiguous()
        for axis in _marked(split):
            for target, shift, factor in steps.steps:
                _lift(
                    phases.select(axis, target),
                    phases.select(axis, 1 - target),
                    shift,
                    factor,
                    axis - 3,
                )
        for place, slots, shifts, scale in _bands(phases.shape[-3:], steps, split):
            band = (
                torch.roll(phases[slots], [-s for s in shifts], (-3, -2, -1))
                if any(shifts)
                else phases[slots]
            )
            torch.mul(band, scale, out=out[place])
        volume = out[_corner(phases.shape[-3:])]
    return out


def _synthesise(coefficients: Tensor, steps: Lattice, depths: Sequence[int]) -> Tensor:
    """Mallat layout to volume: the steps of `_analyse` undone in reverse order."""
    volume = coefficients[
        _corner([n >> depth for n, depth in zip(coefficients.shape[-3:], depths, strict=True)])
    ]
    for level in reversed(range(max(depths))):
        split = [depth > level for depth in depths]
        half = volume.shape[-3:]
        phases = volume.new_empty([*(2 if marked else 1 for marked in split), *volume.shape])
        for place, slots, shifts, scale in _bands(half, steps, split):
            band = coefficients[place] if any(s.start for s in place[1:]) else volume
            torch.mul(
                torch.roll(band, shifts, (-3, -2, -1)) if any(shifts) else band,
                1 / scale,
                out=phases[slots],
            )
        for axis in reversed(_marked(split)):
            for target, shift, factor in reversed(steps.steps):
                _lift(
                    phases.select(axis, target),
                    phases.select(axis, 1 - target),
                    shift,
                    -factor,
                    axis - 3,
                )
        volume = volume.new_empty(
            [*volume.shape[:-3], *(n * (1 + marked) for n, marked in zip(half, split, strict=True))]
        )
        _phases(volume, split).copy_(phases)
    return volume.clone() if not any(depths) else volume


def _corner(sizes: Sequence[int]) -> tuple:
    return (..., *(slice(size) for size in sizes))


def _marked(split: Sequence[bool]) -> list[int]:
    return [axis for axis, marked in enumerate(split) if marked]


def _phases(volume: Tensor, split: Sequence[bool]) -> Tensor:
    """A view ``(parity of x, parity of y, parity of z, ..., x/2, y/2, z/2)``; an axis that is not
    split has one parity.
    """
    for axis in (-1, -2, -3):
        parts = 2 if split[axis] else 1
        volume = volume.unflatten(axis, (-1, parts)).movedim(axis, 0)
    return volume


def _bands(half: Sequence[int], steps: Lattice, split: Sequence[bool]):
    """For each of the 2, 4 or 8 bands of size ``half``: its place in Mallat's layout, the phase
    that holds it, its roll and its scale.
    """
    for which in itertools.product(*(range(2 if marked else 1) for marked in split)):
        place = (..., *(slice(w * n, (w + 1) * n) for w, n in zip(which, half, strict=True)))
        slots = tuple(
            steps.slot[w] if marked else 0 for w, marked in zip(which, split, strict=True)
        )
        shifts = [steps.shift[w] if marked else 0 for w, marked in zip(which, split, strict=True)]
        yield (
            place,
            slots,
            shifts,
            math.prod(steps.scale[w] for w, marked in zip(which, split, strict=True) if marked),
        )


def _lift(target: Tensor, source: Tensor, shift: int, factor: float, axis: int) -> None:
    """``target[k] += factor * source[k + shift]`` along ``axis``, cyclic and in place."""
    size = target.shape[axis]
    shift %= size
    target.narrow(axis, 0, size - shift).add_(
        source.narrow(axis, shift, size - shift), alpha=factor
    )
    if shift:
        target.narrow(axis, size - shift, shift).add_(source.narrow(axis, 0, shift), alpha=factor)
