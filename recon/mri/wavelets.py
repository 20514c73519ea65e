"""Orthonormal, separable, periodic wavelet transforms of real or complex volumes; thresholding.

A filter pair of length 2J is a cascade of J plane rotations with unit delays between them (the
paraunitary lattice of Vaidyanathan and Hoang, IEEE Trans. ASSP 1988). A rotation is two additions
in place and a scale factor, and all scale factors are applied together at the end. So one axis
costs about J passes over memory, and the number of other axes does not matter. The inverse runs the
same additions backwards with opposite signs. It undoes the transform exactly, not only to the
precision of the filters. The coefficients equal those of
``pywt.wavedecn(..., mode="periodization")``.

The layout is Mallat's: one tensor of the padded volume's shape, with the approximation in the
corner ``[:x/2^L, :y/2^L, :z/2^L]``. Each axis is split ``levels`` times, or less often if it would
get shorter than the filter. An axis of size 1, as in 2D scans, is never split. If 2^L does not
divide the size of an axis, the axis is padded with zeros at its end. The transform is then an
isometry onto a subspace, and ``idwt``, which removes the padding, is both its adjoint and its left
inverse.

The transform is written here because no library does all of this. ptwt rejects complex64 and
changes odd sizes. PyWavelets works on the CPU only, and there it is slower than ours
(``figures/benchmarks.json``).
"""

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pywt
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon.errors import ReconError

Values = Complex[Tensor, "*shape"] | Float[Tensor, "*shape"]
Volume = Complex[Tensor, "*batch x y z"] | Float[Tensor, "*batch x y z"]
Coefficients = Complex[Tensor, "*batch cx cy cz"] | Float[Tensor, "*batch cx cy cz"]
Band = Complex[Tensor, "*batch bx by bz"] | Float[Tensor, "*batch bx by bz"]
# (parities of x, y and z, batch, half of each size)
Phases = Complex[Tensor, "px py pz *batch hx hy hz"] | Float[Tensor, "px py pz *batch hx hy hz"]
Threshold = float | int | Float[Tensor, "..."]


@dataclass(frozen=True)
class Lattice:
    """One level of the transform along one axis: lifting steps, then scaling.

    A step is ``x[target][k] += factor * x[1 - target][k + shift]`` on the even samples ``x[0]`` and
    the odd samples ``x[1]``.
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
            f"wavelet {wavelet!r} is not an orthogonal wavelet of PyWavelets; "
            "use for instance 'haar', 'db2', 'db4' or 'sym4'"
        )
    filters = pywt.Wavelet(wavelet)
    rotations, determinant = _rotations(np.array(filters.rec_lo), np.array(filters.rec_hi))
    # A stream is [slot, base, scale]: its item k lies at index k + base of the even (slot 0) or odd
    # (slot 1) samples. An even number of rotations starts from the pairs (2k - 1, 2k), an odd
    # number from (2k, 2k + 1), because this is how pywt centres its filters.
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


def _rotations(
    h: Float[np.ndarray, "taps"], g: Float[np.ndarray, "taps"]
) -> tuple[list[tuple[float, float]], float]:
    """The rotations ``(c, s)`` of a filter pair, and the determinant of what is left.

    The rotations are removed from the filters one by one, the last one first, until two taps are
    left. The determinant of these is +1 or -1. Raises ReconError for filters that are only roughly
    orthogonal.
    """
    rotations = []
    while len(h) > 2:
        tap = -1 if abs(h[-1]) + abs(g[-1]) > abs(h[-2]) + abs(g[-2]) else -2
        # Rotates the last pair of h to zero. By orthogonality the first pair of g is zero, too.
        angle = np.arctan2(h[tap], g[tap])
        c, s = float(np.cos(angle)), float(np.sin(angle))
        h, g = c * h - s * g, s * h + c * g
        if np.hypot(*h[-2:]) + np.hypot(*g[:2]) > 1e-3:
            raise ReconError(
                "this wavelet's filters are only roughly orthogonal (as those of 'dmey'); "
                "use for instance 'db4' or 'sym4'"
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
    """How often each of the last three axes is split: at most ``levels`` times.

    An axis that is shorter than the filter is not split any further. Raises ReconError for negative
    ``levels``.
    """
    if levels < 0:
        raise ReconError(f"wavelet levels = {levels}; expected 0 or more")
    taps = len(lattice(wavelet).steps)  # two additions a rotation, two taps a rotation
    return tuple(min(levels, pywt.dwt_max_level(n, taps)) if n > 1 else 0 for n in shape[-3:])


def padded_shape(
    shape: Sequence[int], wavelet: str = "db2", levels: int = 3
) -> tuple[int, int, int]:
    """The last three sizes of the coefficients of a volume of ``shape``.

    Each size of the volume is rounded up to a multiple of 2^(levels of this axis).
    """
    return tuple(
        -(-n // 2**depth) * 2**depth
        for n, depth in zip(shape[-3:], axis_levels(shape, wavelet, levels), strict=True)
    )


def dwt(volume: Volume, wavelet: str = "db2", levels: int = 3) -> Coefficients:
    """Wavelet coefficients in Mallat's layout (see the module), of `padded_shape`; differentiable.

    Raises ReconError if ``wavelet`` is not an orthogonal wavelet of PyWavelets.
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
    coefficients: Coefficients, shape: Sequence[int], wavelet: str = "db2", levels: int = 3
) -> Volume:
    """The volume of ``shape`` (x, y, z) with these coefficients; differentiable.

    It is the left inverse and the adjoint of `dwt`. Raises ReconError for coefficients of another
    shape than `dwt` gives for this volume.
    """
    full = padded_shape(shape, wavelet, levels)
    if tuple(coefficients.shape[-3:]) != full:
        found = tuple(coefficients.shape[-3:])
        raise ReconError(
            f"wavelet coefficients have shape {found}; "
            f"expected {full} for a volume of {tuple(shape[-3:])}"
        )
    volume = _Transform.apply(coefficients, wavelet, axis_levels(shape, wavelet, levels), False)
    return volume[..., : shape[-3], : shape[-2], : shape[-1]]


