"""Resampling of volumes to another grid over the same field of view, in k-space or trilinear.

`crop_kspace` crops the frequencies, as a scanner that measures fewer of them. `trilinear`
interpolates.

Both keep voxel *areas* aligned: n voxels tile the field of view, and voxel i has its centre at
``(i + 1/2) / n`` of it. So a structure keeps its position in millimetres. The centred Fourier
convention has its origin at index ``n // 2`` instead. For even n this is half a voxel beyond the
middle, a distance that depends on the voxel size. Therefore `crop_kspace` adds a linear phase that
corrects the difference. Cropping of k-space alone (`fourier.crop`) would shift the volume by half
the change in voxel size.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon.errors import ReconError
from recon.mri import fourier

Volume = Complex[Tensor, "*coil x y z"] | Float[Tensor, "*coil x y z"]
Resampled = Complex[Tensor, "*coil x2 y2 z2"] | Float[Tensor, "*coil x2 y2 z2"]


def crop_kspace(volume: Volume, shape: Sequence[int]) -> Resampled:
    """The volume from the central ``shape`` of its frequencies.

    An axis that grows is zero-filled in k-space. A real volume stays real. The amplitude is kept: a
    constant stays the same constant. Raises ReconError for a shape without three sizes of at least
    1.
    """
    _check(shape)
    kspace = central_frequencies(
        fourier.fft(volume if volume.is_complex() else volume.to(volume.dtype.to_complex())), shape
    )
    image = fourier.ifft(kspace) * math.sqrt(math.prod(shape) / math.prod(volume.shape[-3:]))
    return image if volume.is_complex() else image.real.contiguous()


def central_frequencies(
    kspace: Complex[Tensor, "*coil x y z"], shape: Sequence[int]
) -> Complex[Tensor, "*coil x2 y2 z2"]:
    """The samples that a scan of ``shape`` voxels over the same field of view would have measured.

    Only the phase of their values changes, because the two grids have different origins.
    """
    for axis, n in zip(fourier.VOLUME, shape, strict=True):
        old = kspace.shape[axis]
        if old == n:
            continue
        kspace = fourier.crop(kspace, [min(old, n)], [axis])
        frequency = (
            torch.arange(min(old, n), dtype=torch.float64, device=kspace.device) - min(old, n) // 2
        )
        # The distance between the origins of the two grids, in fields of view, sets the phase.
        turns = frequency * ((n // 2 + 0.5) / n - (old // 2 + 0.5) / old)
        phase = torch.polar(torch.ones_like(turns), 2 * math.pi * turns).to(kspace.dtype)
        kspace = fourier.pad(kspace * phase.view(-1, *[1] * (-1 - axis)), [n], [axis])
    return kspace


def trilinear(volume: Volume, shape: Sequence[int]) -> Resampled:
    """Linear interpolation along each axis, with antialiasing where the axis shrinks.

    There the volume is averaged with a triangle of twice the width of the new voxel, which is a box
    of the new voxel applied twice. It suppresses the frequencies that the new grid would alias, as
    ``interpolate(antialias=True)`` of torch does for two axes. Beyond the outermost centres the
    volume continues with its border values. Raises ReconError for a shape without three sizes of at
    least 1.
    """
    _check(shape)
    for axis, n in zip(fourier.VOLUME, shape, strict=True):
        if n != volume.shape[axis]:
            weights = triangles(volume.shape[axis], n, volume.device).to(volume.dtype)
            volume = (volume.movedim(axis, -1) @ weights).movedim(-1, axis)
    return volume.contiguous()


def noise_to_white(
    old: Sequence[int], new: Sequence[int], generator: torch.Generator
) -> Float[Tensor, "x y z"]:
    """Noise that makes unit white noise white again after `trilinear` has smoothed it.

    The sum of both has unit variance. The smoothed noise is in units of k-space: it was multiplied
    by ``sqrt(old voxels / new voxels)``. Its covariance is a Kronecker product over the axes, with
    eigenvalues below 1. The noise returned here has the same eigenvectors, and its variance along
    each of them is what is missing to 1.
    """
    power, bases = torch.ones(()), []
    for n, m in zip(old, new, strict=True):
        weights = triangles(n, m) if n != m else torch.eye(n, dtype=torch.float64)
        values, vectors = torch.linalg.eigh(n / m * weights.T @ weights)
        power, bases = power[..., None] * values.float(), [*bases, vectors.float()]
    noise = torch.randn(tuple(new), generator=generator) * (1 - power).clamp(min=0).sqrt()
    for axis, basis in enumerate(bases):
        noise = torch.tensordot(basis, noise, dims=([1], [axis])).movedim(0, axis)
    return noise


def _check(shape: Sequence[int]) -> None:
    if len(shape) != 3 or any(n < 1 for n in shape):
        raise ReconError(
            f"resample: {tuple(shape)} is not the shape of a volume; "
            "expected three sizes of at least 1"
        )


def sincs(old: int, new: int) -> Complex[Tensor, "old new"]:
    """Weights of each old voxel in each new one for `crop_kspace`: Dirichlet kernels."""
    return crop_kspace(torch.eye(old, dtype=torch.complex128)[..., None, None], (new, 1, 1))[
        ..., 0, 0
    ]


def triangles(old: int, new: int, device: torch.device | str = "cpu") -> Float[Tensor, "old new"]:
    """Weights of each old voxel in each new one for `trilinear`; each column adds up to 1."""
    width = max(old / new, 1.0)  # in old voxels
    centres = (torch.arange(new, dtype=torch.float64, device=device) + 0.5) * old / new - 0.5
    weights = (
        1 - (torch.arange(old, dtype=torch.float64, device=device)[:, None] - centres).abs() / width
    ).clamp(min=0)
    return weights / weights.sum(0)
