"""How sure a reconstruction is: draws, and their spread, checked on the scan itself.

A draw is a reconstruction from data with fresh noise, in which the prior is asked with fresh noise
too. Draws differ less than they err: a solver leaves no doubt where its prior has none, and every
draw shares the errors of the prior. So the spread is multiplied by one factor, which is measured in
two ways (see `recon.methods.prediction`).

*Held out*: how much larger the error of predicted samples is than their spread among draws. Samples
kept back lie in larger gaps than those never measured, so this factor is too large. *Twin*: the
same for a simulated scan whose truth is known, which is easier than the object, so this factor is
too small. Their geometric mean is used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon import methods
from recon.errors import ReconError
from recon.methods import prediction
from recon.methods.prediction import HeldOut, Twin
from recon.mri.problem import Problem
from recon.phantoms import complex_noise

# What makes the draws of a method differ that gives one volume otherwise.
RESTLESS = {"churn": 1.0}


@dataclass(frozen=True)
class Spread:
    """The mean of the draws' magnitudes, and how far it is expected to be off, in the units of the
    scan.
    """

    mean: Float[Tensor, "x y z"]
    std: Float[Tensor, "x y z"]  # expected error of the mean, after `factor`
    factor: float  # by which the spread among draws was multiplied
    seeds: tuple[int, ...]


def spread(
    problem: Problem, method: str, networks: dict[str, Any], seeds: Sequence[int], **settings: Any
) -> Spread:
    """Draws one volume for each seed, and calibrates their spread on the scan itself.

    Of n draws with the variance s² the mean errs by s² (1 + 1/n), if truth and draws are alike.
    Volumes are calibrated on a few slices. Where nothing can be held out, the twin decides alone.
    """
    settings = _restless(method) | settings
    draws = drawn(problem, method, networks, seeds, **settings)
    volumes = torch.stack([problem.unscale(volume).abs() for volume in draws])
    factor = calibration(problem, method, networks, seeds, **settings)
    expected = (volumes.var(0) * (1 + 1 / len(volumes))).sqrt()
    return Spread(volumes.mean(0), factor * expected, factor, tuple(seeds))


def drawn(
    problem: Problem, method: str, networks: dict[str, Any], seeds: Sequence[int], **settings: Any
) -> Complex[Tensor, "n x y z"]:
    """Reconstructions with a seed each, from data with as much noise again."""
    volumes = []
    for seed in seeds:
        seeded = settings | {"seed": seed}
        volumes.append(methods.reconstruct(disturbed(problem, seed), method, networks, **seeded))
    return torch.stack(volumes)


def disturbed(problem: Problem, seed: int) -> Problem:
    """The same problem with fresh noise of the same level added to its samples."""
    generator = torch.Generator().manual_seed(seed)
    noise = complex_noise(tuple(problem.kspace.shape), problem.noise, generator)
    kspace = problem.kspace + noise.to(problem.kspace.device) * problem.operator.mask
    return replace(problem, kspace=kspace, rhs=problem.operator.adjoint(kspace))


def calibration(
    problem: Problem, method: str, networks: dict[str, Any], seeds: Sequence[int], **settings: Any
) -> float:
    """How many times larger errors are than the spread among draws says."""
    small = prediction.parts(problem, prediction.depth_of(method))
    twins = []
    for part in small:
        values = prediction.oriented(method, part, settings)
        first = methods.reconstruct(part, method, networks, **values)
        twins.append(prediction.twin_of(part, first))
    try:
        held = prediction.held_out(small)
    except ReconError:
        held = []  # too few samples lie outside the calibration region
    ratios = []
    for pieces in (held, twins):
        found = []
        for piece in pieces:
            values = prediction.oriented(method, piece.problem, settings)
            found.append(errors(piece, drawn(piece.problem, method, networks, seeds, **values)))
        error, expected = (sum(column) for column in zip(*found, strict=True)) if found else (0, 0)
        if error > 0 and expected > 0:
            ratios.append(math.sqrt(error / expected))
    return math.prod(ratios) ** (1 / len(ratios)) if ratios else 1.0


def errors(piece: HeldOut | Twin, volumes: Complex[Tensor, "n x y z"]) -> tuple[float, float]:
    """The squared error of the mean of draws, and the one that their spread promises."""
    more = 1 + 1 / len(volumes)
    if isinstance(piece, Twin):
        found, truth = volumes.abs()[:, piece.inside], piece.truth.abs()[piece.inside]
        error = (found.mean(0) - truth).square().sum()
        return float(error), float(found.var(0).sum()) * more
    operator = piece.problem.operator
    kept = (piece.weight > 0) & ~operator.mask
    whole = operator.masked(kept)
    found = torch.stack([whole.forward(volume) for volume in volumes])
    weight = piece.weight * kept
    error = (weight * (found.mean(0) - piece.samples).abs().square()).sum()
    noise = 2 * piece.level**2 * float(weight.sum()) * found.shape[1] * found.shape[2]
    return float(error) - noise, float((weight * found.var(0)).sum()) * more


def _restless(method: str) -> dict:
    """The settings that make draws of a method differ, where it has them."""
    known = vars(methods.lookup(method).settings())
    return {key: value for key, value in RESTLESS.items() if key in known}
