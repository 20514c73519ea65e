"""A U-Net for slices of any pixel size: its first and last convolutions are functions of space.

Depthwise convolutions with large kernels read and write the slice at its own pixels. Between them a
U-Net works on a fixed grid. On other pixels than those of the training the kernels are sampled anew
(see `recon.networks.kernels`). Source: ∞-Diff (Bond-Taylor and Willcocks 2024), as paper A uses it.
"""

from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from recon.mri.resample import trilinear
from recon.networks import Architecture, ArchitectureSettings
from recon.networks.kernels import Resizing, convolved, resized
from recon.networks.unet import GroupNorm, UNet, UNetConfig, timestep_embedding, zeroed


class InfiniteUNetConfig(ArchitectureSettings):
    """The settings; paper A has 64 channels, and an inner grid of 64 pixels for slices of 128.

    Its inner network is reached by the four nearest neighbours of each grid point. Here it is
    reached by linear interpolation with anti-aliasing.
    """

    kind: Literal["infinite_unet"] = "infinite_unet"
    free: ClassVar = ("resizing", "gain")
    channels: int = Field(32, ge=4, le=4096)
    taps: int = Field(11, ge=1, le=255)  # of the kernels, along each axis
    blocks: int = Field(3, ge=1)  # with such kernels, before and again after the inner network
    reference: int = Field(80, ge=8)  # pixels of the longer side for which the kernels are learned
    inner_size: int = Field(40, ge=8)  # the same of the inner grid
    inner_channels: int = Field(32, ge=4, le=4096)
    inner_multipliers: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field((1, 2), min_length=1)
    inner_attention: tuple[int, ...] = (1,)
    image_channels: int = Field(2, ge=1)
    outputs: int = Field(1, ge=1)
    resizing: Resizing = "fourier"
    gain: bool = True  # a resized kernel keeps its sum

    @model_validator(mode="after")
    def _sizes(self):
        if self.taps > self.reference:
            larger = f"kernels of {self.taps} taps are larger than slices"
            raise ValueError(f"{larger} of {self.reference} pixels; take fewer taps")
        return self


class SpaceBlock(nn.Module):
    """A depthwise convolution in space, then two layers for each pixel; a residual."""

    def __init__(self, channels: int, taps: int, embedding: int):
        super().__init__()
        self.modulate = nn.Linear(embedding, 2 * channels)
        self.norm = GroupNorm(channels)
        self.kernel = nn.Parameter(torch.randn(channels, 1, taps, taps) / taps)
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = zeroed(nn.Conv2d(2 * channels, channels, 1))

    def forward(
        self,
        x: Float[Tensor, "n c h w"],
        embedding: Float[Tensor, "n e"],
        ratio: float,
        config: InfiniteUNetConfig,
    ) -> Float[Tensor, "n c h w"]:
        """Features of the same shape, on pixels ``ratio`` times as dense as the training's."""
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
        kernel = self.kernel
        if ratio != 1:
            kernel = resized(kernel, (ratio, ratio), config.resizing, config.gain)
        h = convolved(self.norm(x, scale, shift), kernel)
        return x + self.narrow(F.gelu(self.widen(h)))


class InfiniteUNet(nn.Module):
    """Estimates for slices of any matrix over the field of view of the training."""

    def __init__(self, config: InfiniteUNetConfig = InfiniteUNetConfig()):
        super().__init__()
        self.config, width = config, config.channels
        embedding = 4 * width
        self.embed = nn.Sequential(
            nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding), nn.SiLU()
        )
        self.stem = nn.Conv2d(config.image_channels, width, 1)
        blocks = [SpaceBlock(width, config.taps, embedding) for _ in range(2 * config.blocks)]
        self.first = nn.ModuleList(blocks[: config.blocks])
        self.last = nn.ModuleList(blocks[config.blocks :])
        inner = UNetConfig(
            channels=config.inner_channels,
            multipliers=config.inner_multipliers,
            attention=config.inner_attention,
            image_channels=width,
            patch=1,
        )
        self.inner = UNet(inner)
        out = zeroed(nn.Conv2d(width, config.outputs * config.image_channels, 1))
        self.head = nn.Sequential(GroupNorm(width), nn.SiLU(), out)

    def forward(
        self, x: Float[Tensor, "n c h w"], t: Float[Tensor, "n"]
    ) -> Float[Tensor, "n d h w"]:
        """The estimates, one after the other, for slices ``x`` at timesteps ``t`` in [0, T]."""
        config, size = self.config, tuple(x.shape[-2:])
        ratio = max(size) / config.reference
        embedding = self.embed(timestep_embedding(t, config.channels).to(x.dtype))
        h = self.stem(x)
        for block in self.first:
            h = block(h, embedding, ratio, config)
        grid = [max(1, round(n * config.inner_size / max(size))) for n in size]
        inside = self.inner(trilinear(h, (h.shape[1], *grid)), t)
        h = h + trilinear(inside, (h.shape[1], *size))
        for block in self.last:
            h = block(h, embedding, ratio, config)
        return self.head(h)


ARCHITECTURE = Architecture(InfiniteUNet, InfiniteUNetConfig)
