"""The U-Net of fastMRI (Zbontar et al. 2018): from a zero-filled slice to a clean one.

It takes the magnitude of the combined coils, here of ``Aᴴ y``, and gives a magnitude. The phase
stays that of ``Aᴴ y``. Real and imaginary parts instead do not train: its norms scale each channel
of each slice, so that the phase is lost (error 1.04 after 2000 steps; zero has 1). Its sizes are
those of fastMRI's public code.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from pydantic import Field
from torch import Tensor, nn

from recon.mri.problem import Problem
from recon.networks import Architecture, ArchitectureSettings
from recon.networks.supervised import (
    Pair,
    Reconstructor,
    SupervisedTraining,
    across,
    check_reconstruction,
    in_batches,
)
from recon.networks.trained import Kind


class FastmriUNetConfig(ArchitectureSettings):
    """The settings of fastMRI: 32 channels and 4 poolings."""

    kind: Literal["fastmri_unet"] = "fastmri_unet"
    channels: int = Field(32, ge=1, le=4096)
    pools: int = Field(4, ge=1, le=8)
    dropout: float = Field(0.0, ge=0, lt=1)


class Layers(nn.Sequential):
    """Two times: a convolution without bias, instance norm, leaky ReLU and dropout."""

    def __init__(self, inputs: int, outputs: int, dropout: float):
        parts = []
        for width in (inputs, outputs):
            parts += [nn.Conv2d(width, outputs, 3, padding=1, bias=False)]
            parts += [nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2), nn.Dropout2d(dropout)]
        super().__init__(*parts)


class Upwards(nn.Sequential):
    """A transposed convolution to twice the size, instance norm and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int):
        up = nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False)
        super().__init__(up, nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2))


class FastmriUNet(nn.Module):
    """Magnitudes in, magnitudes out. Slices are padded inside to a size that can be halved."""

    def __init__(self, config: FastmriUNetConfig = FastmriUNetConfig()):
        super().__init__()
        self.config = config
        widths = [config.channels * 2**k for k in range(config.pools + 1)]
        pairs = list(zip([1, *widths], widths, strict=False))
        self.down = nn.ModuleList(Layers(a, b, config.dropout) for a, b in pairs)
        self.up = nn.ModuleList(Upwards(2 * w, w) for w in reversed(widths[:-1]))
        joins = (Layers(2 * w, w, config.dropout) for w in reversed(widths[:-1]))
        self.join = nn.ModuleList(joins)
        self.last = nn.Conv2d(widths[0], 1, 1)

    def forward(self, x: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n 1 h w"]:
        """The clean slices. Each is at zero mean and unit variance inside."""
        mean = x.mean((2, 3), keepdim=True)
        spread = x.var((1, 2, 3), keepdim=True).sqrt() + 1e-6
        height, width = x.shape[-2:]
        # The norm needs two pixels at least on the coarsest level.
        rows, columns = (padded(n, 2**self.config.pools) for n in (height, width))
        h = F.pad((x - mean) / spread, (0, columns - width, 0, rows - height))
        skips = []
        for number, layers in enumerate(self.down):
            h = layers(F.avg_pool2d(h, 2) if number else h)
            skips.append(h)
        skips.pop()
        for up, join in zip(self.up, self.join, strict=True):
            h = join(torch.cat([up(h), skips.pop()], dim=1))
        return self.last(h)[..., :height, :width] * spread + mean


def padded(size: int, multiple: int) -> int:
    """The next size that is a multiple, from two of them."""
    return multiple * max(2, -(-size // multiple))


class FastmriReconstructor(Reconstructor):
    """The U-Net on the zero-filled slices of a problem."""

    def magnitude(self, problem: Problem) -> Float[Tensor, "x y z"]:
        """The clean magnitude, in the scale of the problem; zero where no coil sees."""
        axis = across(problem.operator)
        slices = problem.rhs.abs().movedim(axis, 0)[:, None]
        clean = in_batches(self.network, slices, self.batch)
        return problem.operator.support * clean[:, 0].movedim(0, axis)

    def reconstruct(self, problem: Problem) -> Complex[Tensor, "x y z"]:
        """The volume, with the phase of the zero-filled one."""
        phase = torch.where(problem.rhs != 0, problem.rhs / problem.rhs.abs(), 0)
        return self.magnitude(problem) * phase


class FastmriUNetTraining(SupervisedTraining):
    """fastMRI: ℓ1 loss, 50 epochs of single slices. Ours has the loop of all networks."""

    kind: Literal["fastmri_unet"] = "fastmri_unet"
    network: FastmriUNetConfig = FastmriUNetConfig()


def reconstructor(network: nn.Module, settings: SupervisedTraining) -> FastmriReconstructor:
    """The model of a network."""
    return FastmriReconstructor(network)


def loss(
    model: FastmriReconstructor,
    batch: Pair,
    settings: FastmriUNetTraining,
) -> Float[Tensor, ""]:
    """The mean absolute error of the magnitude."""
    return (model.magnitude(batch.problem) - batch.target.abs()).abs().mean()


ARCHITECTURE = Architecture(FastmriUNet, FastmriUNetConfig)
KIND = Kind(
    reconstructor,
    FastmriUNetTraining,
    loss=loss,
    batches="pairs",
    check=check_reconstruction,
)
