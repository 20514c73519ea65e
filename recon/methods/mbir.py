"""DiffusionMBIR (Chung et al. 2023): predictor-corrector sampling of 2D slices, tied together by total variation across them."""

from itertools import pairwise

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.diffusion import Prior, noise_like
from recon.methods.common import (
    Axis,
    Callback,
    Count,
    NonNegative,
    Positive,
    T,
    Volume,
    admm_tv,
    check_plane,
    clean_estimate,
    ignore,
    settings,
)
from recon.progress import track
from recon.sense import Problem


def ve_levels(prior: Prior, steps: int, largest: float = 378.0, smallest: float = 0.01) -> list[float]:
    """The ``steps + 1`` noise levels of the variance-exploding schedule, geometric, no larger than the prior knows."""
    largest = min(largest, prior.sigma(T))
    return [largest * (smallest / largest) ** (k / steps) for k in range(steps + 1)]


def score(problem: Problem, prior: Prior, x: Volume, sigma: float, axis: int) -> Volume:
    """``∇ log p(x) = (D(x, σ) − x) / σ²`` of all slices across ``axis`` (Tweedie), with D as in `clean_estimate`."""
    return (clean_estimate(problem, prior, x, sigma, axis) - x) / sigma**2


def predict(x: Tensor, s: Tensor, sigma_t: float, sigma_s: float, generator: torch.Generator) -> Tensor:
    """Reverse diffusion from noise level ``sigma_t`` to ``sigma_s`` along the score s (Song et al. 2021, algorithm 2)."""
    step = sigma_t**2 - sigma_s**2
    return x + step * s + step**0.5 * noise_like(x, generator)


def correct(x: Tensor, s: Tensor, snr: float, generator: torch.Generator) -> Tensor:
    """A Langevin step along the score s, of size ``ε = 2 (snr ‖z‖ / ‖s‖)²`` (Song et al. 2021, algorithm 4), norms over the volume."""
    z = noise_like(x, generator)
    epsilon = 2 * (snr * z.norm() / s.norm()) ** 2
    return x + epsilon * s + (2 * epsilon) ** 0.5 * z


@settings
class DiffusionMbirSettings:
    """Chung et al. (2023): 2000 steps, SNR 0.16, λ 0.005, ρ 0.01, one CG step."""

    weight: NonNegative = 0.005  # λ
    rho: Positive = 0.01
    steps: Count = 2000
    snr: Positive = 0.16
    cg_iterations: Count = 1
    axis: Axis = 2  # slices across it see the network; total variation acts along it
    seed: int = 0


def diffusion_mbir(
    problem: Problem, prior: Prior, settings: DiffusionMbirSettings = DiffusionMbirSettings(), callback: Callback = ignore
) -> Complex[Tensor, "x y z"]:
    """Chung et al. (2023): per noise level a predictor, a Langevin corrector and an ADMM-TV update of the whole volume.

    The volume carries noise of standard deviation σ, but one CG step puts the data as they are at the measured frequencies: these end
    at y, noise included, and are less noisy on the way than the prior is told. The corrector leaves the variance of a Gaussian too
    large by the factor ``1 + snr²``. Evaluates the network on ``2 × steps × (slices along axis)``.
    """
    check_plane(settings.axis, problem.operator.shape)
    generator, axis = torch.Generator().manual_seed(settings.seed), settings.axis
    sigmas = ve_levels(prior, settings.steps)
    x = sigmas[0] * noise_like(problem.rhs, generator)
    d = u = torch.zeros_like(x)
    for k, (sigma_t, sigma_s) in enumerate(track(list(pairwise(sigmas)), "diffusion-mbir")):
        x = predict(x, score(problem, prior, x, sigma_t, axis), sigma_t, sigma_s, generator)
        x = correct(x, score(problem, prior, x, sigma_s, axis), settings.snr, generator)
        x, d, u = admm_tv(problem, x, d, u, axis, settings.weight, settings.rho, settings.cg_iterations)
        callback(k, x)
    return problem.operator.support * x  # total variation leaks along the axis, and the last corrector leaves its noise
