"""Diffusion priors: the DDPM schedule, its loss, its denoiser, its sampler, and weights on disk.

Methods see a prior through one call, ``denoise(x, sigma)``: the expected clean slice given ``x = x0 + sigma n``.
A DDPM trained on ``x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps`` answers it at the timestep whose noise-to-signal
ratio ``sigma_t = sqrt((1 - alpha_bar) / alpha_bar)`` equals ``sigma``.
"""

import contextlib
import json
import os
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Complex, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recon.errors import ReconError
from recon.unet import UNet, UNetConfig


@runtime_checkable
class Prior(Protocol):
    """What methods ask of a prior."""

    def denoise(self, x: Float[Tensor, "n 2 h w"], sigma: float | Float[Tensor, "n"]) -> Float[Tensor, "n 2 h w"]:
        """``E[x0 | x0 + sigma n = x]``, for slices at unit variance and noise of standard deviation ``sigma`` per channel.

        Where ``x`` requires grad the result can be differentiated with respect to it.
        """

    def sigma(self, t: float) -> float:
        """Noise-to-signal ratio at DDPM timestep ``t`` in [0, steps]."""


def multiplies_bf16(device: str) -> bool:
    """Whether ``device`` ("cpu" or "cuda") has instructions that multiply bf16 matrices."""
    found = torch.cpu.get_capabilities() if device == "cpu" else {}
    return device != "cpu" or any(found.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))


