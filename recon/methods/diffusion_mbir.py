"""DiffusionMBIR (Chung et al. 2023): predictor-corrector sampling of slices, tied by TV."""

from itertools import pairwise

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.methods import DENOISER, Method
from recon.methods.common import (
    SEED,
    Axis,
    Callback,
    Count,
    NonNegative,
    Positive,
    Seed,
    check_plane,
    checked,
    ignore,
    says,
)
from recon.methods.sampling import (
    TV_SPACE,
    admm,
    begun,
    correct,
    predict,
    score,
    variation,
    ve_levels,
)
from recon.mri.problem import Problem
from recon.priors import Prior
from recon.priors.sampling import noise_like
from recon.progress import track


@checked
class DiffusionMbirSettings:
    """Chung et al. (2023): 2000 steps, SNR 0.16, λ 0.005, ρ 0.01, one CG step."""

    weight: NonNegative = says(0.005, "λ, of total variation along the axis")
    rho: Positive = says(0.01, "ρ, the penalty of ADMM")
    steps: Count = says(2000, "noise levels, each with a predictor and a corrector")
    snr: Positive = says(0.16, "signal-to-noise ratio that sets the corrector's step")
    cg_iterations: Count = says(1, "conjugate gradients of a data step, at most")
    axis: Axis = says(2, "slices across it see the network; total variation acts along it")
    seed: Seed = SEED


def diffusion_mbir(
    problem: Problem,
    prior: Prior,
    settings: DiffusionMbirSettings = DiffusionMbirSettings(),
    callback: Callback = ignore,
) -> Complex[Tensor, "x y z"]:
    """Chung et al. (2023): at each noise level a predictor, a corrector and an ADMM-TV update.

    The corrector is a Langevin step; ADMM-TV acts on the whole volume. The volume carries noise of
    standard deviation σ, but one CG step puts the data without added noise at the measured
    frequencies. So these frequencies end at y, noise included, and on the way they are less noisy
    than the prior is told. The corrector leaves the variance of a Gaussian too large by the factor
    ``1 + snr²``. The network is evaluated on ``2 × steps × (slices along axis)``.
    """
    check_plane(settings.axis, problem.operator.shape)
    generator, axis = torch.Generator().manual_seed(settings.seed), settings.axis
    sigmas = ve_levels(prior, settings.steps)
    x = sigmas[0] * noise_like(problem.rhs, generator)
    smooth = [variation(problem, axis, settings.weight)]
    kept = begun(x, smooth)
    for k, (sigma_t, sigma_s) in enumerate(track(list(pairwise(sigmas)), "diffusion-mbir")):
        x = predict(x, score(problem, prior, x, sigma_t, axis), sigma_t, sigma_s, generator)
        x = correct(x, score(problem, prior, x, sigma_s, axis), settings.snr, generator)
        parts = problem.operator.normal, problem.rhs, x, smooth, kept
        x, kept = admm(*parts, settings.rho, settings.cg_iterations)
        callback(k, x)
    # Total variation leaks along the axis, and the last corrector leaves its noise.
    return problem.operator.support * x


METHOD = Method(
    diffusion_mbir,
    DiffusionMbirSettings,
    "DiffusionMBIR",
    "C7",
    "X",
    needs=DENOISER,
    samples=True,
    space=TV_SPACE,
)
