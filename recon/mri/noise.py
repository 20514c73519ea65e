"""The noise of receive coils: covariance, whitening, and levels from the edge of k-space."""

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon.errors import ReconError


def noise_covariance(noise: Complex[Tensor, "coil sample"]) -> Complex[Tensor, "coil coil"]:
    """Covariance E[n nᴴ] of the channels in a noise-only measurement.

    White noise of standard deviation σ per real component gives 2σ²·I. Raises ReconError for fewer
    than two samples a coil.
    """
    if noise.shape[1] < 2 * noise.shape[0]:
        raise ReconError(
            f"noise measurement: {noise.shape[1]} samples for {noise.shape[0]} coils; "
            f"it needs at least {2 * noise.shape[0]}"
        )
    return noise @ noise.mH / noise.shape[1]


def noise_root(covariance: Complex[Tensor, "coil coil"]) -> Complex[Tensor, "coil coil"]:
    """The lower triangular L with covariance = L·Lᴴ.

    Raises ReconError if the covariance is not positive definite.
    """
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        raise ReconError(
            "whiten: the noise covariance is not positive definite; "
            "look for a dead or duplicated channel"
        )
    return factor


def whitening_matrix(covariance: Complex[Tensor, "coil coil"]) -> Complex[Tensor, "coil coil"]:
    """The matrix L⁻¹ for a covariance L·Lᴴ.

    After `mix` with it, the noise of the channels has the identity as covariance, which is
    σ = 1/√2 per real component.
    """
    factor = noise_root(covariance)
    return torch.linalg.solve_triangular(
        factor, torch.eye(len(factor), dtype=factor.dtype), upper=False
    )


def noise_levels(
    kspace: Complex[Tensor, "coil x y z"], fraction: float = 0.02
) -> Float[Tensor, "coil"]:
    """Noise standard deviation per real component of each coil, from the edge of k-space.

    It is the median absolute value of the outermost ``fraction`` of the measured samples, times
    1.4826 for Gaussian noise. The radius of a sample is relative to the extent of each axis.

    The signal of the object is weakest there, and the median ignores the few samples where it is
    strong. The remaining signal makes the estimate too high for data with hardly any noise.

    A sample counts as measured above 1e-6 of the largest, because zero-filled data that went
    through a transform hold rounding errors. Raises ReconError for k-space of zeros.
    """
    axes = [(torch.arange(n, device=kspace.device) - n // 2) / max(n, 2) for n in kspace.shape[1:]]
    radius = sum(g.square() for g in torch.meshgrid(*axes, indexing="ij"))
    floor = 1e-6 * max(float(coil.abs().max()) for coil in kspace)
    if floor == 0:
        raise ReconError(
            "noise_levels: k-space is all zeros; check which array of the file was read"
        )
    measured = torch.zeros(kspace.shape[1:], dtype=torch.bool, device=kspace.device)
    for coil in kspace:
        measured |= coil.abs() > floor
    limit = radius[measured].sort(descending=True).values[int(fraction * int(measured.sum()))]
    outer = measured & (radius >= limit)
    return torch.stack([1.4826 * torch.view_as_real(coil[outer]).abs().median() for coil in kspace])
