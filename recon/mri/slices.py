"""A volume as slices along each axis, and back."""

import torch
from jaxtyping import Complex, Float, Shaped
from torch import Tensor


def planes(shape: tuple[int, int, int]) -> list[int]:
    """Axes with images perpendicular to them: all three of a volume, the last one of a 2D scan."""
    return [axis for axis in range(3) if all(n > 1 for a, n in enumerate(shape) if a != axis)]


def as_slices(volume: Complex[Tensor, "x y z"], axis: int) -> Float[Tensor, "n 2 h w"]:
    """All slices of a volume perpendicular to ``axis``; channels are real and imaginary part."""
    return torch.view_as_real(volume.movedim(axis, 0)).movedim(-1, 1)


def as_volume(slices: Float[Tensor, "n 2 h w"], axis: int) -> Complex[Tensor, "x y z"]:
    """The volume of its slices perpendicular to ``axis``; inverse of `as_slices`."""
    return torch.view_as_complex(slices.movedim(1, -1).contiguous()).movedim(0, axis)


def stack_around(
    volume: Shaped[Tensor, "x y z"], axis: int, index: int, depth: int
) -> Shaped[Tensor, "depth h w"]:
    """``depth`` slices across ``axis`` around one of them, or as near as the volume allows."""
    first = min(max(0, index - depth // 2), volume.shape[axis] - depth)
    return volume.narrow(axis, first, depth).movedim(axis, 0)


def spread(volume: Complex[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """The root mean square over real and imaginary parts; see `recon.mri.problem.power`."""
    return torch.view_as_real(volume).square().mean().sqrt()
