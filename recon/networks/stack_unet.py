"""The 2D+A network: a 2D U-Net whose features attend across neighbouring slices.

Source: R3DM (Bangun et al., arXiv 2412.18723), of which a summary was at hand. It says that
attention captures what slices have in common, and that the third axis is treated like time. The
rest is our reading: attention as in video diffusion (Ho et al. 2022, "Video diffusion models"), at
each pixel along the stack, after the layers of chosen levels, with a learned weight for each
distance. It starts at zero, so that the network begins as the 2D one.
"""

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from recon.networks import Architecture
from recon.networks.stacks import Along, StackUNet
from recon.networks.unet import GroupNorm, Level, UNetConfig, zeroed


class StackUNetConfig(UNetConfig):
    """The settings of the U-Net, and those of its attention across slices."""

    kind: Literal["stack_unet"] = "stack_unet"  # type: ignore[assignment]
    dimension: ClassVar = "2D+A"
    across: tuple[int, ...] = Field((1, 2), min_length=1)  # levels that attend, 0 the finest
    reach: int = Field(2, ge=1)  # slices on either side that a layer attends to


class Across(Along):
    """Self-attention along a stack, at each pixel alone."""

    def __init__(self, channels: int, head_channels: int, reach: int):
        super().__init__()
        self.heads, self.reach = max(1, channels // head_channels), reach
        self.norm = GroupNorm(channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.distance = nn.Parameter(torch.zeros(self.heads, reach + 1))
        self.project = zeroed(nn.Conv2d(channels, channels, 1))

    def nearness(self) -> Float[Tensor, "heads d d"]:
        """What is added to the logits of each pair of slices; -∞ beyond the reach."""
        place = torch.arange(self.depth, device=self.distance.device)
        apart = (place - place[:, None]).abs()
        known = self.distance[:, apart.clamp(max=self.reach)]
        return known.masked_fill(apart > self.reach, -torch.inf)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Features of the same shape."""
        n, c, h, w = x.shape
        qkv = self.stacked(self.qkv(self.norm(x)))
        qkv = qkv.unflatten(2, (3, self.heads, -1)).permute(2, 0, 5, 6, 3, 1, 4).flatten(1, 3)
        out = F.scaled_dot_product_attention(*qkv, attn_mask=self.nearness().to(x.dtype))
        out = out.unflatten(0, (-1, h, w)).permute(0, 4, 3, 5, 1, 2).reshape(n, c, h, w)
        return x + self.project(out)


class AttentionAcross(StackUNet):
    """A U-Net in which the layers of chosen levels are followed by attention across slices."""

    added = "across"  # the name of the layers that a network without them may lack

    def __init__(self, config: StackUNetConfig = StackUNetConfig()):
        super().__init__(config)
        coarsest = len(config.multipliers) - 1
        encoder = [n for n in range(coarsest + 1) for _ in range(config.blocks)]
        decoder = [n for n in range(coarsest, -1, -1) for _ in range(config.blocks + 1)]
        parts = (self.encoder, encoder), (self.middle, [coarsest]), (self.decoder, decoder)
        self.neighbours = 0
        for layers, levels in parts:
            found = [layer for layer in layers if isinstance(layer, Level)]
            for layer, level in zip(found, levels, strict=True):
                if level in config.across:
                    width = layer.block.conv_out.out_channels
                    layer.across = Across(width, config.head_channels, config.reach)
                    self.neighbours += config.reach


ARCHITECTURE = Architecture(AttentionAcross, StackUNetConfig)