class DDPM(nn.Module):
    """A noise-predicting network with the linear schedule of Ho et al. (2020): beta from 1e-4 to 0.02 in 1000 steps."""

    steps = 1000

    def __init__(self, network: nn.Module, batch: int = 32, bf16: bool | None = None):
        super().__init__()
        self.network = network
        self.batch = batch  # slices per network call; bounds memory
        self.bf16 = bf16  # None: where the processor has instructions for it; without, bf16 takes twice as long as float32
        beta = torch.linspace(1e-4, 0.02, self.steps, dtype=torch.float64)
        self.alpha_bar = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - beta, 0)])  # index t = 0 is clean

    @property
    def sigmas(self) -> Float[Tensor, "t"]:
        """Noise-to-signal ratio at every timestep from 0 to `steps`."""
        return ((1 - self.alpha_bar) / self.alpha_bar).sqrt()

    def sigma(self, t: float) -> float:
        """Noise-to-signal ratio at timestep ``t``, interpolated between whole steps."""
        low = min(int(t), self.steps - 1)
        return float(torch.lerp(self.sigmas[low], self.sigmas[low + 1], t - low))

    def timestep(self, sigma: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
        """The real-valued timesteps at which the noise-to-signal ratio is ``sigma``; inverse of `sigma`."""
        ratio, sigma = self.sigmas, sigma.double().cpu()
        high = torch.searchsorted(ratio, sigma).clamp(1, self.steps)
        return (high - 1 + (sigma - ratio[high - 1]) / (ratio[high] - ratio[high - 1])).clamp(0, self.steps).float()

    def epsilon(self, x_t: Float[Tensor, "n 2 h w"], t: Float[Tensor, "n"]) -> Float[Tensor, "n 2 h w"]:
        """The network's estimate of the noise in ``x_t``."""
        with torch.autocast(x_t.device.type, torch.bfloat16, enabled=multiplies_bf16(x_t.device.type) if self.bf16 is None else self.bf16):
            return self.network(x_t, t).float()

    def loss(self, x0: Float[Tensor, "n 2 h w"], generator: torch.Generator, focus: float = 1.0) -> Float[Tensor, ""]:
        """Mean of ``‖eps_hat - eps‖²`` (Ho et al., equation 14) with ``t = ceil(steps · u**focus)``, u uniform in (0, 1].

        ``focus = 1`` is the paper's uniform t. Larger values spend a short training on the small t that reconstruction uses.
        """
        u = 1 - torch.rand(len(x0), generator=generator)
        t = (self.steps * u**focus).ceil().clamp(1, self.steps).long()
        alpha_bar = self.alpha_bar[t].float().view(-1, 1, 1, 1).to(x0.device)
        eps = torch.randn(x0.shape, generator=generator).to(x0.device)
        x_t = alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps
        return (self.epsilon(x_t, t.to(x0.device).float()) - eps).square().mean()

    def tweedie(self, x: Float[Tensor, "n 2 h w"], sigma: Float[Tensor, "n"], t: Float[Tensor, "n"]) -> Float[Tensor, "n 2 h w"]:
        """``x - sigma eps_hat``, all slices in one network call."""
        level = sigma.view(-1, 1, 1, 1)
        return x - level * self.epsilon(x * (1 + level**2).rsqrt(), t)

    def denoise(self, x: Float[Tensor, "n 2 h w"], sigma: float | Float[Tensor, "n"]) -> Float[Tensor, "n 2 h w"]:
        """``E[x0 | x0 + sigma n = x]`` from one network evaluation per slice (Tweedie); one ``sigma`` or one per slice.

        A graph is built only where ``x`` requires grad; a backward pass then evaluates each batch once more, which holds the
        activations of one batch at a time.
        """
        sigma = torch.as_tensor(sigma, dtype=torch.float32, device=x.device).expand(len(x))
        t = self.timestep(sigma).to(x.device)
        parts = zip(x.split(self.batch), sigma.split(self.batch), t.split(self.batch), strict=True)
        if x.requires_grad and torch.is_grad_enabled():
            return torch.cat([checkpoint(self.tweedie, *part, use_reentrant=False, preserve_rng_state=False) for part in parts])
        with torch.no_grad():
            return torch.cat([self.tweedie(*part) for part in parts])


def noise_like(x: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal numbers in the shape of ``x``; where it is complex, in either real component."""
    real = torch.view_as_real(x) if x.is_complex() else x
    noise = torch.randn(real.shape, generator=generator).to(x.device)
    return torch.view_as_complex(noise) if x.is_complex() else noise


def ddim_step(x0_hat: Tensor, eps: Tensor, sigma_t: float, sigma_s: float, eta: float, generator: torch.Generator) -> Tensor:
    """From noise-to-signal ratio ``sigma_t`` to ``sigma_s`` (Song et al. 2021, equation 12), given the clean estimate and the noise.

    The state is ``x = x_t / sqrt(alpha_bar) = x0 + sigma eps``. With ``alpha_bar = 1 / (1 + sigma²)`` equation 16 for the standard
    deviation of the fresh noise becomes ``eta sigma_s sqrt(1 - sigma_s² / sigma_t²)``.
    """
    fresh = eta**2 * (1 - (sigma_s / sigma_t) ** 2)  # share of the noise's variance that is drawn anew
    x = x0_hat + sigma_s * (1 - fresh) ** 0.5 * eps
    return x + sigma_s * fresh**0.5 * noise_like(x, generator) if sigma_s * fresh > 0 else x


@torch.no_grad()
def ddim(
    prior: DDPM,
    shape: tuple[int, int, int, int],
    generator: torch.Generator,
    steps: int = 50,
    eta: float = 1.0,
) -> Float[Tensor, "n 2 h w"]:
    """Draws slices by DDIM (Song et al. 2021, equation 12); ``eta = 1`` and ``steps = 1000`` is DDPM's ancestral sampler."""
    device = next(prior.parameters()).device
    sigmas = [prior.sigma(int(t)) for t in torch.linspace(prior.steps, 0, steps + 1).round()]
    x = (1 + sigmas[0] ** 2) ** 0.5 * torch.randn(shape, generator=generator).to(device)
    for sigma_t, sigma_s in pairwise(sigmas):
        x0_hat = prior.denoise(x, sigma_t)
        x = ddim_step(x0_hat, (x - x0_hat) / sigma_t, sigma_t, sigma_s, eta, generator)
    return x


def planes(shape: tuple[int, int, int]) -> list[int]:
    """Axes whose perpendicular slices are images: all three of a volume, the last of a 2D scan."""
    return [axis for axis in range(3) if all(n > 1 for a, n in enumerate(shape) if a != axis)]


def as_slices(volume: Complex[Tensor, "x y z"], axis: int) -> Float[Tensor, "n 2 h w"]:
    """All slices of a volume perpendicular to ``axis``, real and imaginary parts as channels."""
    return torch.view_as_real(volume.movedim(axis, 0)).movedim(-1, 1)


def as_volume(slices: Float[Tensor, "n 2 h w"], axis: int) -> Complex[Tensor, "x y z"]:
    """Inverse of `as_slices`."""
    return torch.view_as_complex(slices.movedim(1, -1).contiguous()).movedim(0, axis)


def pack(name: str, weight: Tensor) -> dict[str, Tensor]:
    """A tensor as stored: matrices and kernels as int8 with one scale per output channel, vectors in half precision.

    The rounding error is about 0.5 % of a channel's spread, far below the error of any denoiser, and halves the file.
    """
    if weight.ndim < 2:
        return {name: weight.half()}
    scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True).clamp(min=1e-8) / 127
    return {name: (weight / scale).round().to(torch.int8), f"{name}.scale": scale.flatten()}


def unpack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `pack`, for all tensors of a file."""
    scales = {name: tensors[f"{name}.scale"] for name in tensors if f"{name}.scale" in tensors}
    plain = {name: tensor.float() for name, tensor in tensors.items() if not name.endswith(".scale")}
    return {name: t * scales[name].view(-1, *[1] * (t.ndim - 1)) if name in scales else t for name, t in plain.items()}


def save_weights(path: str | Path, network: UNet, provenance: dict) -> None:
    """Writes compact weights (see `pack`) with architecture and provenance in the header, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {k: t.contiguous().cpu() for name, weight in network.state_dict().items() for k, t in pack(name, weight).items()}
    part = path.with_suffix(".part")
    save_file(tensors, part, metadata={"architecture": json.dumps(asdict(network.config)), "provenance": json.dumps(provenance)})
    part.chmod(0o644)  # the library makes it readable to the owner alone
    os.replace(part, path)


def load_weights(path: str | Path) -> tuple[DDPM, dict]:
    """Reads a prior written by `save_weights`; returns it in evaluation mode, with its provenance."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = unpack({name: file.get_tensor(name) for name in file.keys()})
        network = UNet(UNetConfig.from_dict(json.loads(header["architecture"])))
        network.load_state_dict(tensors)
    except (OSError, SafetensorError) as error:
        raise ReconError(f"{path}: no prior can be read here ({str(error).splitlines()[0]}); train it or give another path") from error
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ReconError(f"{path}: weights and header do not describe one of our U-Nets; retrain the prior with this version") from error
    with contextlib.suppress(ValueError):
        return DDPM(network).eval().requires_grad_(False), json.loads(header.get("provenance", "{}"))
    raise ReconError(f"{path}: the provenance in the header is not valid JSON; retrain the prior with this version")
