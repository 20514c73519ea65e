"""R3DM (Bangun et al. 2024): diffusion on stacks of slices, and a regularised problem in each step.

Of the paper (arXiv 2412.18723) a summary was at hand, so this is our reading of it: DDIM, whose
clean estimates are refined by a few iterations of a convex problem, and noised again. Without ℓ1,
Fourier slices and total variation along x it is DDS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon.errors import ReconError
from recon.methods import STACK_DENOISER, Method
from recon.methods.common import (
    SEED,
    Axis,
    Callback,
    Count,
    Fraction,
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
from recon.methods.sampling import Penalty, admm, begun, clean_estimate, ddim_levels, variation
from recon.mri.fourier_slice import SliceTerms
from recon.mri.problem import Problem
from recon.mri.wavelets import soft
from recon.priors import Prior
from recon.priors.sampling import ddim_step, noise_along_arc, noise_like
from recon.progress import track


@checked
class R3dmSettings:
    """Those of the sampler are DDS's. The summary of the paper says none, so all are our choice."""

    tv: NonNegative = says(0.005, "λ_TV, of total variation")
    tv_axes: Literal[1, 2] = says(2, "along the stack alone, or along x (else y), too")
    l1: NonNegative = says(0.0005, "λ₁, of the ℓ1 norm of the volume")
    # More of it makes the problem worse conditioned, so that few conjugate gradients solve less.
    slices: NonNegative = says(0.1, "μ, of the Fourier slices")
    solver: Literal["admm", "proximal"] = says("admm", "of the problem of each step")
    inner: Count | None = says(None, "m, iterations of the solver in each step (1; proximal: 10)")
    rho: Positive = says(0.01, "ρ, the penalty of ADMM")
    cg_iterations: Count = says(5, "conjugate gradients of an iteration of ADMM, at most")
    steps: Count = says(50, "of DDIM")
    eta: Fraction = says(0.85, "share of the noise of a step that is fresh")
    noise: Literal["independent", "arc"] = says("independent", "of neighbouring slices; arc: ISCS")
    axis: Axis = says(2, "slices across it see the network; they are the stack")
    seed: Seed = SEED


@dataclass(frozen=True)
class Subproblem:
    """``½‖Ax − y‖² + μ/2 Σ_a ‖M_a (F P_a S x − y_a)‖² + λ₁‖x‖₁ + λ_TV Σ_a ‖D_a x‖₁``.

    The slices are those across x and y. The differences are those along the stack and along the
    first other axis.
    """

    normal: Callable[[Volume], Volume]  # Hessian of the smooth part
    rhs: Volume  # minus its gradient at zero
    bound: float  # at least the largest eigenvalue of the Hessian
    l1: float
    variations: tuple[Penalty, ...]
    value: Callable[[Volume], Float[Tensor, ""]]

    @classmethod
    def build(cls, problem: Problem, settings: R3dmSettings) -> "Subproblem":
        """The problem of each step. Terms of weight zero are left out."""
        mu, sense = settings.slices, problem.operator
        terms = SliceTerms(problem) if mu else None
        other = next(a for a in range(3) if a != settings.axis)
        along = [settings.axis, other][: settings.tv_axes if settings.tv else 0]
        along = [axis for axis in along if sense.shape[axis] > 1]
        variations = tuple(variation(problem, axis, settings.tv) for axis in along)

        def normal(x: Volume) -> Volume:
            return sense.normal(x) + mu * terms.normal(x) if terms else sense.normal(x)

        def value(x: Volume) -> Float[Tensor, ""]:
            smooth = problem.objective(x) + (mu * terms.objective(x) if terms else 0)
            rough = sum(v.weight * v.forward(x).abs().sum() for v in variations)
            return smooth + settings.l1 * x.abs().sum() + rough

        bound = sense.bound * (1 + 2 * mu)  # a projection has norm 1
        rhs = problem.rhs + mu * terms.rhs if terms else problem.rhs
        return cls(normal, rhs, bound, settings.l1, variations, value)


