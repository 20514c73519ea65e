"""Centred, orthonormal Fourier transforms: the only place that sets the convention.

Index ``n // 2`` is the origin on both sides, so the zero frequency of a volume ``(x, y, z)`` lies
at ``(nx // 2, ny // 2, nz // 2)``. With ``norm="ortho"`` the transform is unitary: its inverse is
its adjoint.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Complex, Shaped
from torch import Tensor

VOLUME = (-3, -2, -1)  # the axes (x, y, z) of a volume, after any number of others


def fft(image: Complex[Tensor, "..."], axes: Sequence[int] = VOLUME) -> Complex[Tensor, "..."]:
    """Transforms an image to k-space along ``axes``; centred and orthonormal."""
    shifted = torch.fft.ifftshift(image, dim=tuple(axes))
    return torch.fft.fftshift(
        torch.fft.fftn(shifted, dim=tuple(axes), norm="ortho"), dim=tuple(axes)
    )


def ifft(kspace: Complex[Tensor, "..."], axes: Sequence[int] = VOLUME) -> Complex[Tensor, "..."]:
    """Transforms k-space to an image along ``axes``; inverse and adjoint of `fft`."""
    shifted = torch.fft.ifftshift(kspace, dim=tuple(axes))
    return torch.fft.fftshift(
        torch.fft.ifftn(shifted, dim=tuple(axes), norm="ortho"), dim=tuple(axes)
    )


def modulation(size: int, device: torch.device | str = "cpu") -> Complex[Tensor, "size"]:
    """Unit-modulus factors ``m`` that replace both shifts of a centred transform along one axis.

    ``fft(x) == c * m * fftn(m * x)`` with the constant ``c = exp(-2j pi (n // 2)**2 / n)``. For
    even sizes ``m`` is +1, -1, +1, … An operator multiplies its coil maps by ``m`` once. Then no
    iteration needs a shift, which costs more than the transform.
    """
    turns = torch.arange(size, device=device, dtype=torch.float64) * (size // 2) / size
    return torch.polar(torch.ones_like(turns), 2 * torch.pi * turns).to(torch.complex64)


def crop(
    array: Shaped[Tensor, "..."], shape: Sequence[int], axes: Sequence[int] = VOLUME
) -> Shaped[Tensor, "..."]:
    """A view of the central block of ``shape`` along ``axes``.

    The origin ``n // 2`` of the array is the origin of the block.
    """
    for axis, size in zip(axes, shape, strict=True):
        array = array.narrow(axis, array.shape[axis] // 2 - size // 2, size)
    return array


def pad(
    array: Shaped[Tensor, "..."], shape: Sequence[int], axes: Sequence[int] = VOLUME
) -> Shaped[Tensor, "..."]:
    """Pads with zeros to ``shape`` along ``axes``; adjoint of `crop`."""
    full = list(array.shape)
    for axis, size in zip(axes, shape, strict=True):
        full[axis] = size
    out = array.new_zeros(full)
    crop(out, [array.shape[a] for a in axes], axes).copy_(array)
    return out
