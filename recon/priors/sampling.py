"""Steps that samplers share, and the DDIM sampler of slices."""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from jaxtyping import Complex, Float, Inexact
from torch import Tensor

from recon.priors.denoiser import Denoiser
from recon.priors.schedule import T, ddpm_sigma


def noise_like(
    x: Inexact[Tensor, "*shape"], generator: torch.Generator
) -> Inexact[Tensor, "*shape"]:
    """Standard normal numbers in the shape of ``x``; in both components where ``x`` is complex."""
    real = torch.view_as_real(x) if x.is_complex() else x
    noise = torch.randn(real.shape, generator=generator).to(x.device)
    return torch.view_as_complex(noise) if x.is_complex() else noise


def noise_along_arc(
    x: Complex[Tensor, "x y z"], generator: torch.Generator, axis: int
) -> Complex[Tensor, "x y z"]:
    """Standard normal noise whose slices across ``axis`` lie on an arc between two draws.

    Slice k of n has ``cos θ a + sin θ b`` with ``θ = π/2 · k / (n − 1)``, a and b two slices of
    noise. So the noise of each slice is standard normal, and neighbours have nearly the same.
    Samplers of slices then agree from slice to slice. Source: ISCS (arXiv 2602.04162).
    """
    slice_ = x.narrow(axis, 0, 1)
    first, last = noise_like(slice_, generator), noise_like(slice_, generator)
    angle = torch.linspace(0, math.pi / 2, x.shape[axis], device=x.device)
    angle = angle.view([-1 if a == axis else 1 for a in range(3)])
    return angle.cos() * first + angle.sin() * last


def ddim_step(
    x0_hat: Inexact[Tensor, "*shape"],
    eps: Inexact[Tensor, "*shape"],
    sigma_t: float,
    sigma_s: float,
    eta: float,
    generator: torch.Generator,
    draw: Callable[[Tensor, torch.Generator], Tensor] = noise_like,
) -> Inexact[Tensor, "*shape"]:
    """From noise-to-signal ratio ``sigma_t`` to ``sigma_s``, given clean estimate and noise.

    Source: Song et al. 2021, equation 12. The state is
    ``x = x_t / sqrt(alpha_bar) = x0 + sigma eps``. With ``alpha_bar = 1 / (1 + sigma²)``, the
    standard deviation of the fresh noise in their equation 16 becomes
    ``eta sigma_s sqrt(1 - sigma_s² / sigma_t²)``. ``draw`` draws it.
    """
    # The share of the variance of the noise that is drawn anew.
    fresh = eta**2 * (1 - (sigma_s / sigma_t) ** 2)
    x = x0_hat + sigma_s * (1 - fresh) ** 0.5 * eps
    return x + sigma_s * fresh**0.5 * draw(x, generator) if sigma_s * fresh > 0 else x


@torch.no_grad()
def ddim(
    prior: Denoiser,
    shape: tuple[int, int, int, int],
    generator: torch.Generator,
    steps: int = 50,
    eta: float = 1.0,
) -> Float[Tensor, "n 2 h w"]:
    """Draws slices by DDIM (Song et al. 2021, equation 12).

    ``shape`` is (n, 2, h, w). With ``eta = 1`` and ``steps = 1000`` it is DDPM's ancestral sampler.
    """
    device = next(prior.parameters()).device
    timesteps = torch.linspace(T, 0, steps + 1).round()
    sigmas = [min(ddpm_sigma(int(t)), prior.sigma_max) for t in timesteps]
    x = (1 + sigmas[0] ** 2) ** 0.5 * torch.randn(shape, generator=generator).to(device)
    for sigma_t, sigma_s in pairwise(sigmas):
        x0_hat = prior.denoise(x, sigma_t)
        x = ddim_step(x0_hat, (x - x0_hat) / sigma_t, sigma_t, sigma_s, eta, generator)
    return x
