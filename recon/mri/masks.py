"""Undersampling masks ``(y, z)`` over the two phase-encode axes.

True means measured; index ``n // 2`` is the centre of k-space. `make` checks a request and calls
the function for its kind, which does not check it again.

A random mask holds exactly ``round(size / R)`` samples, and a random 1D mask ``round(ny / R)``
whole lines. The fully sampled calibration region is part of this number. The regular masks
(`uniform`, `uniform_1d`) add the calibration region to their grid, as is usual in parallel imaging.
Their realised `acceleration` is therefore lower than R and should be reported. A 1D mask consists
of whole lines along z, so only the y size of its calibration region counts.

The Poisson disc masks are written here because all methods must get the same, exact R.
``sigpy.mri.poisson`` stops within a tolerance (R = 3.91 for 4), gives up for some seeds (96×96,
R = 8, calibration 16×16, seed 0) and hangs for others.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field, NonNegativeInt
from torch import Tensor

from recon.errors import ReconError
from recon.mri import fourier
from recon.schema import Seed, Strict

Pair = tuple[int, int]
# Width of the Gaussian densities as a fraction of the axis: the edge of k-space is at three sigma.
SIGMA = 1 / 6


def acceleration(mask: Bool[Tensor, "y z"]) -> float:
    """The realised acceleration: the number of positions over the number of measured ones."""
    return mask.numel() / int(mask.sum())


def poisson_disc(
    shape: Pair, R: float | int, calibration: Pair = (0, 0), seed: int = 0
) -> Bool[Tensor, "y z"]:
    """Variable-density Poisson disc sampling: samples keep the distance of their local radius.

    The calibration region is exempt. The radius is 1 + slope·k in steps of the finer axis. Here k
    grows from 0 at the calibration region to 1 at the middle of an edge, as in
    ``sigpy.mri.poisson``. The corners of k-space are sampled, too.

    Darts are thrown at all grid points in one random order. A dart sticks if it is outside the
    discs of all earlier ones. The slope is bisected until slightly too many darts stick, and the
    last ones are then removed.
    """
    count = round(math.prod(shape) / R)
    mask = _calibrated(shape, calibration)
    taken, wanted = mask.numpy().copy(), count - int(mask.sum())
    order = torch.randperm(mask.numel(), generator=torch.Generator().manual_seed(seed)).tolist()
    k = np.hypot(_beyond(shape[0], calibration[0])[:, None], _beyond(shape[1], calibration[1]))
    best, low, high = [dart for dart in order if not taken.flat[dart]], 0.0, float(max(shape))
    for _ in range(20):
        slope = (low + high) / 2
        darts = _throw(order, taken, 1 + slope * k)
        if len(darts) < wanted:
            high = slope
        else:
            low, best = slope, min(best, darts, key=len)
        if 0 <= len(darts) - wanted <= 0.005 * count:
            break
    mask.view(-1)[best[:wanted]] = True
    return mask


def _beyond(n: int, calibration: int) -> Float[np.ndarray, "n"]:
    """Distance of each of n positions from the central ``calibration`` ones; 1 at the edge."""
    start = n // 2 - calibration // 2
    outside = np.maximum(start - np.arange(n), np.arange(n) - (start + calibration - 1)).clip(0)
    return outside / max((n - calibration) / 2, 1)


def _throw(
    order: list[int], taken: Bool[np.ndarray, "y z"], radius: Float[np.ndarray, "y z"]
) -> list[int]:
    """The darts of ``order`` that are outside the discs of all earlier ones.

    The positions ``taken`` are excluded from the start.
    """
    free, (ny, nz) = ~taken, taken.shape
    steps = np.arange(1 - ny, ny) * (max(ny, nz) / ny), np.arange(1 - nz, nz) * (max(ny, nz) / nz)
    # Element [ny - 1 + dy, nz - 1 + dz] is the distance of the neighbour (dy, dz).
    distance = np.hypot(steps[0][:, None], steps[1])
    darts, flat = [], free.reshape(-1)
    for dart in order:
        if flat[dart]:
            darts.append(dart)
            (row, column), r = divmod(dart, nz), radius.flat[dart]
            hy, hz = int(r * ny / max(ny, nz)), int(r * nz / max(ny, nz))
            top, bottom, left, right = (
                max(row - hy, 0),
                min(row + hy + 1, ny),
                max(column - hz, 0),
                min(column + hz + 1, nz),
            )
            offset_y, offset_z = ny - 1 - row, nz - 1 - column
            free[top:bottom, left:right] &= (
                distance[top + offset_y : bottom + offset_y, left + offset_z : right + offset_z]
                >= r
            )
    return darts


def gaussian_2d(
    shape: Pair, R: float | int, calibration: Pair = (0, 0), seed: int = 0
) -> Bool[Tensor, "y z"]:
    """Points drawn without replacement with Gaussian density around the centre.

    The standard deviation is `SIGMA` times the size of each axis.
    """
    log_density = _log_gaussian(shape[0])[:, None] + _log_gaussian(shape[1])
    return _draw(log_density, round(math.prod(shape) / R), _calibrated(shape, calibration), seed)


def gaussian_1d(
    shape: Pair, R: float | int, calibration: Pair = (0, 0), seed: int = 0
) -> Bool[Tensor, "y z"]:
    """Whole lines drawn without replacement with Gaussian density along y.

    The standard deviation is `SIGMA` times the size of the axis.
    """
    return _lines(_log_gaussian(shape[0]), shape, R, calibration, seed)


def random_1d(
    shape: Pair, R: float | int, calibration: Pair = (0, 0), seed: int = 0
) -> Bool[Tensor, "y z"]:
    """Whole lines drawn without replacement, all equally likely."""
    return _lines(torch.zeros(shape[0], dtype=torch.float64), shape, R, calibration, seed)


def uniform(
    shape: Pair, R: float | int, calibration: Pair = (0, 0), seed: int = 0
) -> Bool[Tensor, "y z"]:
    """A grid of every Ry-th times every Rz-th position, plus the calibration region.

    Ry·Rz = R, and the two are as close to each other as the sizes allow. ``seed`` is ignored,
    because nothing is drawn. Raises ReconError if R is not a whole number or has no factors that
    fit.
    """
    factors = [
        (a, int(R) // a)
        for a in range(1, int(R) + 1)
        if R % a == 0 and a <= shape[0] and int(R) // a <= shape[1]
    ]
    if R != int(R) or not factors:
        raise ReconError(
            f"uniform mask of {tuple(shape)}: "
            f"R = {R} is not the product of two whole steps that fit; try R = 4"
        )
    Ry, Rz = min(factors, key=lambda f: (abs(f[0] - f[1]), -f[0]))
    return _every(shape[0], Ry)[:, None] & _every(shape[1], Rz) | _calibrated(shape, calibration)


def uniform_1d(
    shape: Pair, R: float | int, calibration: Pair = (0, 0), seed: int = 0
) -> Bool[Tensor, "y z"]:
    """Every R-th line, plus the calibration lines.

    ``seed`` is ignored, because nothing is drawn. Raises ReconError if R is not a whole number or
    exceeds the number of lines.
    """
    if R != int(R) or R > shape[0]:
        raise ReconError(
            f"uniform_1d mask of {tuple(shape)}: R = {R} is not a step that fits; "
            f"give a whole number from 1 to {shape[0]}"
        )
    return _every(shape[0], int(R))[:, None].repeat(1, shape[1]) | _calibrated(
        shape, (calibration[0], shape[1])
    )


KINDS: dict[str, Callable[..., Bool[Tensor, "y z"]]] = {
    f.__name__: f for f in (poisson_disc, gaussian_2d, uniform, gaussian_1d, random_1d, uniform_1d)
}


class Mask(Strict):
    """Which phase encodes are kept, as a configuration says it."""

    kind: str = Field("poisson_disc", pattern=f"^({'|'.join(KINDS)})$")
    # fully sampled centre (y, z), included in R
    calibration: tuple[NonNegativeInt, NonNegativeInt] = (12, 12)
    seed: Seed = 0  # a subject's mask is drawn from this seed and the subject's name


def make(
    kind: str, shape: Pair, R: float | int, calibration: Pair = (0, 0), seed: int = 0
) -> Bool[Tensor, "y z"]:
    """The mask of the given ``kind``, one of `KINDS`.

    Raises ReconError for an unknown kind, for R < 1 and for a calibration region that is too large.
    """
    if kind not in KINDS:
        raise ReconError(f"unknown mask kind {kind!r}; choose one of {', '.join(KINDS)}")
    if not 1 <= R <= math.prod(shape):
        raise ReconError(
            f"mask: R = {R}; expected a number from 1 (fully sampled) "
            f"to {math.prod(shape)}, the number of positions in {tuple(shape)}"
        )
    if any(not 0 <= c <= n for c, n in zip(calibration, shape, strict=True)):
        raise ReconError(
            f"mask: calibration region {tuple(calibration)} does not fit into {tuple(shape)}; "
            "make it smaller"
        )
    region = calibration[0] * (shape[1] if kind.endswith("_1d") else calibration[1])
    if region > math.prod(shape) / R:
        budget = math.prod(shape) / R
        raise ReconError(
            f"mask: the calibration region alone takes {region} samples, "
            f"but R = {R} allows {budget:.0f}; make it or R smaller"
        )
    return KINDS[kind](shape, R, calibration, seed)


def realised(mask: Mask, shape: Pair, R: float | int) -> float:
    """The acceleration that a mask of ``shape`` has, which for regular masks is below R.

    It is R itself where no such mask fits into the shape.
    """
    try:
        return acceleration(make(mask.kind, shape, R, mask.calibration, mask.seed))
    except ReconError:
        return float(R)


def _calibrated(shape: Pair, calibration: Pair) -> Bool[Tensor, "y z"]:
    mask = torch.zeros(shape, dtype=torch.bool)
    fourier.crop(mask, calibration, (0, 1)).fill_(True)
    return mask


def _log_gaussian(n: int) -> Float[Tensor, "n"]:
    return -0.5 * ((torch.arange(n, dtype=torch.float64) - n // 2) / (SIGMA * n)) ** 2


def _draw(
    log_density: Float[Tensor, "*axes"], count: int, calibrated: Bool[Tensor, "*axes"], seed: int
) -> Bool[Tensor, "*axes"]:
    """Draws ``count`` positions without replacement, the calibrated ones first.

    They are the largest values of the log density plus Gumbel noise (Gumbel top-k).
    """
    uniform = torch.rand(
        log_density.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    gumbel = -torch.log(-torch.log(uniform.clamp(1e-300)))
    chosen = (log_density + gumbel).masked_fill(calibrated, torch.inf).flatten().topk(count).indices
    return (
        torch.zeros(log_density.numel(), dtype=torch.bool)
        .index_fill(0, chosen, True)
        .view(log_density.shape)
    )


def _lines(
    log_density: Float[Tensor, "y"], shape: Pair, R: float | int, calibration: Pair, seed: int
) -> Bool[Tensor, "y z"]:
    lines = _draw(
        log_density,
        max(round(shape[0] / R), 1),
        _calibrated((shape[0], 1), (calibration[0], 1))[:, 0],
        seed,
    )
    return lines[:, None].repeat(1, shape[1])


def _every(n: int, step: int) -> Bool[Tensor, "n"]:
    """Every ``step``-th of n positions; the centre is one of them."""
    return (torch.arange(n) - n // 2) % step == 0
