"""Scans at larger voxels over the same field of view.

Either the low frequencies are kept, as if the scanner had measured only these, or the images are
interpolated.
"""

import math
import zlib
from dataclasses import replace

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.errors import ReconError
from recon.mri import coils, fourier
from recon.mri.noise import noise_covariance, noise_levels, noise_root
from recon.mri.resample import central_frequencies, crop_kspace, noise_to_white, trilinear
from recon.mri.scan import Scan


def coarser(scan: Scan, factor: float | tuple[float, float, float], method: str = "kspace") -> Scan:
    """The scan with voxels ``factor`` times larger, and the same noise level in k-space.

    ``factor`` is one number for all axes, or one for each. "kspace" keeps the central samples, as a
    scanner would measure them. "trilinear" (paper A, section 5) interpolates every coil's image
    with anti-aliasing. That smooths the noise, so fresh noise replaces what was lost. An axis of
    one voxel stays as it is. Raises `ReconError` for factors below 1.
    """
    factors = (factor,) * 3 if isinstance(factor, int | float) else tuple(factor)
    if not all(1 <= f < math.inf for f in factors):
        raise ReconError(f"{scan.name}: voxel factor {factor}; expected 1 or more")
    if all(f == 1 for f in factors):
        return scan
    # the noise level is estimated from the outskirts of k-space, which are cut off below
    if scan.noise is None and scan.levels is None:
        scan = replace(scan, levels=noise_levels(scan.kspace))
    shape = coarse_shape(scan.shape, factors)
    # the amplitude of the image grows by this factor, as the samples of k-space keep their values
    gain = math.sqrt(math.prod(scan.shape) / math.prod(shape))
    mask = fourier.crop(scan.mask, shape[1:], (0, 1)).contiguous()
    if method == "kspace":
        kspace, resample = central_frequencies(scan.kspace, shape).contiguous(), crop_kspace
    else:
        kspace, resample = _interpolated(scan, shape, gain) * mask, trilinear
    return replace(
        scan,
        kspace=kspace,
        mask=mask,
        voxel=tuple(v * n / m for v, n, m in zip(scan.voxel, scan.shape, shape, strict=True)),
        truth=None if scan.truth is None else gain * resample(scan.truth, shape),
        meta=scan.meta | {"voxel_factor": factors, "resampling": method},
    )


def coarse_shape(
    shape: tuple[int, int, int], factor: float | tuple[float, float, float]
) -> tuple[int, int, int]:
    """The matrix with voxels ``factor`` times larger over the same field of view.

    ``factor`` is one number for all axes, or one for each.
    """
    factors = (factor,) * 3 if isinstance(factor, int | float) else factor
    return tuple(max(1, round(n / f)) for n, f in zip(shape, factors, strict=True))


def _interpolated(
    scan: Scan, shape: tuple[int, int, int], gain: float
) -> Complex[Tensor, "coil x y z"]:
    """K-space of the interpolated coil images, with fresh noise in place of the noise that is lost.

    The fresh noise has the same correlation between coils.
    """
    # seeded by the name, so that every subject gets different noise
    generator = torch.Generator().manual_seed(zlib.crc32(scan.name.encode()))
    if scan.noise is None:
        factor = torch.diag(scan.levels).to(torch.complex64)
    elif not scan.noise.any():
        # simulated without noise
        factor = torch.zeros((scan.coils, scan.coils), dtype=torch.complex64)
    else:
        factor = noise_root(noise_covariance(scan.noise)) / math.sqrt(2)
    parts = [
        [noise_to_white(scan.shape, shape, generator) for _ in range(scan.coils)]
        for _ in ("real", "imaginary")
    ]
    noise = coils.mix(torch.complex(*map(torch.stack, parts)), factor)
    return torch.stack(
        [
            fourier.fft(gain * trilinear(fourier.ifft(k), shape) + n)
            for k, n in zip(scan.kspace, noise, strict=True)
        ]
    )
