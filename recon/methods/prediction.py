"""Choosing settings without a reference, on the scan itself.

Nobody has a fully sampled copy of the scan to be reconstructed. Two errors can be had without one.

*Held out*: some samples are kept back, and a reconstruction from the others predicts them (Yaman et
al. 2020). Coil maps of unit norm keep energy, so the squared error of a volume is that of its
k-space. A sample kept back stands for those around it that were not measured. For the measured ones
noise n is added to what is reconstructed and n / a² taken from what is compared, so that keeping
noise is not rewarded (Pang et al. 2021). Samples of the calibration region are never kept back, as
the maps depend on them. A sample kept back lies in a larger gap than one that was never measured.
So this error alone chooses too strong a prior.

*Twin*: a first reconstruction is measured again, with the maps, the mask and the noise of the scan.
What a method makes of this twin can be compared with the known truth. The first reconstruction is
smoother than the object and without aliasing, so this error alone often chooses too weak a prior.

Each error is taken relative to its smallest value among the trials, and the sum decides. Measured
for ℓ1-wavelet on 7 slices, R = 4 and 8, the loss against the best weight is 0.12 dB (mean; at most
0.8), held out alone 0.61 and twin alone 0.24.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from recon import methods
from recon.errors import ReconError
from recon.methods.kept_back import FEWEST, candidates, drawn
from recon.methods.search import search
from recon.mri import fourier
from recon.mri.prepared import support
from recon.mri.problem import Problem
from recon.mri.sense import Sense
from recon.phantoms import complex_noise
from recon.progress import note

SHARE = 0.05  # of the samples outside the calibration region that is kept back
ADDED = 0.5  # the noise that is added to the others, relative to theirs
LEAST = 1e-7  # a squared error below this is rounding
RINGS = 8  # around the centre of k-space, in which samples stand for each other
SLICES = 3  # of a volume, spread over it, on which settings are tried
PATIENT = 3  # minutes of trials before which a user is told
LONGEST = 20  # minutes of trials that nobody has asked for
SLAB = 16  # neighbouring slices, for a method that couples them


@dataclass(frozen=True)
class HeldOut:
    """A problem with less data, and what its solution is compared with."""

    problem: Problem  # without the samples kept back, and with added noise
    samples: Complex[Tensor, "coil x y z"]  # to be predicted; zero where nothing was measured
    # How many samples of k-space each stands for; zero where nothing was measured.
    weight: Float[Tensor, "y z"]
    noise: float  # energy of the noise in the samples, weighted

    def missed(self, volume: Complex[Tensor, "x y z"]) -> float:
        """The squared error of a volume, estimated."""
        whole = self.problem.operator.masked(self.weight > 0)
        error = (whole.forward(volume) - self.samples).abs().square().sum((0, 1))
        return float((self.weight * error).sum()) - self.noise

    @property
    def level(self) -> float:
        """Noise level of the samples kept back."""
        return self.problem.noise / (1 + ADDED**2) ** 0.5

    @property
    def energy(self) -> float:
        """The squared norm of the volume, estimated."""
        measured = self.samples.abs().square().sum((0, 1))
        return max(float((self.weight * measured).sum()) - self.noise, 1e-30)


@dataclass(frozen=True)
class Twin:
    """A problem whose solution is known."""

    problem: Problem
    truth: Complex[Tensor, "x y z"]
    inside: Bool[Tensor, "x y z"]  # where the object is

    def missed(self, volume: Complex[Tensor, "x y z"]) -> float:
        """The squared error of a volume's magnitude inside the object."""
        return float((volume.abs() - self.truth.abs())[self.inside].square().sum())

    @property
    def energy(self) -> float:
        """The squared norm of the truth inside the object."""
        return max(float(self.truth[self.inside].abs().square().sum()), LEAST)


@dataclass(frozen=True)
class Found:
    """Settings that were chosen on the scan, and what it took."""

    settings: dict
    errors: tuple[float, float]  # held out and twin, relative to the norm of the volume
    trials: int
    seconds: float


