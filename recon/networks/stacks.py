"""U-Nets whose layers look along a stack of neighbouring slices, and not only within each slice.

A stack is one sample, ``(depth, 2, h, w)``. All slices of a call that are not cut into stacks are
one stack. Layers get the slices of all stacks one after the other, as those of a 2D network do.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from recon.networks.unet import UNet, UNetConfig


class Along(nn.Module):
    """A layer that knows how many slices, one after the other, are a stack."""

    depth = 1

    def stacked(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "b d c h w"]:
        """The slices of a batch as stacks."""
        return x.unflatten(0, (-1, self.depth))


class StackUNet(UNet):
    """A U-Net with some layers of the kind `Along`."""

    neighbours: int  # slices on either side that the estimate of a slice depends on

    def __init__(self, config: UNetConfig):
        super().__init__(config)
        self.depth = 1

    def encoded(
        self, x: Float[Tensor, "n c h w"], t: Float[Tensor, "n"]
    ) -> tuple[list[Float[Tensor, "n d p q"]], Float[Tensor, "n e"]]:
        """As that of the U-Net. Asked on its own, it looks at each slice alone."""
        for layer in self.modules():
            if isinstance(layer, Along):
                layer.depth = self.depth
        return super().encoded(x, t)

    def forward(
        self, x: Float[Tensor, "*b n c h w"], t: Float[Tensor, "_"]
    ) -> Float[Tensor, "*b n d h w"]:
        """The estimates for stacks ``(b, n, c, h, w)``, or for the slices of one.

        Each stack has a timestep, and in one stack each slice may have its own.
        """
        slices = x.flatten(0, -4)
        self.depth = x.shape[-4]
        try:
            out = super().forward(slices, t.repeat_interleave(len(slices) // len(t)))
        finally:
            self.depth = 1
        return out.view(*x.shape[:-3], *out.shape[1:])


def set_layers(
    network: nn.Module,
    replaces: type[nn.Module],
    by: Callable[[nn.Module], nn.Module | None],
) -> None:
    """Replaces layers of one type by what ``by`` makes of each; None leaves a layer as it is."""
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            new = by(child) if isinstance(child, replaces) else None
            if new is not None:
                setattr(module, name, new)
