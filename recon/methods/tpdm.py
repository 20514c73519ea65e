"""TPDM (Lee et al. 2023): posterior sampling on the slices of one plane, unconditional sampling on
those of a perpendicular plane.
"""

from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Complex
from pydantic import Field
from torch import Tensor

from recon.errors import ReconError
from recon.methods import DENOISER, Method
from recon.methods.common import (
    Axis,
    Callback,
    Count,
    NonNegative,
    Positive,
    Volume,
    check_plane,
    checked,
    ignore,
)
from recon.methods.sampling import correct, predict, score, ve_levels
from recon.mri.problem import Problem
from recon.mri.slices import as_slices, as_volume
from recon.priors import Prior
from recon.priors.sampling import noise_like
from recon.progress import track


@checked
class TpdmSettings:
    """Lee et al. (2023): 2000 steps, SNR 0.16, K = 2, the primary plane the undersampled one.

    The published step of 0.002–0.01 (R = 8–48) is for an unnormalised Fourier transform and six
    slices of 256² voxels in [0, 1] at once; in root mean square per voxel of unit variance that is
    about 0.004–0.02.
    """

    zeta: NonNegative = 0.01  # largest root-mean-square change of a voxel by one data step
    snr: Positive = 0.16
    steps: Count = 2000
    # K: each K-th step is on the perpendicular plane, where no data are seen
    every: Annotated[int, Field(ge=2)] = 2
    primary: Axis = 0  # slices across it are fitted to the data
    perpendicular: Axis = 2
    seed: int = 0


def data_gradient(
    x: Volume, sigma: float, prior: Prior, axis: int, problem: Problem
) -> tuple[Volume, Volume]:
    """The score of the slices across ``axis``, and the gradient of ``‖y − A D(x, σ)‖`` through the
    network (DPS, Chung et al. 2023).
    """
    slices = as_slices(x, axis).detach().requires_grad_()
    denoised = prior.denoise(slices, sigma)
    if not denoised.requires_grad:
        raise ReconError(
            "tpdm differentiates the prior, and this prior's denoise gives no gradient; use tpdm_dds with it"
        )
    x0_hat = problem.operator.support * as_volume(denoised.detach(), axis)
    residual = problem.gradient(x0_hat) / (2 * problem.objective(x0_hat)).sqrt().clamp(min=1e-12)
    (gradient,) = torch.autograd.grad(denoised, slices, as_slices(residual, axis))
    return (x0_hat - x) / sigma**2, as_volume(gradient, axis)


def tpdm(
    problem: Problem,
    prior: Prior,
    settings: TpdmSettings = TpdmSettings(),
    callback: Callback = ignore,
    auxiliary: Prior | None = None,
) -> Complex[Tensor, "x y z"]:
    """Lee et al. (2023): corrector and predictor per noise level, with a DPS step after either on
    the primary plane.

    One prior serves both planes unless ``auxiliary`` is given for the perpendicular one. The length
    of a data step depends neither on the noise nor, until it overshoots, on the residual, and the
    correctors pull back at their own rate 2 snr²: so ζ alone sets how far the data win. With a
    white Gaussian prior as wide as the data the estimate never reaches them, however many steps: at
    ζ = 0.01 a fifth, at 0.1 nine tenths of the way. Evaluates the network on ``2 × steps × ((K −
    1)/K × (slices along primary) + 1/K × (slices along perpendicular))``; the first of these also
    with a backward pass, which evaluates it once more.
    """
    for axis in (settings.primary, settings.perpendicular):
        check_plane(axis, problem.operator.shape)
    if settings.primary == settings.perpendicular:
        raise ReconError(
            f"tpdm: primary and perpendicular are both axis {settings.primary}; choose two different axes"
        )
    generator, sigmas = (
        torch.Generator().manual_seed(settings.seed),
        ve_levels(prior, settings.steps),
    )
    x = sigmas[0] * noise_like(problem.rhs, generator)
    zeta = settings.zeta * (2 * x.numel()) ** 0.5
    for k, (sigma_t, sigma_s) in enumerate(track(list(pairwise(sigmas)), "tpdm")):
        for update, levels in ((correct, (settings.snr,)), (predict, (sigma_t, sigma_s))):
            if k % settings.every == settings.every - 1:
                x = update(
                    x,
                    score(problem, auxiliary or prior, x, sigma_t, settings.perpendicular),
                    *levels,
                    generator,
                )
            else:
                s, gradient = data_gradient(x, sigma_t, prior, settings.primary, problem)
                x = update(x, s, *levels, generator) - zeta * gradient
        callback(k, x)
    return problem.operator.support * x  # beside it lies the noise of the last corrector


METHOD = Method(
    tpdm,
    TpdmSettings,
    "TPDM",
    "C8",
    "h",
    needs=DENOISER,
    space={"zeta": (5e-3, 0.5), "snr": (0.02, 0.4)},
)
