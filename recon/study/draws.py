"""Draws from a posterior sampler: what their mean gains, and what is bias and what is variance."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from jaxtyping import Complex, Float
from scipy import stats
from torch import Tensor

from recon import methods
from recon.methods.spread import spread
from recon.mri.prepared import Prepared
from recon.mri.problem import Problem
from recon.study.study import Study

LABELS = ["dataset", "volume", "method", "R", "target"]


def averaged(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """PSNR of the mean of n draws, as if there were none but those of ``table``.

    The rows of a table differ in their seed alone. The squared error of a mean of n draws is
    ``b² + v / n`` in expectation, with the variance v of a draw and the bias b of the sampler. Both
    are estimated without bias from all draws, on magnitudes inside the object. So ``psnr`` follows
    for every n, and ``psnr_limit`` for infinitely many. ``variance`` is v as a share of the squared
    error of one draw. For an exact sampler it is a half: the truth, too, is a draw. ``bias`` and
    ``spread`` are b and √v in percent of the highest value of the truth.
    """
    rows = []
    for names, part in table.groupby(LABELS, sort=False):
        about = dict(zip(LABELS, names, strict=True))
        scan = study.volume(about["dataset"], about["volume"])
        drawn = [study.reconstruction(row)[scan.support] for row in part.to_dict("records")]
        bias, variance = split(torch.stack(drawn), scan.target.abs()[scan.support])
        peak = float(scan.target.abs().max())
        about |= {"variance": variance / (bias + variance), "psnr_limit": _psnr(peak, bias)}
        parts = {"bias": max(bias, 0.0), "spread": variance}
        about |= {name: 100 * square**0.5 / peak for name, square in parts.items()}
        for n in range(1, len(drawn) + 1):
            rows.append(about | {"draws": n, "psnr": _psnr(peak, bias + variance / n)})
    return pd.DataFrame(rows)


def by_frequency(study: Study, name: str) -> dict[str, float]:
    """How much the draws of the first scan of a comparison differ in k-space, by whether measured.

    It is the standard deviation of the samples of all coils, in units of the noise level of the
    data. Where a sample was measured, an exact posterior has no more than 1. The draws are computed
    anew, since only magnitudes are kept.
    """
    dataset, subject = study.config.compared(name)[0]
    cases = [case for case, _ in study.cases(name, dataset, subject)]
    problem = study.problem(dataset, subject, cases[0].acceleration)
    draws = [
        methods.reconstruct(problem, case.method, study.networks_of(case), **case.settings)
        for case in cases
    ]
    return deviations(problem, torch.stack(draws))


def deviations(problem: Problem, draws: Complex[Tensor, "draw x y z"]) -> dict[str, float]:
    """The spread of draws at ``measured`` and at ``missing`` samples, in units of the noise."""
    mask = problem.operator.mask
    everywhere = problem.operator.masked(torch.ones_like(mask))
    mean, square = draws.mean(0), torch.zeros(mask.shape)
    for draw in draws:
        square += everywhere.forward(draw - mean).abs().square().mean((0, 1)).cpu()
    variance = square / (2 * (len(draws) - 1))  # of each real component
    level, mask = problem.noise, mask.cpu()
    named = {"measured": mask, "missing": ~mask}
    return {name: float(variance[where].mean()) ** 0.5 / level for name, where in named.items()}


def coverage(
    study: Study,
    dataset: str,
    subject: str | int,
    acceleration: float,
    method: str = "annealed",
    seeds: Sequence[int] = range(4),
    **settings: Any,
) -> dict:
    """How often the error of a mean of draws lies within one and two of its standard deviations.

    ``plain_`` is the same without the factor that was found on the scan (see
    `recon.methods.spread`). Voxels inside the object count. `ideal` says what Gaussian errors have.
    """
    problem = study.problem(dataset, subject, acceleration)
    networks = {"prior": study.network(study.config.prior_of(dataset))}
    found = spread(problem, method, networks, seeds, **settings)
    scan = study.volume(dataset, subject)
    shares = within(scan, found.mean, found.std)
    plain = within(scan, found.mean, found.std / found.factor)
    about = {"dataset": dataset, "volume": str(subject), "R": acceleration}
    about |= {"draws": len(seeds), "factor": found.factor}
    return about | shares | {f"plain_{name}": share for name, share in plain.items()}


def within(
    scan: Prepared, mean: Float[Tensor, "x y z"], std: Float[Tensor, "x y z"]
) -> dict[str, float]:
    """The shares of the voxels inside the object whose error is below 1 and 2 ``std``."""
    error = (mean.cpu() - scan.target.abs())[scan.support].abs()
    expected = std.cpu()[scan.support]
    return {f"within_{k}": float((error < k * expected).float().mean()) for k in (1, 2)}


def ideal(count: int) -> dict[str, float]:
    """What `within` says of Gaussian errors and the standard deviation of ``count`` draws.

    The deviation of few draws is uncertain itself. So errors over deviations follow Student's t.
    """
    return {f"within_{k}": float(1 - 2 * stats.t.sf(k, count - 1)) for k in (1, 2)}


def split(draws: Float[Tensor, "draw n"], truth: Float[Tensor, "n"]) -> tuple[float, float]:
    """Squared bias and variance of a draw, as means over the voxels; each may come out below 0."""
    variance = float(draws.var(0).mean())
    mean_error = float((draws.mean(0) - truth).square().mean())
    return mean_error - variance / len(draws), variance


def _psnr(peak: float, error: float) -> float:
    """PSNR of a mean squared error; infinite where an estimate of it is not positive."""
    return 10 * math.log10(peak**2 / error) if error > 0 else math.inf
