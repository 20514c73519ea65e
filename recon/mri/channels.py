"""From the channels of a scan to independent ones: whitening, coil compression, the level of the
noise.
"""

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.mri import coils, fourier
from recon.mri.scan import Scan


def channels(
    scan: Scan, virtual_coils: int | None = None
) -> tuple[Complex[Tensor, "virtual coil"] | None, float]:
    """The matrix that makes the channels independent and few (None: leave them), and the noise's
    standard deviation per real component.

    A measured scan that has a noise scan is whitened with it, which makes the noise of all coils
    independent and equal. Simulated coils are so already. Without a noise scan (or one of fewer
    than ten samples a coil) the level is that which the scan brings, or is estimated from the
    outskirts of k-space: its root mean square over the channels. ``virtual_coils`` keeps that many
    combinations, those of highest energy in the centre of k-space.
    """
    matrix, noise, levels = None, 2**-0.5, scan.levels
    if has_noise_scan(scan) and scan.origin == "measured":
        matrix = coils.whitening_matrix(coils.noise_covariance(scan.noise))
    elif has_noise_scan(scan):
        noise = float(torch.view_as_real(scan.noise).std())
    else:
        levels = coils.noise_levels(scan.kspace) if levels is None else levels
        noise = float(levels.square().mean().sqrt())
    if virtual_coils is not None:
        strongest = coils.compression_matrix(mixed(centre(scan), matrix), virtual_coils)
        if not has_noise_scan(scan):
            noise = float((strongest.abs() * levels).square().sum(1).mean().sqrt())
        matrix = strongest if matrix is None else strongest @ matrix
    return matrix, noise


def has_noise_scan(scan: Scan) -> bool:
    """Whether the scan's own noise measurement is long enough to tell the coils' covariance."""
    return scan.noise is not None and scan.noise.shape[1] > 10 * scan.coils


def mixed(
    kspace: Complex[Tensor, "coil *sample"], matrix: Complex[Tensor, "virtual coil"] | None
) -> Complex[Tensor, "virtual *sample"]:
    """The channels that `channels` asks for."""
    return kspace if matrix is None else coils.mix(kspace, matrix)


def centre(scan: Scan) -> Complex[Tensor, "coil x y z"]:
    """As much of the centre of k-space as a calibration can use."""
    return fourier.crop(scan.kspace, [min(n, coils.LARGEST) for n in scan.shape])


def independent(
    scan: Scan, virtual_coils: int | None = None
) -> tuple[Complex[Tensor, "virtual x y z"], float]:
    """K-space of independent channels, and their noise level; see `channels`."""
    matrix, noise = channels(scan, virtual_coils)
    return mixed(scan.kspace, matrix), noise