def hold_out(problem: Problem, seed: int = 0, parts: int = 1) -> HeldOut:
    """Keeps back a random `SHARE` of the phase encodes outside the calibration region, and adds
    noise to the others.

    Together the ``parts`` of a scan, of which this is one, keep back `FEWEST` phase encodes or
    more. Raises `ReconError` where these would be more than a quarter.
    """
    mask, fewest = problem.operator.mask.cpu(), math.ceil(FEWEST / parts)
    among = candidates(mask)
    number = max(fewest, round(SHARE * len(among)))
    if len(among) < 4 * fewest:
        raise ReconError(
            f"nothing to hold out: {len(among)} phase encodes lie outside the calibration "
            f"region, and settings are chosen with {4 * fewest} or more; use --no-tune"
        )
    generator = torch.Generator().manual_seed(seed)
    kept = drawn(among, number, mask, generator)
    weight = stands_for(kept, mask, problem.operator.stack) + (mask & ~kept)

    device, data = problem.kspace.device, problem.kspace
    fresh = complex_noise(tuple(data.shape), problem.noise, generator).to(device)
    used = problem.operator.mask & ~kept.to(device)
    operator = problem.operator.masked(used)
    given = (data + ADDED * fresh) * used
    level = problem.noise * (1 + ADDED**2) ** 0.5
    rest = replace(
        problem, operator=operator, kspace=given, rhs=operator.adjoint(given), noise=level
    )
    samples = torch.where(used, data - fresh / ADDED, data) * problem.operator.mask
    each = 2 * problem.noise**2 * data.shape[0] * data.shape[1]
    noise = each * (float(weight[kept].sum()) + (1 + ADDED**-2) * int(used.sum()))
    return HeldOut(rest, samples, weight.to(device), noise)


