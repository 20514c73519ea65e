"""Draws from a posterior sampler: what their mean gains, and what is bias and what is variance."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from recon.methods.spread import spread
from recon.mri.prepared import Prepared
from recon.study.study import Study

LABELS = ["dataset", "volume", "method", "R", "target"]


def averaged(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """PSNR of the mean of n draws, as if there were none but those of ``table``.

    The rows of a table differ in their seed alone. The squared error of a mean of n draws is
    ``b² + v / n`` in expectation, with the variance v of a draw and the bias b of the sampler. Both
    are estimated without bias from all draws, on magnitudes inside the object. So ``psnr`` follows
    for every n, and ``psnr_limit`` for infinitely many. ``variance`` is v as a share of the squared
    error of one draw. For an exact sampler it is a half: the truth, too, is a draw.
    """
    rows = []
    for names, part in table.groupby(LABELS, sort=False):
        about = dict(zip(LABELS, names, strict=True))
        scan = study.volume(about["dataset"], about["volume"])
        drawn = [study.reconstruction(row)[scan.support] for row in part.to_dict("records")]
        bias, variance = split(torch.stack(drawn), scan.target.abs()[scan.support])
        peak = float(scan.target.abs().max())
        about |= {"variance": variance / (bias + variance), "psnr_limit": _psnr(peak, bias)}
        for n in range(1, len(drawn) + 1):
            rows.append(about | {"draws": n, "psnr": _psnr(peak, bias + variance / n)})
    return pd.DataFrame(rows)


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
    `recon.methods.spread`). Voxels inside the object count. A Gaussian has 68 and 95 %.
    """
    problem = study.problem(dataset, subject, acceleration)
    networks = {"prior": study.network(study.config.prior_of(dataset))}
    found = spread(problem, method, networks, seeds, **settings)
    scan = study.volume(dataset, subject)
    shares = within(scan, found.mean, found.std)
    plain = within(scan, found.mean, found.std / found.factor)
    about = {"dataset": dataset, "volume": str(subject), "R": acceleration, "factor": found.factor}
    return about | shares | {f"plain_{name}": share for name, share in plain.items()}


def within(
    scan: Prepared, mean: Float[Tensor, "x y z"], std: Float[Tensor, "x y z"]
) -> dict[str, float]:
    """The shares of the voxels inside the object whose error is below 1 and 2 ``std``."""
    error = (mean.cpu() - scan.target.abs())[scan.support].abs()
    expected = std.cpu()[scan.support]
    return {f"within_{k}": float((error < k * expected).float().mean()) for k in (1, 2)}


def split(draws: Float[Tensor, "draw n"], truth: Float[Tensor, "n"]) -> tuple[float, float]:
    """Squared bias and variance of a draw, as means over the voxels; each may come out below 0."""
    variance = float(draws.var(0).mean())
    mean_error = float((draws.mean(0) - truth).square().mean())
    return mean_error - variance / len(draws), variance


def _psnr(peak: float, error: float) -> float:
    """PSNR of a mean squared error; infinite where an estimate of it is not positive."""
    return 10 * math.log10(peak**2 / error) if error > 0 else math.inf
