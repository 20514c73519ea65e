"""The EDM: a diffusion prior whose network sees inputs and gives outputs of unit variance.

Source: Karras et al. 2022, table 1 and equations 7 and 8. With the spread σ_d of the data,

``D(x, σ) = c_skip x + c_out F(c_in x, c_noise)``, where ``c_skip = σ_d² / (σ² + σ_d²)``,
``c_out = σ σ_d / sqrt(σ² + σ_d²)``, ``c_in = 1 / sqrt(σ² + σ_d²)`` and ``c_noise = ln σ / 4``.

At low noise the answer is the input, at high noise it is the network's. The network is that of the
other priors. It takes a timestep in [0, 1000], so c_noise is mapped there.
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from recon.networks.trained import Kind, SliceTraining
from recon.priors import Prior
from recon.priors.denoiser import Denoiser, Noised, per_sample
from recon.priors.validation import check_denoising

SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7.0  # of the levels of a sampler (their table 1)
LEAST = 1e-4  # noise below this is none


class EDMTraining(SliceTraining):
    """How an EDM is trained: ``ln σ`` is normal (their table 1)."""

    kind: Literal["edm"] = "edm"
    mean: float = -1.2 + math.log(2)  # of ln σ; theirs is for σ_d = 0.5, half of ours
    spread: float = Field(1.2, gt=0)  # standard deviation of ln σ
    sigma_data: float = Field(1.0, gt=0)  # slices are at unit variance


class EDM(Denoiser):
    """A network with the preconditioning of Karras et al., as a denoiser."""

    sigma_max = SIGMA_MAX

    def __init__(
        self,
        network: nn.Module,
        batch: int = 32,
        bf16: bool | None = None,
        sigma_data: float = 1.0,
    ):
        super().__init__(network, batch, bf16)
        self.sigma_data = sigma_data

    def inputs(
        self, x: Float[Tensor, "n *stack 2 h w"], sigma: Float[Tensor, "n"]
    ) -> tuple[Float[Tensor, "n *stack 2 h w"], Float[Tensor, "n"]]:
        """``c_in x`` and c_noise."""
        scale = (sigma**2 + self.sigma_data**2).rsqrt()
        return x * per_sample(scale, x), timestep(sigma)

    def estimate(
        self, x: Float[Tensor, "n *stack 2 h w"], sigma: Float[Tensor, "n"]
    ) -> Float[Tensor, "n *stack 2 h w"]:
        """``E[x0 | x0 + sigma n = x]``, with all slices in one network call."""
        sigma = sigma.clamp(min=LEAST)
        level, spread = per_sample(sigma, x), self.sigma_data
        total = level**2 + spread**2
        with self.autocast(x.device.type):
            output = self.network(*self.inputs(x, sigma)).float()
        return spread**2 / total * x + level * spread * total.rsqrt() * output

    def loss(self, batch: Noised) -> Float[Tensor, ""]:
        """Mean of ``λ(σ) ‖D(x0 + σ n, σ) − x0‖²`` with λ = (σ² + σ_d²) / (σ σ_d)².

        The weight makes the error of the network's output count alike at every level.
        """
        x0, sigma = batch.clean, batch.level.to(batch.clean.device)
        level = per_sample(sigma, x0)
        noise = batch.noise.to(x0.device)
        weight = (level**2 + self.sigma_data**2) / (level * self.sigma_data) ** 2
        error = self.estimate(x0 + level * noise, sigma) - x0
        return (weight * error.square()).mean()


def timestep(sigma: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """``c_noise = ln σ / 4``, mapped to [0, 1000]: LEAST becomes 0 and 1e4 becomes 1000."""
    return 1000 * (sigma.log() / 4 + 2.303) / 4.606


def levels(
    steps: int, sigma_max: float = SIGMA_MAX, sigma_min: float = SIGMA_MIN, rho: float = RHO
) -> Float[Tensor, "steps_and_1"]:
    """Noise levels that fall from ``sigma_max`` to ``sigma_min``, and then 0 (their equation 5)."""
    part = torch.arange(steps, dtype=torch.float64) / max(1, steps - 1)
    ends = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    return torch.cat([(ends[0] + part * (ends[1] - ends[0])) ** rho, torch.zeros(1)])


@torch.no_grad()
def sample(
    prior: Prior,
    x: Float[Tensor, "n 2 h w"],
    sigmas: Float[Tensor, "steps_and_1"],
    heun: bool = True,
) -> Float[Tensor, "n 2 h w"]:
    """Follows ``dx/dσ = (x − D(x, σ)) / σ`` from noisy slices to clean ones (their algorithm 1).

    ``x`` is at the noise level ``sigmas[0]``. Steps are those of Heun, or of Euler. Any prior will
    do that can denoise.
    """
    for now, then in pairwise(sigmas.tolist()):
        slope = (x - prior.denoise(x, now)) / now
        euler = x + (then - now) * slope
        if heun and then > 0:
            ahead = (euler - prior.denoise(euler, then)) / then
            x = x + (then - now) * (slope + ahead) / 2
        else:
            x = euler
    return x


def edm(network: nn.Module, settings: EDMTraining) -> EDM:
    """The model of a network."""
    model = EDM(network, sigma_data=settings.sigma_data)
    model.flips = bool(settings.transfer and settings.transfer.flips)
    return model


def noised(
    x0: Float[Tensor, "n *stack 2 h w"], generator: torch.Generator, settings: EDMTraining
) -> Noised:
    """Levels σ whose logarithm is normal, and the noise."""
    drawn = torch.randn(len(x0), generator=generator)
    sigma = (settings.mean + settings.spread * drawn).exp().clamp(max=SIGMA_MAX)
    return Noised(x0, sigma, torch.randn(x0.shape, generator=generator))


def edm_loss(model: EDM, batch: Noised, settings: EDMTraining) -> Float[Tensor, ""]:
    """The loss of one training step."""
    return model.loss(batch)


KIND = Kind(
    edm,
    EDMTraining,
    loss=edm_loss,
    batches="slices",
    check=check_denoising,
    draw=noised,
    denoises=True,
)
