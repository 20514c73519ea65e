"""TPDM with DDS steps, the posterior sampler that paper A compares with."""

from itertools import pairwise

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.methods import DENOISER, Method
from recon.methods.common import (
    SEED,
    Callback,
    Count,
    Fraction,
    NonNegative,
    Seed,
    checked,
    ignore,
    says,
)
from recon.methods.ranges import decades, share
from recon.methods.sampling import clean_estimate, ddim_levels
from recon.mri.problem import Problem
from recon.mri.solvers import conjugate_gradient
from recon.priors import Prior
from recon.priors.sampling import ddim_step, noise_like
from recon.progress import track


@checked
class TpdmDdsSettings:
    """The defaults are those of paper A, section 5.1, after Chung, Lee and Ye (2024)."""

    gamma: NonNegative = says(0.95, "weight of the data in a data step, relative to the estimate")
    eta: Fraction = says(0.95, "share of the noise of a step that is fresh")
    steps: Count = says(80, "of DDIM; the planes take turns")
    cg_iterations: Count = says(4, "conjugate gradients of a data step, at most")
    seed: Seed = SEED


def tpdm_dds(
    problem: Problem,
    prior: Prior,
    settings: TpdmDdsSettings = TpdmDdsSettings(),
    callback: Callback = ignore,
) -> Complex[Tensor, "x y z"]:
    """TPDM as paper A adapts it: one model, and a DDS step on the whole volume.

    The planes take turns from step to step. The data step solves ``(γAᴴA + I) x = γAᴴy + x0_hat``.
    It turns a measured frequency into ``(x0_hat + γy)/(1 + γ)``, so that the frequency ends at y,
    noise included. The network is evaluated on ``steps × (slices of a plane)``, as a mean over
    the planes.
    """
    generator, axes = torch.Generator().manual_seed(settings.seed), problem.orientations()
    gamma, sigmas = settings.gamma, ddim_levels(prior, settings.steps)
    x = (1 + sigmas[0] ** 2) ** 0.5 * noise_like(problem.rhs, generator)
    for k, (sigma_t, sigma_s) in enumerate(track(list(pairwise(sigmas)), "tpdm-dds")):
        axis = axes[k % len(axes)]
        x0_hat = clean_estimate(problem, prior, x, sigma_t, axis)
        eps = (x - x0_hat) / sigma_t
        rhs = gamma * problem.rhs + x0_hat
        x0_hat = conjugate_gradient(
            lambda v: gamma * problem.operator.normal(v) + v, rhs, x0_hat, settings.cg_iterations
        )
        x = ddim_step(x0_hat, eps, sigma_t, sigma_s, settings.eta, generator)
        callback(k, x0_hat)
    return x


METHOD = Method(
    tpdm_dds,
    TpdmDdsSettings,
    "TPDM+DDS",
    "C5",
    "P",
    needs=DENOISER,
    samples=True,
    space={"gamma": decades(0.1, 100), "eta": share()},
)
