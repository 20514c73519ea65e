"""A small 3D U-Net on stacks of slices: every 3×3 convolution becomes one of 3×3×3.

It halves slices, but not the stack, so that a stack may have any depth. It answers what a third
dimension in the convolutions is worth beside attention across slices.
"""

from typing import ClassVar, Literal

from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from recon.networks import Architecture
from recon.networks.stacks import Along, StackUNet, set_layers
from recon.networks.unet import UNetConfig, zeroed


class UNet3DConfig(UNetConfig):
    """The settings of the U-Net, and how far it looks along a stack."""

    kind: Literal["unet_3d"] = "unet_3d"  # type: ignore[assignment]
    dimension: ClassVar = "3D"
    channels: int = Field(16, ge=4, le=4096)
    # Slices on either side that are read with a slice. Its convolutions reach further, but what
    # lies beyond hardly counts.
    reach: int = Field(8, ge=1)


class Convolution(Along):
    """A convolution of 3×3×3 over a stack, zero beyond its ends."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.out_channels = outputs

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n d h w"]:
        """Features of the same slices."""
        return self.conv(self.stacked(x).transpose(1, 2)).transpose(1, 2).flatten(0, 1)


def solid(layer: nn.Conv2d) -> Convolution | None:
    """What takes the place of a convolution of 3×3; one that starts at zero still does."""
    if layer.kernel_size != (3, 3):
        return None
    new = Convolution(layer.in_channels, layer.out_channels)
    return new if layer.weight.any() else zeroed(new)


class UNet3D(StackUNet):
    """A U-Net with 3D convolutions."""

    def __init__(self, config: UNet3DConfig = UNet3DConfig()):
        super().__init__(config)
        self.neighbours = config.reach
        set_layers(self, nn.Conv2d, solid)


ARCHITECTURE = Architecture(UNet3D, UNet3DConfig)