def approximation(
    coefficients: Coefficients, shape: Sequence[int], wavelet: str = "db2", levels: int = 3
) -> Band:
    """A view of the approximation band of a volume of ``shape``; the other bands are details."""
    x, y, z = (
        n >> depth
        for n, depth in zip(
            coefficients.shape[-3:], axis_levels(shape, wavelet, levels), strict=True
        )
    )
    return coefficients[..., :x, :y, :z]


def soft(z: Values, threshold: Threshold) -> Values:
    """Soft thresholding ``z max(1 - threshold/|z|, 0)``, which keeps the phase or the sign.

    It is the proximal operator of threshold·‖z‖₁.
    """
    tiny = torch.finfo(z.dtype).tiny  # 0 stays 0 without a division by 0
    # This is three times faster than abs, which guards against overflow.
    power = z.real.square().addcmul_(z.imag, z.imag) if z.is_complex() else z.square()
    return z * (1 - threshold * power.add_(tiny).rsqrt_()).clamp_(min=0)


def shrink_details(
    volume: Volume,
    threshold: Threshold,
    wavelet: str = "db2",
    levels: int = 3,
    shift: Sequence[int] = (0, 0, 0),
) -> Volume:
    """Soft-thresholds the detail bands of the volume rolled by ``shift`` voxels.

    The approximation does not change, and the result is rolled back. Without padding this is the
    proximal operator of threshold·‖details‖₁. A new random ``shift`` in each iteration is cycle
    spinning (Coifman and Donoho 1995). It makes the result nearly translation invariant and costs
    one transform only.
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
    """The transform of an already padded volume, or its inverse.

    Both are orthogonal, so the backward pass of each is the other one.
    """

    @staticmethod
    def forward(
        ctx, array: Volume, wavelet: str, depths: tuple[int, int, int], analyse: bool
    ) -> Volume:
        ctx.wavelet, ctx.depths, ctx.analyse = wavelet, depths, analyse
        return (_analyse if analyse else _synthesise)(array, lattice(wavelet), depths)

    @staticmethod
    def backward(ctx, gradient: Volume) -> tuple[Volume, None, None, None]:
        return (
            _Transform.apply(gradient, ctx.wavelet, ctx.depths, not ctx.analyse),
            None,
            None,
            None,
        )


def _analyse(volume: Volume, steps: Lattice, depths: Sequence[int]) -> Volume:
    """Transforms a volume to Mallat's layout; axis a is split ``depths[a]`` times."""
    out = (
        torch.empty_like(volume, memory_format=torch.contiguous_format)
        if any(depths)
        else volume.clone()
    )
    for level in range(max(depths)):
        split = [depth > level for depth in depths]
        # Even and odd samples are separated, so that the later passes run over contiguous memory.
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


def _synthesise(coefficients: Volume, steps: Lattice, depths: Sequence[int]) -> Volume:
    """Transforms Mallat's layout to a volume: undoes the steps of `_analyse` in reverse order."""
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


def _phases(volume: Volume, split: Sequence[bool]) -> Phases:
    """A view of the even and odd samples: (parities of x, y, z; batch; x/2, y/2, z/2).

    An axis that is not split has one parity and its full size.
    """
    for axis in (-1, -2, -3):
        parts = 2 if split[axis] else 1
        volume = volume.unflatten(axis, (-1, parts)).movedim(axis, 0)
    return volume


def _bands(
    half: Sequence[int], steps: Lattice, split: Sequence[bool]
) -> Iterator[tuple[tuple, tuple[int, ...], list[int], float]]:
    """Where each of the 2, 4 or 8 bands of size ``half`` is stored, and how.

    Yields the place of the band in Mallat's layout, the phase that holds it, its roll and its
    scale.
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


def _lift(target: Values, source: Values, shift: int, factor: float, axis: int) -> None:
    """Adds ``factor * source[k + shift]`` to ``target[k]`` along ``axis``, cyclic and in place."""
    size = target.shape[axis]
    shift %= size
    target.narrow(axis, 0, size - shift).add_(
        source.narrow(axis, shift, size - shift), alpha=factor
    )
    if shift:
        target.narrow(axis, size - shift, shift).add_(source.narrow(axis, 0, shift), alpha=factor)
