"""What the posterior samplers share: noise levels, clean estimate, predictor, corrector, TV."""

import torch
from torch import Tensor

from recon.methods.common import Volume
from recon.methods.ranges import decades
from recon.mri.problem import Problem
from recon.mri.slices import as_slices, as_volume
from recon.mri.solvers import conjugate_gradient, difference, difference_adjoint
from recon.mri.wavelets import soft
from recon.priors import Prior
from recon.priors.sampling import noise_like
from recon.priors.schedule import T, ddpm_sigma

# The search space of methods with total variation. Outside it all of them fail.
TV_SPACE = {"weight": decades(2e-3, 0.02), "rho": decades(2e-3, 0.05)}


def clean_estimate(problem: Problem, prior: Prior, x: Volume, sigma: float, axis: int) -> Volume:
    """``E[x0 | x0 + σ n = x]`` of all slices across ``axis``, and zero where no coil sees.

    References are zero there, and so are the slices that priors were trained on. The data do not
    constrain a sampler in such places. With a prior of another resolution its state would drift
    away there, and disturb the network's estimate nearby.
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
    """One iteration of ADMM on ``½‖Ax − y‖² + weight ‖Dx‖₁``, starting at x (Chung et al. 2023).

    D is the difference between neighbouring slices. The x-update takes ``iterations`` steps of CG
    on ``(AᴴA + ρDᴴD) x = Aᴴy + ρDᴴ(d − u)``. Returns x, the split variable d and the dual u.
    In a stack, the first slice does not follow the last one.
    """
    wraps = not (problem.operator.stack and axis == 2)

    def operator(v: Tensor) -> Tensor:
        return problem.operator.normal(v) + rho * difference_adjoint(
            difference(v, axis, wraps), axis, wraps
        )

    rhs = problem.rhs + rho * difference_adjoint(d - u, axis, wraps)
    # The system is singular. Beyond this tolerance CG would amplify rounding without bound.
    x = conjugate_gradient(operator, rhs, x, iterations, tolerance=1e-4)
    gradient = difference(x, axis, wraps)
    d = soft(gradient + u, weight / rho)
    return x, d, u + gradient - d


def ddim_levels(prior: Prior, steps: int) -> list[float]:
    """Noise levels of DDIM: at equally spaced timesteps of a DDPM, then 0 for the clean volume.

    No level exceeds the highest one that the prior knows.
    """
    sigmas = [ddpm_sigma(float(t)) for t in torch.linspace(T, 0, steps + 1)[:-1]]
    return [min(sigma, prior.sigma_max) for sigma in sigmas] + [0.0]


def ve_levels(
    prior: Prior, steps: int, largest: float = 378.0, smallest: float = 0.01
) -> list[float]:
    """The ``steps + 1`` noise levels of the variance-exploding schedule, a geometric series.

    No level exceeds the highest one that the prior knows.
    """
    largest = min(largest, prior.sigma_max)
    return [largest * (smallest / largest) ** (k / steps) for k in range(steps + 1)]


def score(problem: Problem, prior: Prior, x: Volume, sigma: float, axis: int) -> Volume:
    """``∇ log p(x) = (D(x, σ) − x) / σ²`` of all slices across ``axis`` (Tweedie).

    D is `clean_estimate`.
    """
    return (clean_estimate(problem, prior, x, sigma, axis) - x) / sigma**2


def predict(
    x: Tensor, s: Tensor, sigma_t: float, sigma_s: float, generator: torch.Generator
) -> Tensor:
    """Reverse diffusion from noise level ``sigma_t`` to ``sigma_s`` along the score s.

    Source: Song et al. 2021, algorithm 2.
    """
    step = sigma_t**2 - sigma_s**2
    return x + step * s + step**0.5 * noise_like(x, generator)


def correct(x: Tensor, s: Tensor, snr: float, generator: torch.Generator) -> Tensor:
    """A Langevin step along the score s, of size ``ε = 2 (snr ‖z‖ / ‖s‖)²``.

    The norms are those of the whole volume. Source: Song et al. 2021, algorithm 4.
    """
    z = noise_like(x, generator)
    epsilon = 2 * (snr * z.norm() / s.norm()) ** 2
    return x + epsilon * s + (2 * epsilon) ** 0.5 * z