def r3dm(
    problem: Problem,
    prior: Prior,
    settings: R3dmSettings = R3dmSettings(),
    callback: Callback = ignore,
) -> Complex[Tensor, "x y z"]:
    """R3DM: DDIM on stacks of slices, whose clean estimates take steps of a convex problem.

    The problem is that of `Subproblem`. Its solvers start at the clean estimate and keep their dual
    variables from step to step: ADMM with a split for each penalty, or proximal gradient. The prior
    may look along the stack (2D+A). The network is evaluated on ``steps × (slices along axis)``.
    """
    check_plane(settings.axis, problem.operator.shape)
    if problem.operator.sets > 1:
        raise ReconError("r3dm takes one set of maps; its stack would run from one into the next")
    generator, axis = torch.Generator().manual_seed(settings.seed), settings.axis
    draw = partial(noise_along_arc, axis=axis) if settings.noise == "arc" else noise_like
    sigmas = ddim_levels(prior, settings.steps)
    x = (1 + sigmas[0] ** 2) ** 0.5 * draw(problem.rhs, generator)
    refine = SOLVERS[settings.solver](Subproblem.build(problem, settings), settings)
    for k, (sigma_t, sigma_s) in enumerate(track(list(pairwise(sigmas)), "r3dm")):
        x0_hat = clean_estimate(problem, prior, x, sigma_t, axis)
        eps = (x - x0_hat) / sigma_t
        for _ in range(settings.inner or INNER[settings.solver]):
            x0_hat = refine(x0_hat)
        x0_hat = problem.operator.support * x0_hat  # total variation leaks along the axis
        x = ddim_step(x0_hat, eps, sigma_t, sigma_s, settings.eta, generator, draw)
        callback(k, x0_hat)
    return x


def by_admm(of: Subproblem, settings: R3dmSettings) -> Callable[[Volume], Volume]:
    """Iterations of ADMM; what is split is kept between them."""
    identity = [Penalty(lambda x: x, lambda x: x, of.l1)] if of.l1 else []
    penalties, kept = [*of.variations, *identity], []

    def refine(x: Volume) -> Volume:
        nonlocal kept
        parts = of.normal, of.rhs, x, penalties, kept or begun(x, penalties)
        x, kept = admm(*parts, settings.rho, settings.cg_iterations)
        return x

    return refine


def by_proximal_gradient(of: Subproblem, settings: R3dmSettings) -> Callable[[Volume], Volume]:
    """Iterations of proximal gradient; the duals of the variations are kept between them.

    The proximal map of all penalties together has no closed form. Its dual is a problem with
    bounds, and takes `DUAL_STEPS` projected gradients from where the last ones ended (Beck and
    Teboulle 2009, "Fast gradient-based algorithms for constrained total variation").
    """
    duals: list[Volume] = []
    step = 1 / of.bound

    def shrunk(v: Volume) -> Volume:
        """The proximal map at ``v``, from the duals."""
        for penalty, dual in zip(of.variations, duals, strict=True):
            v = v - step * penalty.adjoint(dual)
        return soft(v, step * of.l1) if of.l1 else v

    def refine(x: Volume) -> Volume:
        nonlocal duals
        v = x - step * (of.normal(x) - of.rhs)
        duals = duals or [torch.zeros_like(x) for _ in of.variations]
        for _ in range(DUAL_STEPS if of.variations else 0):
            x = shrunk(v)
            rate = 1 / (4 * len(of.variations) * step)  # ‖D‖² is 4 along each axis
            duals = [
                within(dual + rate * penalty.forward(x), penalty.weight)
                for penalty, dual in zip(of.variations, duals, strict=True)
            ]
        return shrunk(v)

    return refine


def within(x: Complex[Tensor, "*shape"], size: float) -> Complex[Tensor, "*shape"]:
    """Each number, or the nearest one of magnitude ``size`` where it is larger."""
    return x / (x.abs() / size).clamp(min=1)


DUAL_STEPS = 5
INNER = {"admm": 1, "proximal": 10}  # about the same number of times that the data are looked at
SOLVERS = {"admm": by_admm, "proximal": by_proximal_gradient}

METHOD = Method(
    r3dm,
    R3dmSettings,
    "R3DM (paper C)",
    "#393b79",
    "|",
    needs=STACK_DENOISER,
    samples=True,
    space={
        "tv": decades(5e-4, 0.02),
        "l1": decades(1e-5, 2e-3),
        "slices": decades(0.01, 1.0),
    },
)
