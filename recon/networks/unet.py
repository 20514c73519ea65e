"""The ADM U-Net, the network of the diffusion priors.

Source: Dhariwal and Nichol 2021, appendix; paper A, section 5.
"""

import math
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from recon.networks import Architecture, ArchitectureSettings


class UNetConfig(ArchitectureSettings):
    """The settings of the U-Net; the defaults suit a CPU, and are smaller than paper A's.

    Paper A has 32 channels, no patches, and attention on the lowest levels. Its multipliers are
    1, 2, 2, 2 with 4 blocks for Stanford, 1, 2, 3, 4, 4 with 2 blocks for Calgary, and 1, 2, 3, 4
    with 2 blocks for AHEAD.
    """

    kind: Literal["unet"] = "unet"
    channels: int = Field(32, ge=4, le=4096)  # a group of the normalisation has four
    multipliers: tuple[Annotated[int, Field(ge=1, le=64)], ...] = Field((1, 2, 2), min_length=1)
    blocks: int = Field(1, ge=1)  # residual blocks per level
    attention: tuple[int, ...] = (2,)  # levels with self-attention, 0 the finest
    head_channels: int = Field(64, ge=1)
    image_channels: int = Field(2, ge=1)  # real and imaginary part
    outputs: int = Field(1, ge=1)  # how many estimates of such an image it gives
    # 1 is the paper's. 2 first folds 2×2 pixels into channels, which halves the time per slice on
    # a CPU.
    patch: int = Field(2, ge=1)


