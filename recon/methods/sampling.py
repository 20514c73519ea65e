"""What the posterior samplers share: noise levels, clean estimate, predictor, corrector, TV."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

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


@dataclass(frozen=True)
class Penalty:
    """``weight ‖D x‖₁`` of a volume x."""

    forward: Callable[[Volume], Volume]  # D
    adjoint: Callable[[Volume], Volume]  # Dᴴ
    weight: float


Kept = list[tuple[Volume, Volume]]  # the split variable d and the dual u of each penalty


def variation(problem: Problem, axis: int, weight: float) -> Penalty:
    """Total variation along an axis.

    In a stack, the first slice does not follow the last one. Each set of maps has its own image.
    """
    wraps = not (problem.operator.stack and axis == 2)
    sets = problem.operator.sets

    def each(act: Callable[[Volume, int, bool], Volume], x: Volume) -> Volume:
        if sets == 1:
            return act(x, axis, wraps)
        return torch.cat([act(image, axis, wraps) for image in x.chunk(sets, -1)], -1)

    return Penalty(partial(each, difference), partial(each, difference_adjoint), weight)


def begun(x: Volume, penalties: Sequence[Penalty]) -> Kept:
    """What ADMM keeps before its first iteration: zeros."""
    return [(torch.zeros_like(x), torch.zeros_like(x)) for _ in penalties]


def admm(
    normal: Callable[[Volume], Volume],
    rhs: Volume,
    x: Volume,
    penalties: Sequence[Penalty],
    kept: Kept,
    rho: float,
    iterations: int,
) -> tuple[Volume, Kept]:
    """One iteration of ADMM on ``½ xᴴNx − Re bᴴx + Σ_i λ_i ‖D_i x‖₁``, starting at x.

    For ``½‖Ax − y‖²``, N is AᴴA and b is Aᴴy. The x-update takes ``iterations`` steps of CG on
    ``(N + ρ Σ D_iᴴD_i) x = b + ρ Σ D_iᴴ(d_i − u_i)``. Returns x, and what the next iteration needs
    of each penalty. With one total variation it is that of Chung et al. (2023).
    """

    def operator(v: Tensor) -> Tensor:
        out = normal(v)
        for penalty in penalties:
            out = out + rho * penalty.adjoint(penalty.forward(v))
        return out

    for penalty, (d, u) in zip(penalties, kept, strict=True):
        rhs = rhs + rho * penalty.adjoint(d - u)
    # Without ℓ1 the system is singular. Beyond this tolerance CG would amplify rounding.
    x = conjugate_gradient(operator, rhs, x, iterations, tolerance=1e-4)
    new = []
    for penalty, (_, u) in zip(penalties, kept, strict=True):
        changes = penalty.forward(x)
        d = soft(changes + u, penalty.weight / rho)
        new.append((d, u + changes - d))
    return x, new


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