def stands_for(
    kept: Bool[Tensor, "y z"], mask: Bool[Tensor, "y z"], stack: bool = False
) -> Float[Tensor, "y z"]:
    """How many unmeasured phase encodes, beside itself, each one kept back stands for.

    They are those at about its distance from the centre. Beyond the outermost measured sample
    nothing can be said. In a ``stack``, z is the slice, and the distance is that along ky.
    """
    y, z = (torch.linspace(-1, 1, n) if n > 1 else torch.zeros(1) for n in mask.shape)
    z = torch.zeros_like(z) if stack else z
    radius = (y[:, None].square() + z.square()).sqrt()
    bins = min(RINGS, max(1, int(kept.sum()) // 4))
    edges = radius[kept].quantile(torch.linspace(0, 1, bins + 1)[1:-1])
    ring = torch.bucketize(radius, edges)
    unmeasured = ~mask & (radius <= radius[mask].max())
    counts = torch.bincount(ring[unmeasured], minlength=bins) / torch.bincount(
        ring[kept], minlength=bins
    ).clamp(min=1)
    return torch.where(kept, 1 + counts[ring], 0.0)


def parts(problem: Problem, depth: int) -> list[Problem]:
    """Small problems that stand for a large one.

    The readout x of a volume is fully sampled, so every slab of slices across x is a problem of its
    own. With ``depth`` 1 they are up to `SLICES` single slices where the energy lies, else one slab
    of that many slices. A stack gives slices across z. A 2D scan is small as it is.
    """
    nx, nz = problem.kspace.shape[1], problem.kspace.shape[3]
    stack = problem.operator.stack
    along = 3 if stack else 1
    if nz == 1 or (not stack and nx <= depth):
        return [problem]
    data = problem.kspace if stack else fourier.ifft(problem.kspace, (1,))
    energy = data.abs().square().sum([a for a in range(4) if a != along]).cumsum(0)
    places = [0.5] if depth > 1 else [(i + 0.5) / SLICES for i in range(SLICES)]
    found = [int(torch.searchsorted(energy, energy[-1] * p)) for p in places]
    size = data.shape[along]
    starts = sorted({min(max(0, at - depth // 2), max(0, size - depth)) for at in found})
    return [_part(problem, data, along, start, min(depth, size)) for start in starts]


def _part(problem: Problem, data: Tensor, along: int, start: int, depth: int) -> Problem:
    """The problem of the slices from ``start`` on; ``data`` is in image space along their axis."""
    maps, mask = problem.operator.maps, problem.operator.mask
    axis = maps.ndim - 4 + along
    maps = maps.narrow(axis, start, depth).contiguous()
    piece = data.narrow(along, start, depth)
    if along == 3:
        mask = mask.narrow(1, start, depth)
    else:
        piece = fourier.fft(piece, (1,))
    operator = Sense(maps, mask, stack=problem.operator.stack)
    piece = piece.contiguous()
    part = replace(problem, operator=operator, kspace=piece, rhs=operator.adjoint(piece))
    return replace(part, calibration=_calibration(problem, along, start, depth))


def _calibration(problem: Problem, along: int, start: int, depth: int) -> Tensor | None:
    """The calibration scan of the same slices, if there is one."""
    scan = problem.calibration
    if scan is None:
        return None
    if along == 3:
        return scan.narrow(3, start, depth)
    most = problem.kspace.shape[1]
    whole = fourier.pad(fourier.crop(scan, (min(most, scan.shape[1]),), (1,)), (most,), (1,))
    return fourier.fft(fourier.ifft(whole, (1,)).narrow(1, start, depth), (1,))


def depth_of(method: str) -> int:
    """How many slices a trial of a method reconstructs.

    A diffusion prior sees slices one by one. Other methods are cheap, and some couple slices: those
    that work along an axis, and a network that gives all voxels along z at once.
    """
    settings = vars(methods.lookup(method).settings())
    columns = (settings.get("representation") or {}).get("columns", False)
    couples = columns or "axis" in settings
    return SLAB if couples or not methods.lookup(method).needs else 1


def held_out_parts(problem: Problem, method: str, seed: int = 0) -> list[HeldOut]:
    """What is held out of the parts on which a method is tried."""
    return held_out(parts(problem, depth_of(method)), seed)


def held_out(pieces: list[Problem], seed: int = 0) -> list[HeldOut]:
    """What is held out of the parts of a scan."""
    return [hold_out(piece, seed, len(pieces)) for piece in pieces]


def twin_of(problem: Problem, volume: Complex[Tensor, "x y z"], seed: int = 0) -> Twin:
    """The scan of a volume with the maps, the mask and the noise of a problem."""
    generator = torch.Generator().manual_seed(seed)
    noise = complex_noise(tuple(problem.kspace.shape), problem.noise, generator)
    operator = problem.operator
    kspace = operator.forward(volume) + noise.to(volume.device) * operator.mask
    again = replace(problem, kspace=kspace, rhs=operator.adjoint(kspace))
    return Twin(again, volume, support(volume.abs(), problem.noise))


def oriented(method: str, problem: Problem, settings: dict) -> dict:
    """The settings of a method that works along one axis, for a part of a volume.

    A part is a slab across x, so the axis is x there.
    """
    if "axis" not in vars(methods.lookup(method).settings()) or problem.operator.stack:
        return settings
    return settings | {"axis": 2 if problem.operator.shape[2] == 1 else 0}


def estimated_error(
    pieces: Sequence[HeldOut | Twin], method: str, networks: dict[str, Any], **settings: Any
) -> float:
    """‖x − truth‖² / ‖truth‖² of what a method reconstructs, as the pieces estimate it.

    Noise in what is held out can make it negative.
    """
    missed = energy = 0.0
    for piece in pieces:
        values = oriented(method, piece.problem, settings)
        missed += piece.missed(methods.reconstruct(piece.problem, method, networks, **values))
        energy += piece.energy
    return missed / energy


def choose(
    problem: Problem,
    method: str,
    networks: dict[str, Any],
    trials: int = 12,
    seed: int = 0,
    fixed: dict | None = None,
    longest: float = math.inf,
) -> Found:
    """Searches the space of a method for the settings whose errors are smallest on the scan itself.

    ``fixed`` settings are kept as they are, and not searched. Raises `ReconError` where there is
    nothing to hold out, or where the trials would take more than ``longest`` minutes.
    """
    fixed, begun = fixed or {}, time.perf_counter()
    small = parts(problem, depth_of(method))
    held = held_out(small, seed)
    twins, started = [], time.perf_counter()
    for part in small:
        first = methods.reconstruct(part, method, networks, **oriented(method, part, fixed))
        twins.append(twin_of(part, first, seed))
    minutes = 2 * trials * (time.perf_counter() - started) / 60
    if minutes > longest:
        long = f"{trials} trials would take {minutes:.0f} minutes, which --tune waits for"
        raise ReconError(f"{long}; or use --no-tune")
    if minutes > PATIENT:
        note(f"{method}: {trials} trials of settings take about {minutes:.0f} minutes")
    space = {k: v for k, v in methods.lookup(method).space.items() if k not in fixed}
    errors: list[tuple[float, float]] = []

    def score(values: dict) -> float:
        given = fixed | values
        both = (estimated_error(of, method, networks, **given) for of in (held, twins))
        errors.append(tuple(max(LEAST, error) for error in both))
        return -sum(map(math.log, errors[-1]))

    tried = search(method, space, trials, seed, score)
    smallest = [min(column) for column in zip(*errors, strict=True)]
    sums = [sum(e / s for e, s in zip(pair, smallest, strict=True)) for pair in errors]
    best = min(range(len(sums)), key=sums.__getitem__)
    roots = errors[best][0] ** 0.5, errors[best][1] ** 0.5
    return Found(tried[best]["settings"], roots, len(tried), time.perf_counter() - begun)
