"""The DDPM: a network that predicts noise, with the linear schedule of Ho et al. (2020).

It answers ``denoise(x, sigma)`` at the timestep whose noise-to-signal ratio is ``sigma`` (see
`recon.priors.schedule`).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from recon.mri.prepared import Prepared
from recon.networks.trained import Kind, SliceTraining
from recon.priors.denoiser import Denoiser
from recon.priors.schedule import ALPHA_BAR, SIGMAS, T, ddpm_timestep
from recon.priors.validation import denoising_error


class DDPMTraining(SliceTraining):
    """How a DDPM is trained.

    Paper A: Adam at a constant rate of 1e-4, batch 4, EMA 0.999, uniform timesteps.
    """

    kind: Literal["ddpm"] = "ddpm"
    # The exponent in the distribution of the timesteps; see `DDPM.loss`. 1 is the paper's.
    focus: float = Field(2.0, gt=0)


class DDPM(Denoiser):
    """A noise-predicting network as a denoiser."""

    sigma_max = float(SIGMAS[-1])

    def epsilon(
        self, x_t: Float[Tensor, "n 2 h w"], t: Float[Tensor, "n"]
    ) -> Float[Tensor, "n 2 h w"]:
        """The network's estimate of the noise in ``x_t``."""
        with self.autocast(x_t.device.type):
            return self.network(x_t, t).float()

    def estimate(
        self, x: Float[Tensor, "n 2 h w"], sigma: Float[Tensor, "n"]
    ) -> Float[Tensor, "n 2 h w"]:
        """``x - sigma eps_hat`` (Tweedie), with all slices in one network call."""
        t, level = ddpm_timestep(sigma).to(x.device), sigma.view(-1, 1, 1, 1)
        return x - level * self.epsilon(x * (1 + level**2).rsqrt(), t)

    def loss(
        self, x0: Float[Tensor, "n 2 h w"], generator: torch.Generator, focus: float = 1.0
    ) -> Float[Tensor, ""]:
        """Mean of ``‖eps_hat - eps‖²`` (Ho et al., equation 14).

        Timesteps are ``t = ceil(T · u**focus)`` with u uniform in (0, 1]. ``focus = 1`` is the
        paper's uniform t. Larger values spend a short training on the small t that reconstruction
        uses.
        """
        u = 1 - torch.rand(len(x0), generator=generator)
        t = (T * u**focus).ceil().clamp(1, T).long()
        alpha_bar = ALPHA_BAR[t].float().view(-1, 1, 1, 1).to(x0.device)
        eps = torch.randn(x0.shape, generator=generator).to(x0.device)
        x_t = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps
        return (self.epsilon(x_t, t.to(x0.device).float()) - eps).square().mean()


def ddpm(network: nn.Module, settings: DDPMTraining) -> DDPM:
    """The model of a network."""
    return DDPM(network)


def ddpm_loss(
    model: DDPM, batch: Float[Tensor, "n 2 h w"], generator: torch.Generator, settings: DDPMTraining
) -> Float[Tensor, ""]:
    """The loss of one training step."""
    return model.loss(batch, generator, settings.focus)


def ddpm_check(
    model: DDPM, volumes: Sequence[Prepared], settings: DDPMTraining
) -> dict[str, float]:
    """The denoising error on volumes that training does not see, by noise level."""
    return denoising_error(model, [volume.reference for volume in volumes])


KIND = Kind(ddpm, DDPMTraining, loss=ddpm_loss, batches="slices", check=ddpm_check, denoises=True)
