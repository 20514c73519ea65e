"""Volumes on another grid, with the field of view kept: Fourier cropping, as a scanner measures fewer frequencies, and trilinear.

Both keep voxel *areas* aligned: n voxels tile the field of view, voxel i has its centre at ``(i + 1/2) / n`` of it, and a structure
stays where it is in millimetres. The centred Fourier convention places its origin at index ``n // 2`` instead, which is half a voxel
beyond the middle for even n, another distance for each voxel size. So `crop_kspace` adds the linear phase that makes up for the
difference; bare cropping of k-space (`fourier.crop`) would shift the volume by half the change in voxel size.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon import fourier
from recon.errors import ReconError

Volume = Complex[Tensor, "*coil x y z"] | Float[Tensor, "*coil x y z"]
Resampled = Complex[Tensor, "*coil x2 y2 z2"] | Float[Tensor, "*coil x2 y2 z2"]
Voxel = Sequence[float | int]
METHODS = ("kspace", "trilinear")


def crop_kspace(volume: Volume, shape: Sequence[int]) -> Resampled:
    """The volume from the central ``shape`` of its frequencies; an axis that grows is zero-filled. Real stays real.

    The amplitude is that of the image: a constant stays the same constant.
    """
    _check(shape)
    kspace = fourier.fft(volume if volume.is_complex() else volume.to(volume.dtype.to_complex()))
    for axis, n in zip(fourier.VOLUME, shape, strict=True):
        old = kspace.shape[axis]
        kspace = fourier.crop(kspace, [min(old, n)], [axis])
        frequency = torch.arange(min(old, n), dtype=torch.float64, device=volume.device) - min(old, n) // 2
        turns = frequency * ((n // 2 + 0.5) / n - (old // 2 + 0.5) / old)  # from one grid's origin to the other's, in fields of view
        phase = torch.polar(torch.ones_like(turns), 2 * math.pi * turns).to(kspace.dtype)
        kspace = fourier.pad(kspace * phase.view(-1, *[1] * (-1 - axis)), [n], [axis])
    image = fourier.ifft(kspace) * math.sqrt(math.prod(shape) / math.prod(volume.shape[-3:]))
    return image if volume.is_complex() else image.real.contiguous()


def trilinear(volume: Volume, shape: Sequence[int]) -> Resampled:
    """Linear interpolation along each axis; an axis that shrinks is averaged with a triangle of twice the new voxel.

    The triangle is a box of the new voxel applied twice: it removes what the new grid would alias, as `interpolate(antialias=True)`
    of torch does for two axes. Beyond the outermost centres the volume continues with its border values.
    """
    _check(shape)
    for axis, n in zip(fourier.VOLUME, shape, strict=True):
        if n != volume.shape[axis]:
            weights = _triangles(volume.shape[axis], n, volume.device).to(volume.dtype)
            volume = (volume.movedim(axis, -1) @ weights).movedim(-1, axis)
    return volume.contiguous()


def to_voxel(volume: Volume, voxel: Voxel, new_voxel: Voxel, method: str = "kspace") -> tuple[Resampled, tuple[float, float, float]]:
    """The volume at about ``new_voxel`` mm, and the voxel size realised: the field of view divided by a whole number of voxels.

    An axis of one voxel (2D scans) is left alone. Raises ReconError on sizes that are not positive or an unknown ``method``.
    """
    if len(voxel) != 3 or len(new_voxel) != 3 or not all(0 < v < math.inf for v in (*voxel, *new_voxel)):
        raise ReconError(f"resample: voxel sizes {tuple(voxel)} and {tuple(new_voxel)} mm; expected three positive numbers each")
    if method not in METHODS:
        raise ReconError(f"resample: unknown method {method!r}; choose one of {', '.join(METHODS)}")
    sizes = volume.shape[-3:]
    shape = [max(round(n * v / new), 1) if n > 1 else 1 for n, v, new in zip(sizes, voxel, new_voxel, strict=True)]
    realised = tuple(n * v / m for n, v, m in zip(sizes, voxel, shape, strict=True))
    return (crop_kspace if method == "kspace" else trilinear)(volume, shape), realised


def _check(shape: Sequence[int]) -> None:
    if len(shape) != 3 or any(n < 1 for n in shape):
        raise ReconError(f"resample: shape {tuple(shape)} is not a volume's; expected three sizes of at least 1")


def _triangles(old: int, new: int, device: torch.device) -> Float[Tensor, "old new"]:
    """Weights of each old voxel in each new one; columns add up to 1."""
    width = max(old / new, 1.0)  # in old voxels
    centres = (torch.arange(new, dtype=torch.float64, device=device) + 0.5) * old / new - 0.5
    weights = (1 - (torch.arange(old, dtype=torch.float64, device=device)[:, None] - centres).abs() / width).clamp(min=0)
    return weights / weights.sum(0)