def timestep_embedding(t: Float[Tensor, "n"], dim: int) -> Float[Tensor, "n dim"]:
    """Cosines and sines of the timestep at geometric frequencies from 1 to 1/10000.

    Source: Vaswani et al. 2017.
    """
    half = dim // 2
    steps = torch.arange(half, device=t.device, dtype=torch.float32)
    frequencies = torch.exp(-math.log(10000.0) * steps / half)
    angles = t.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class GroupNorm(nn.GroupNorm):
    """Group normalisation, and the scale and shift that a timestep adds to it.

    A group has at least four channels.
    """

    def __init__(self, channels: int):
        super().__init__(math.gcd(32, channels // 4), channels)

    def forward(
        self,
        x: Float[Tensor, "n c h w"],
        scale: Float[Tensor, "n c 1 1"] | float = 0.0,
        shift: Float[Tensor, "n c 1 1"] | float = 0.0,
    ) -> Float[Tensor, "n c h w"]:
        """``(1 + scale) · normalised x + shift``.

        Where gradients are on, torch's own kernel is the faster one. Elsewhere it takes up to
        twenty times as long where channels lie innermost, so one pass folds both steps into one.
        """
        if torch.is_grad_enabled():
            return super().forward(x) * (1 + scale) + shift
        n, c = x.shape[:2]
        groups, count = (n, self.num_groups, c // self.num_groups), x[0].numel() // self.num_groups
        sums = x.sum((2, 3), dtype=torch.float32).view(groups).sum(2, keepdim=True)
        squares = x.square().sum((2, 3), dtype=torch.float32).view(groups).sum(2, keepdim=True)
        mean, power = sums / count, squares / count
        variance = (power - mean.square()).clamp(min=0)
        gain = (variance + self.eps).rsqrt() * self.weight.view(groups[1:])
        offset = self.bias.view(groups[1:]) - mean * gain
        gain, offset = gain.view(n, c, 1, 1), offset.view(n, c, 1, 1)
        factor, constant = gain * (1 + scale), offset * (1 + scale) + shift
        return torch.addcmul(constant.to(x.dtype), x, factor.to(x.dtype))


def zeroed(module: nn.Module) -> nn.Module:
    """The same layer with zero weights: a residual branch that starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


class ResBlock(nn.Module):
    """A residual block that the timestep scales and shifts; may resample both branches by 2."""

    def __init__(self, inputs: int, outputs: int, embedding: int, resample: str | None = None):
        super().__init__()
        self.resample = resample
        self.norm_in = GroupNorm(inputs)
        self.conv_in = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * outputs)
        self.norm_out = GroupNorm(outputs)
        self.conv_out = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def _resized(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c p q"]:
        if self.resample == "down":
            return F.avg_pool2d(x, 2)
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2, mode="nearest")
        return x

    def forward(
        self, x: Float[Tensor, "n c h w"], embedding: Float[Tensor, "n e"]
    ) -> Float[Tensor, "n d p q"]:
        """Features of the output width, at half or double the size where the block resamples."""
        h = self.conv_in(self._resized(F.silu(self.norm_in(x))))
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv_out(F.silu(self.norm_out(h, scale, shift)))
        return self.skip(self._resized(x)) + h


class Attention(nn.Module):
    """Self-attention over all pixels of a slice."""

    def __init__(self, channels: int, head_channels: int):
        super().__init__()
        self.heads = max(1, channels // head_channels)
        self.norm = GroupNorm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.project = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Features of the same shape."""
        n, c, h, w = x.shape
        features = self.qkv(self.norm(x)).permute(0, 2, 3, 1)
        qkv = features.reshape(n, h * w, 3, self.heads, c // self.heads)
        out = F.scaled_dot_product_attention(*qkv.permute(2, 0, 3, 1, 4))
        return x + self.project(out.transpose(1, 2).reshape(n, h, w, c).permute(0, 3, 1, 2))


class Level(nn.Module):
    """A residual block, followed by attention where the level has it."""

    def __init__(self, inputs: int, outputs: int, embedding: int, head_channels: int | None):
        super().__init__()
        self.block = ResBlock(inputs, outputs, embedding)
        self.attend = Attention(outputs, head_channels) if head_channels else nn.Identity()
        self.across = nn.Identity()  # see recon.networks.stack_unet

    def forward(
        self, x: Float[Tensor, "n c h w"], embedding: Float[Tensor, "n e"]
    ) -> Float[Tensor, "n d h w"]:
        """Features of the level's output width."""
        return self.across(self.attend(self.block(x, embedding)))


class UNet(nn.Module):
    """Estimates from a batch of noisy slices of any height and width.

    Slices are padded inside to a size that the levels can halve.
    """

    def __init__(self, config: UNetConfig = UNetConfig()):
        super().__init__()
        self.config = config
        widths = [config.channels * m for m in config.multipliers]
        embedding = 4 * config.channels
        levels = range(len(widths))
        heads = [config.head_channels if i in config.attention else None for i in levels]
        self.embed = nn.Sequential(
            nn.Linear(config.channels, embedding),
            nn.SiLU(),
            nn.Linear(embedding, embedding),
            nn.SiLU(),
        )
        folded = config.image_channels * config.patch**2
        self.stem = nn.Conv2d(folded, widths[0], 3, padding=1)
        self.encoder, skips, width = nn.ModuleList(), [widths[0]], widths[0]
        for i, w in enumerate(widths):
            for _ in range(config.blocks):
                self.encoder.append(Level(width, w, embedding, heads[i]))
                width = w
                skips.append(width)
            if i < len(widths) - 1:
                self.encoder.append(ResBlock(width, width, embedding, "down"))
                skips.append(width)
        attending = Level(width, width, embedding, config.head_channels)
        self.middle = nn.ModuleList([attending, ResBlock(width, width, embedding)])
        self.decoder = nn.ModuleList()
        for i, w in reversed(list(enumerate(widths))):
            for _ in range(config.blocks + 1):
                self.decoder.append(Level(width + skips.pop(), w, embedding, heads[i]))
                width = w
            if i > 0:
                self.decoder.append(ResBlock(width, width, embedding, "up"))
        last = zeroed(nn.Conv2d(width, config.outputs * folded, 3, padding=1))
        self.head = nn.Sequential(GroupNorm(width), nn.SiLU(), last)

    def encoded(
        self, x: Float[Tensor, "n c h w"], t: Float[Tensor, "n"]
    ) -> tuple[list[Float[Tensor, "n d p q"]], Float[Tensor, "n e"]]:
        """The features of every layer of the encoder, finest first, and the embedded timesteps."""
        height, width = x.shape[-2:]
        patch = self.config.patch
        multiple = patch * 2 ** (len(self.config.multipliers) - 1)
        h = F.pixel_unshuffle(F.pad(x, (0, -width % multiple, 0, -height % multiple)), patch)
        if not torch.is_grad_enabled():
            # This order in memory is a tenth faster, but not where gradients follow.
            h = h.contiguous(memory_format=torch.channels_last)
        embedding = self.embed(timestep_embedding(t, self.config.channels).to(x.dtype))
        h = self.stem(h)
        features = [h]
        for layer in self.encoder:
            h = layer(h, embedding)
            features.append(h)
        return features, embedding

    def forward(
        self, x: Float[Tensor, "n c h w"], t: Float[Tensor, "n"]
    ) -> Float[Tensor, "n d h w"]:
        """The estimates, one after the other, for slices ``x`` at timesteps ``t`` in [0, T]."""
        skips, embedding = self.encoded(x, t)
        h = skips[-1]
        for layer in self.middle:
            h = layer(h, embedding)
        for layer in self.decoder:
            if isinstance(layer, Level):
                h = torch.cat([h, skips.pop()], dim=1)
            h = layer(h, embedding)
        height, width = x.shape[-2:]
        return F.pixel_shuffle(self.head(h), self.config.patch)[..., :height, :width]


ARCHITECTURE = Architecture(UNet, UNetConfig)
