"""Volumes on another grid, with the field of view kept: Fourier cropping, as a scanner measures
fewer frequencies, and trilinear.

Both keep voxel *areas* aligned: n voxels tile the field of view, voxel i has its centre at ``(i +
1/2) / n`` of it, and a structure stays where it is in millimetres. The centred Fourier convention
places its origin at index ``n // 2`` instead, which is half a voxel beyond the middle for even n,
another distance for each voxel size. So `crop_kspace` adds the linear phase that makes up for the
difference; bare cropping of k-space (`fourier.crop`) would shift the volume by half the change in
voxel size.
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
Voxel = Sequence[float | int]
METHODS = ("kspace", "trilinear")


def crop_kspace(volume: Volume, shape: Sequence[int]) -> Resampled:
    """The volume from the central ``shape`` of its frequencies; an axis that grows is zero-filled.
    Real stays real.

    The amplitude is that of the image: a constant stays the same constant.
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
    """The samples of ``kspace`` that a scan of ``shape`` voxels over the same field of view would
    have measured.

    Their values change in phase only, by the move from one grid's origin to the other's.
    """
    for axis, n in zip(fourier.VOLUME, shape, strict=True):
        old = kspace.shape[axis]
        if old == n:
            continue
        kspace = fourier.crop(kspace, [min(old, n)], [axis])
        frequency = (
            torch.arange(min(old, n), dtype=torch.float64, device=kspace.device) - min(old, n) // 2
        )
        # from one grid's origin to the other's, in fields of view
        turns = frequency * ((n // 2 + 0.5) / n - (old // 2 + 0.5) / old)
        phase = torch.polar(torch.ones_like(turns), 2 * math.pi * turns).to(kspace.dtype)
        kspace = fourier.pad(kspace * phase.view(-1, *[1] * (-1 - axis)), [n], [axis])
    return kspace


def trilinear(volume: Volume, shape: Sequence[int]) -> Resampled:
    """Linear interpolation along each axis; an axis that shrinks is averaged with a triangle of
    twice the new voxel.

    The triangle is a box of the new voxel applied twice: it removes what the new grid would alias,
    as `interpolate(antialias=True)` of torch does for two axes. Beyond the outermost centres the
    volume continues with its border values.
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
    """What makes unit white noise white and of unit variance again after `trilinear` has smoothed
    it, when added to it.

    The smoothed noise is meant in units of k-space, that is multiplied by ``sqrt(old voxels / new
    voxels)``. Its covariance is a Kronecker product over the axes with eigenvalues below 1; this
    noise has the same eigenvectors and the rest of the variance.
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


def to_voxel(
    volume: Volume, voxel: Voxel, new_voxel: Voxel, method: str = "kspace"
) -> tuple[Resampled, tuple[float, float, float]]:
    """The volume at about ``new_voxel`` mm, and the voxel size realised: the field of view divided
    by a whole number of voxels.

    An axis of one voxel (2D scans) is left alone. Raises ReconError on sizes that are not positive
    or an unknown ``method``.
    """
    if (
        len(voxel) != 3
        or len(new_voxel) != 3
        or not all(0 < v < math.inf for v in (*voxel, *new_voxel))
    ):
        raise ReconError(
            f"resample: voxel sizes {tuple(voxel)} and {tuple(new_voxel)} mm; expected three positive numbers each"
        )
    if method not in METHODS:
        raise ReconError(f"resample: unknown method {method!r}; choose one of {', '.join(METHODS)}")
    sizes = volume.shape[-3:]
    shape = [
        max(round(n * v / new), 1) if n > 1 else 1
        for n, v, new in zip(sizes, voxel, new_voxel, strict=True)
    ]
    realised = tuple(n * v / m for n, v, m in zip(sizes, voxel, shape, strict=True))
    return (crop_kspace if method == "kspace" else trilinear)(volume, shape), realised


def _check(shape: Sequence[int]) -> None:
    if len(shape) != 3 or any(n < 1 for n in shape):
        raise ReconError(
            f"resample: shape {tuple(shape)} is not a volume's; expected three sizes of at least 1"
        )


def sincs(old: int, new: int) -> Complex[Tensor, "old new"]:
    """Weights of each old voxel in each new one, as `crop_kspace` uses them: Dirichlet kernels."""
    return crop_kspace(torch.eye(old, dtype=torch.complex128)[..., None, None], (new, 1, 1))[
        ..., 0, 0
    ]


def triangles(old: int, new: int, device: torch.device | str = "cpu") -> Float[Tensor, "old new"]:
    """Weights of each old voxel in each new one, as `trilinear` uses them; columns add up to 1."""
    width = max(old / new, 1.0)  # in old voxels
    centres = (torch.arange(new, dtype=torch.float64, device=device) + 0.5) * old / new - 0.5
    weights = (
        1 - (torch.arange(old, dtype=torch.float64, device=device)[:, None] - centres).abs() / width
    ).clamp(min=0)
    return weights / weights.sum(0)
