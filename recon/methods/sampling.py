"""What the posterior samplers share: their noise levels, the clean estimate, predictor and
corrector, total variation across slices.
"""

import torch
from torch import Tensor

from recon.methods.common import Volume
from recon.mri.problem import Problem
from recon.mri.slices import as_slices, as_volume
from recon.mri.solvers import conjugate_gradient, difference, difference_adjoint
from recon.mri.wavelets import soft
from recon.priors import Prior
from recon.priors.sampling import noise_like
from recon.priors.schedule import T, ddpm_sigma

# What tuning searches of methods with total variation. Further out all of them fail.
TV_SPACE = {"weight": (2e-3, 0.02), "rho": (2e-3, 0.05)}


def clean_estimate(problem: Problem, prior: Prior, x: Volume, sigma: float, axis: int) -> Volume:
    """``E[x0 | x0 + σ n = x]`` of all slices across ``axis``, and zero where no coil sees.

    References, and with them what priors were trained on, are zero there. Nothing else would hold a
    sampler's state in such places: with a prior of another resolution it drifts away, and pulls the
    network off wherever its view reaches them.
    """
    return problem.operator.support * as_volume(prior.denoise(as_slices(x, axis), sigma), axis)


def admm_tv(
    problem: Problem,
    x: Volume,
    d: Volume,
    u: Volume,
    axis: int,
    weight: float,
    rho: float,
    iterations: int,
) -> tuple[Volume, Volume, Volume]:
    """One iteration of ADMM on ``½‖Ax − y‖² + weight ‖Dx‖₁`` from x, with D the difference across
    slices (Chung et al. 2023).

    The x-update is ``iterations`` steps of CG on ``(AᴴA + ρDᴴD) x = Aᴴy + ρDᴴ(d − u)``. Returns x,
    the split variable d, the dual u.
    """

    def operator(v: Tensor) -> Tensor:
        return problem.operator.normal(v) + rho * difference_adjoint(difference(v, axis), axis)

    rhs = problem.rhs + rho * difference_adjoint(d - u, axis)
    # singular: beyond it CG would amplify rounding without bound
    x = conjugate_gradient(operator, rhs, x, iterations, tolerance=1e-4)
    gradient = difference(x, axis)
    d = soft(gradient + u, weight / rho)
    return x, d, u + gradient - d


def ddim_levels(prior: Prior, steps: int) -> list[float]:
    """Noise levels of DDIM: at equally spaced timesteps of a DDPM, none higher than the prior
    knows, ending in the clean volume.
    """
    sigmas = [ddpm_sigma(float(t)) for t in torch.linspace(T, 0, steps + 1)[:-1]]
    return [min(sigma, prior.sigma_max) for sigma in sigmas] + [0.0]


def ve_levels(
    prior: Prior, steps: int, largest: float = 378.0, smallest: float = 0.01
) -> list[float]:
    """The ``steps + 1`` noise levels of the variance-exploding schedule, geometric, no larger than
    the prior knows.
    """
    largest = min(largest, prior.sigma_max)
    return [largest * (smallest / largest) ** (k / steps) for k in range(steps + 1)]


def score(problem: Problem, prior: Prior, x: Volume, sigma: float, axis: int) -> Volume:
    """``∇ log p(x) = (D(x, σ) − x) / σ²`` of all slices across ``axis`` (Tweedie), with D as in
    `clean_estimate`.
    """
    return (clean_estimate(problem, prior, x, sigma, axis) - x) / sigma**2


def predict(
    x: Tensor, s: Tensor, sigma_t: float, sigma_s: float, generator: torch.Generator
) -> Tensor:
    """Reverse diffusion from noise level ``sigma_t`` to ``sigma_s`` along the score s (Song et al.
    2021, algorithm 2).
    """
    step = sigma_t**2 - sigma_s**2
    return x + step * s + step**0.5 * noise_like(x, generator)


def correct(x: Tensor, s: Tensor, snr: float, generator: torch.Generator) -> Tensor:
    """A Langevin step along the score s, of size ``ε = 2 (snr ‖z‖ / ‖s‖)²`` (Song et al. 2021,
    algorithm 4), norms over the volume.
    """
    z = noise_like(x, generator)
    epsilon = 2 * (snr * z.norm() / s.norm()) ** 2
    return x + epsilon * s + (2 * epsilon) ** 0.5 * z
