"""TPDM (Lee et al. 2023): posterior sampling on one plane, the prior alone on another."""

from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Complex
from pydantic import Field
from torch import Tensor

from recon.errors import ReconError
from recon.methods import DENOISER, Method
from recon.methods.common import (
    SEED,
    Axis,
    Callback,
    Count,
    NonNegative,
    Positive,
    Seed,
    Volume,
    check_plane,
    checked,
    ignore,
    says,
)
from recon.methods.ranges import decades
from recon.methods.sampling import correct, predict, score, ve_levels
from recon.mri.problem import Problem
from recon.mri.slices import as_slices, as_volume
from recon.priors import Prior
from recon.priors.sampling import noise_like
from recon.progress import track


@checked
class TpdmSettings:
    """Lee et al. (2023): 2000 steps, SNR 0.16, K = 2; the primary plane is the undersampled one.

    The published step is 0.002 to 0.01 for R = 8 to 48. It belongs to a Fourier transform that is
    not normalised, and to six slices of 256² voxels in [0, 1] at once. As a root mean square per
    voxel of unit variance it is about 0.004 to 0.02.
    """

    zeta: NonNegative = says(0.01, "largest root-mean-square change of a voxel by a data step")
    snr: Positive = says(0.16, "signal-to-noise ratio that sets the corrector's step")
    steps: Count = says(2000, "noise levels, each with a predictor and a corrector")
    every: Annotated[int, Field(ge=2)] = says(
        2, "K: each K-th step is on the perpendicular plane, and does not look at the data"
    )
    primary: Axis = says(0, "slices across it are fitted to the data")
    perpendicular: Axis = says(2, "slices across it see the network alone")
    seed: Seed = SEED


def data_gradient(
    x: Volume, sigma: float, prior: Prior, axis: int, problem: Problem
) -> tuple[Volume, Volume]:
    """The score of the slices across ``axis``, and the gradient of ``‖y − A D(x, σ)‖``.

    The gradient passes through the network (DPS, Chung et al. 2023).
    """
    slices = as_slices(x, axis).detach().requires_grad_()
    denoised = prior.denoise(slices, sigma)
    if not denoised.requires_grad:
        needed = "tpdm differentiates the prior, and this prior's denoise gives no gradient"
        raise ReconError(f"{needed}; use tpdm_dds with it")
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
    """Lee et al. (2023): a corrector and a predictor at each noise level.

    On the primary plane a DPS step follows each of them. One prior serves both planes, unless
    ``auxiliary`` is given for the perpendicular one.

    ζ decides how closely the samples follow the data. The length of a data step does not depend on
    the noise, nor on the residual until the step overshoots. The correctors pull back towards the
    prior at the rate 2 snr². With a white Gaussian prior as wide as the data, the estimate moves a
    fifth of the way to the data at ζ = 0.01, and nine tenths at ζ = 0.1, however many steps it
    takes.

    The network is evaluated on ``2 × steps × ((K − 1)/K × (slices along primary) + 1/K × (slices
    along perpendicular))``. On the primary plane a backward pass evaluates it once more.
    """
    for axis in (settings.primary, settings.perpendicular):
        check_plane(axis, problem.operator.shape)
    if settings.primary == settings.perpendicular:
        both = f"primary and perpendicular are both axis {settings.primary}"
        raise ReconError(f"tpdm: {both}; choose two different axes")
    generator = torch.Generator().manual_seed(settings.seed)
    sigmas = ve_levels(prior, settings.steps)
    x = sigmas[0] * noise_like(problem.rhs, generator)
    zeta = settings.zeta * (2 * x.numel()) ** 0.5
    for k, (sigma_t, sigma_s) in enumerate(track(list(pairwise(sigmas)), "tpdm")):
        for update, levels in ((correct, (settings.snr,)), (predict, (sigma_t, sigma_s))):
            if k % settings.every == settings.every - 1:
                s = score(problem, auxiliary or prior, x, sigma_t, settings.perpendicular)
                x = update(x, s, *levels, generator)
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
    samples=True,
    space={"zeta": decades(1e-3, 1.0), "snr": decades(0.02, 0.4)},
)
