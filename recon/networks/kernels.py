"""Convolution kernels for pixels of any size (paper A, approaches 3.1 to 3.3).

A kernel is a function of space that was learned at the pixels of the training. On pixels of another
size it is sampled anew. With r pixels where one was, a kernel of k taps gets about r k of them, and
its sum would grow r-fold along each axis. The sum is the gain of the convolution for what is
smooth. Each tap is divided by r, which nearly keeps it. What is still missing, as samples are few
or taps are cut off, is spread evenly over the taps. Both public codes keep no gain where they
resize bilinearly (``gain=False``), so that what they compare is as much the gain as the
interpolation.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

Resizing = Literal["bilinear", "fourier", "padding"]


def resized(
    kernel: Float[Tensor, "c 1 k l"],
    ratio: tuple[float, float],
    how: Resizing = "fourier",
    gain: bool = True,
) -> Float[Tensor, "c 1 p q"]:
    """The kernel on pixels that are ``ratio`` times as dense along each axis.

    "padding" surrounds it with zeros, so that it covers less of space than it was trained for; on
    larger pixels its outer taps are cut off. The number of taps stays odd, or even.
    """
    total = kernel.sum((-2, -1), keepdim=True)
    for axis, r in zip((-2, -1), ratio, strict=True):
        weights = tap_weights(kernel.shape[axis], r, how).to(kernel)
        weights = weights / r if gain and how != "padding" else weights
        kernel = (kernel.movedim(axis, -1) @ weights).movedim(-1, axis)
    if gain and (how != "padding" or min(ratio) < 1):  # zeros around it leave a sum as it is
        missing = total - kernel.sum((-2, -1), keepdim=True)
        kernel = kernel + missing / kernel[0, 0].numel()
    return kernel


def taps(old: int, ratio: float) -> int:
    """Taps of a kernel of ``old`` taps on pixels that are ``ratio`` times as dense; at least 1."""
    return max(old % 2 or 2, old + 2 * round(old * (ratio - 1) / 2))


def tap_weights(old: int, ratio: float, how: Resizing) -> Float[Tensor, "old new"]:
    """The weight of each old tap in each new one, with values kept: they are samples of one curve.

    "fourier" is the trigonometric interpolant through the old taps. It has no frequency that either
    grid cannot hold. An even number of taps has a highest frequency of both signs, half of each.
    """
    new = taps(old, ratio)
    apart = places(new)[None] / ratio - places(old)[:, None]
    if how == "bilinear":
        return (1 - apart.abs()).clamp(min=0)
    if how == "padding":
        return (places(new)[None] == places(old)[:, None]).double()
    count = min(old, new)
    highest = count // 2
    frequencies = torch.arange(-highest, highest + 1, dtype=torch.float64)
    share = torch.ones_like(frequencies)
    if count % 2 == 0:
        share[[0, -1]] = 0.5
    waves = torch.cos(2 * math.pi * frequencies * apart[..., None] / old)
    return (waves * share).sum(-1) / old


def places(count: int) -> Float[Tensor, "n"]:
    """Positions of taps around the pixel that they are added up for; see `convolved`."""
    return torch.arange(count, dtype=torch.float64) - (count - 1) // 2


def convolved(
    image: Float[Tensor, "n c h w"], kernel: Float[Tensor, "c 1 k l"]
) -> Float[Tensor, "n c h w"]:
    """Each channel with its own kernel. Beyond the border the image is zero.

    A kernel with an even number of taps has its centre between two pixels, and takes the later one.
    """
    high, wide = kernel.shape[-2:]
    image = F.pad(image, ((wide - 1) // 2, wide // 2, (high - 1) // 2, high // 2))
    return F.conv2d(image, kernel, groups=kernel.shape[0])
