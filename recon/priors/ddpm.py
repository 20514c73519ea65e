"""The DDPM: a diffusion prior with the linear schedule of Ho et al. (2020).

It answers ``denoise(x, sigma)`` at the timestep whose noise-to-signal ratio is ``sigma`` (see
`recon.priors.schedule`). Let ``x_t = α x0 + σ_t ε``. The papers' networks predict the noise; then
the clean slice is ``(x_t − σ_t ε_hat) / α``. At high noise α is small. There this multiplies the
error of the network by up to 157, and the answer zero would be better.

A network may predict both noise and clean slice. The answer is then the mean
``α² (x_t − σ_t ε_hat) / α + σ_t² x0_hat`` (compare Benny and Wolf 2022). At low noise it is the
noise predictor, at high noise the direct one. Its error is σ_t times that of the velocity
``v = α ε − σ_t x0`` (Salimans and Ho 2022), as with EDM's preconditioning for data of unit variance
(Karras et al. 2022). A network that predicts v itself was worse: its error was twice as large at
σ = 0.1 to 1, on knees of 2× voxels after 3000 steps.
"""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from recon.networks.trained import Kind, SliceTraining
from recon.priors.denoiser import Denoiser, Noised, per_sample
from recon.priors.schedule import ALPHA_BAR, SIGMAS, T, ddpm_timestep
from recon.priors.validation import check_denoising

Levels = Float[Tensor, "#n *ones"]
HIGH_NOISE = 0.05  # weight of the error of v; see `DDPM.loss`


class DDPMTraining(SliceTraining):
    """How a DDPM is trained.

    Paper A: Adam at a constant rate of 1e-4, batch 4, EMA 0.999, uniform timesteps.
    """

    kind: Literal["ddpm"] = "ddpm"
    # The exponent in the distribution of the timesteps; see `noised`. 1 is the paper's.
    focus: float = Field(2.0, gt=0)
    # The papers' networks predict the noise. "both" needs a network of two outputs.
    predicts: Literal["noise", "both"] = "noise"

    @model_validator(mode="after")
    def _outputs(self):
        needed, found = (2 if self.predicts == "both" else 1), getattr(self.network, "outputs", 1)
        if needed != found:
            wrong = f"predicts {self.predicts!r} needs a network of {needed} outputs"
            raise ValueError(f"{wrong}, and this one has {found}; set network.outputs")
        return self


class DDPM(Denoiser):
    """A network that predicts the noise, or noise and clean slice, as a denoiser."""

    sigma_max = float(SIGMAS[-1])

    def __init__(
        self,
        network: nn.Module,
        batch: int = 32,
        bf16: bool | None = None,
        predicts: Literal["noise", "both"] = "noise",
    ):
        super().__init__(network, batch, bf16)
        self.predicts = predicts

    def velocity(
        self,
        x_t: Float[Tensor, "n *stack 2 h w"],
        t: Float[Tensor, "n"],
        alpha: Levels,
        sigma: Levels,
    ) -> Float[Tensor, "n *stack 2 h w"]:
        """The estimate of ``alpha eps − sigma x0``, with ``alpha² + sigma² = 1``."""
        with self.autocast(x_t.device.type):
            output = self.network(x_t, t).float()
        if self.predicts == "noise":
            return (output - sigma * x_t) / alpha
        eps_hat, x0_hat = output.chunk(2, dim=-3)
        return alpha * eps_hat - sigma * x0_hat

    def inputs(
        self, x: Float[Tensor, "n 2 h w"], sigma: Float[Tensor, "n"]
    ) -> tuple[Float[Tensor, "n 2 h w"], Float[Tensor, "n"]]:
        """``x_t = α x`` and the timestep whose noise-to-signal ratio is ``sigma``."""
        alpha = (1 + sigma**2).rsqrt().view(-1, 1, 1, 1)
        return alpha * x, ddpm_timestep(sigma).to(x.device)

    def estimate(
        self, x: Float[Tensor, "n 2 h w"], sigma: Float[Tensor, "n"]
    ) -> Float[Tensor, "n 2 h w"]:
        """``E[x0 | x0 + sigma n = x]``, with all slices in one network call."""
        level = sigma.view(-1, 1, 1, 1)
        alpha = (1 + level**2).rsqrt()
        x_t, t = self.inputs(x, sigma)
        v_hat = self.velocity(x_t, t, alpha, alpha * level)
        return alpha * (x_t - level * v_hat)

    def loss(self, batch: Noised) -> Float[Tensor, ""]:
        """Mean of ``‖eps_hat − eps‖²`` (Ho et al., equation 14), where the network predicts noise.

        With two estimates it is ``(α² + c) ‖v_hat − v‖²``. The first term is the same error of the
        noise. It hardly sees high noise, where α is small, so the second adds some of v's.
        """
        x0, t = batch.clean, batch.level
        alpha_bar = per_sample(ALPHA_BAR[t].float(), x0).to(x0.device)
        eps = batch.noise.to(x0.device)
        alpha, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        v_hat = self.velocity(alpha * x0 + sigma * eps, t.to(x0.device).float(), alpha, sigma)
        weight = alpha_bar if self.predicts == "noise" else alpha_bar + HIGH_NOISE
        return (weight * (v_hat - (alpha * eps - sigma * x0)).square()).mean()


def ddpm(network: nn.Module, settings: DDPMTraining) -> DDPM:
    """The model of a network."""
    model = DDPM(network, predicts=settings.predicts)
    model.flips = bool(settings.transfer and settings.transfer.flips)
    return model


def noised(
    x0: Float[Tensor, "n *stack 2 h w"], generator: torch.Generator, settings: DDPMTraining
) -> Noised:
    """Timesteps ``t = ceil(T · u**focus)`` with u uniform in (0, 1], and the noise.

    ``focus = 1`` is the paper's uniform t. Larger values spend a short training on the small t that
    reconstruction uses.
    """
    u = 1 - torch.rand(len(x0), generator=generator)
    t = (T * u**settings.focus).ceil().clamp(1, T).long()
    return Noised(x0, t, torch.randn(x0.shape, generator=generator))


def ddpm_loss(model: DDPM, batch: Noised, settings: DDPMTraining) -> Float[Tensor, ""]:
    """The loss of one training step."""
    return model.loss(batch)


KIND = Kind(
    ddpm,
    DDPMTraining,
    loss=ddpm_loss,
    batches="slices",
    check=check_denoising,
    draw=noised,
    denoises=True,
)
