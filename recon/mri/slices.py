"""A volume as slices along each axis, and back."""

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def planes(shape: tuple[int, int, int]) -> list[int]:
    """Axes whose perpendicular slices are images: all three of a volume, the last of a 2D scan."""
    return [axis for axis in range(3) if all(n > 1 for a, n in enumerate(shape) if a != axis)]


def as_slices(volume: Complex[Tensor, "x y z"], axis: int) -> Float[Tensor, "n 2 h w"]:
    """All slices of a volume perpendicular to ``axis``, real and imaginary parts as channels."""
    return torch.view_as_real(volume.movedim(axis, 0)).movedim(-1, 1)


def as_volume(slices: Float[Tensor, "n 2 h w"], axis: int) -> Complex[Tensor, "x y z"]:
    """Inverse of `as_slices`."""
    return torch.view_as_complex(slices.movedim(1, -1).contiguous()).movedim(0, axis)
