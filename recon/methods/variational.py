"""Variational reconstruction with a diffusion prior on random slices (paper A, section 4.1).

It minimises ``½‖Ax − y‖² + λ E[R(s)]`` over the slices s of x, in all three planes. Paper A's
gradient of the regulariser on a slice is ``w α_t (ε̂ − ε)`` with the weight w = σ_t/α_t. It leaves
out the Jacobian of the network. A noise predictor has ``ε̂ − ε = α_t (s − D(s + σ n, σ)) / σ_t``,
where D is its denoiser and σ = σ_t/α_t the noise-to-signal ratio. So the gradient is
``α_t (s − D(s + σ n, σ))``, and any prior that can denoise will do.
"""

from typing import Literal

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from recon import representations
from recon.methods import DENOISER, Method
from recon.methods.common import (
    PIXEL,
    SEED,
    Callback,
    Count,
    Form,
    Pixel,
    Planes,
    Positive,
    Seed,
    Timestep,
    checked,
    ignore,
    says,
)
from recon.methods.ranges import decades
from recon.methods.slicewise import Slices, denoise_runs, random_slabs
from recon.mri.problem import Problem
from recon.priors import Prior
from recon.priors.schedule import T, ddpm_sigma
from recon.representations import Representation
from recon.representations.fitting import Descent, fit

Weighting = Literal["paper", "code"]
Start = Literal["zero_filled", "pseudoinverse"]
START = 10  # iterations of the pseudoinverse


@checked
class VariationalSettings:
    """Paper A: 200 iterations of Adam, uniform t up to 0.4 T, 50 slices per axis in slabs of 5.

    Its λ and its rate of 2 belong to its own scaling and mean losses; ours belong to that of
    `Problem`. The paper halves the rate where the data term stalls. The data term is noisy, so in
    short runs the last rate is a matter of chance, and the result varies by up to a decibel. A
    linear decay avoids this.
    """

    weight: Positive = says(0.05, "λ, in the scale of `Problem`, relative to ½‖Ax − y‖²")
    iterations: Count = says(200, "of Adam")
    learning_rate: Positive = says(0.05, "of Adam, in the scale of `Problem`")
    decay: Literal["plateau", "linear"] = says(
        "plateau", "how the rate falls: halved where the data term stalls (paper A), or linearly"
    )
    patience: Count = says(20, "iterations without a fall of the data term that are a stall")
    schedule: Literal["uniform", "annealed"] = says("uniform", "of the timesteps")
    t_max: Timestep = says(400.0, "T', the highest timestep, of 1000")
    t_min: Timestep = says(1.0, "the lowest timestep")
    slices: Count = says(50, "slices per axis and iteration")
    slab: Count = says(5, "neighbouring slices drawn together")
    planes: Planes = says(3, "orientations whose slices are regularised")
    representation: Form = says("voxels", "what the volume is made of; see recon.representations")
    start: Start = says("zero_filled", "the volume that the representation starts at")
    pixel: Pixel = says(1.0, PIXEL + " (paper A, equation 4)")
    weighting: Weighting = says("paper", "of the slices of an iteration; see `regulariser`")
    prior_scale: Positive = says(
        1.0, "the prior sees slices this many times as large; 2 in paper A's code"
    )
    seed: Seed = SEED


def timesteps(
    settings: VariationalSettings, iteration: int, count: int, generator: torch.Generator
) -> Float[Tensor, "n"]:
    """One timestep per slice: uniform in [t_min, t_max], or falling geometrically (annealed)."""
    if settings.schedule == "uniform":
        return settings.t_min + (settings.t_max - settings.t_min) * torch.rand(
            count, generator=generator
        )
    part = iteration / max(1, settings.iterations - 1)
    return torch.full((count,), settings.t_max * (settings.t_min / settings.t_max) ** part)


def regulariser(
    slices: Float[Tensor, "n 2 h w"],
    index: Int[Tensor, "n"],
    prior: Prior,
    t: Float[Tensor, "n"],
    generator: torch.Generator,
    weighting: Weighting = "paper",
    scale: float = 1.0,
) -> Float[Tensor, "n 2 h w"]:
    """Gradient of the regulariser on each slice s, which lies at position ``index``.

    It is ``α_t (s − D(s + σ n, σ))``. With ``weighting="code"`` it is that of paper A's code, which
    multiplies the means of w and of the residual: ``mean(w) α_t (ε̂ − ε)``, where w = σ. The prior
    sees the slices ``scale`` times as large.
    """
    sigma = torch.tensor([ddpm_sigma(float(step)) for step in t], device=slices.device)
    level, scaled = sigma.view(-1, 1, 1, 1), scale * slices
    noise = torch.randn(slices.shape, generator=generator).to(slices.device)
    denoised = denoise_runs(prior, scaled + level * noise, sigma, index)
    gradient = scale * ((1 + level**2).rsqrt() * (scaled - denoised))
    return gradient if weighting == "paper" else gradient * (level.mean() / level)


def variational(
    problem: Problem,
    prior: Prior,
    settings: VariationalSettings = VariationalSettings(),
    callback: Callback = ignore,
) -> Complex[Tensor, "x y z"]:
    """Paper A's method: Adam on the parameters of a representation, which starts at the zero-filled
    volume or at the pseudoinverse.

    Per iteration and axis, about ``slices`` random slices are regularised. Their gradient is
    divided by the number of planes and by the probability of being drawn. A pixel counts by its
    area. So λ does not depend on how many are drawn nor on the size of the prior's pixels, and
    every voxel is regularised alike in expectation.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    view = Slices(problem, prior, settings.pixel, settings.planes)

    def penalty(model: Representation, volume: Tensor, iteration: int) -> Tensor | None:
        volume = volume.clone().requires_grad_()  # holds the slices on the measurement's grid
        for axis in view.axes:
            sizes = view.shape[axis], settings.slices, settings.slab
            index, drawn = random_slabs(*sizes, generator)
            index = index.to(volume.device)
            slices = view.of(model, volume, axis, index)
            t = timesteps(settings, iteration, len(index), generator)
            share = settings.weight * view.area(axis) / (len(view.axes) * drawn)
            options = t, generator, settings.weighting, settings.prior_scale
            slices.backward(share * regulariser(slices.detach(), index, prior, *options))
        return volume.grad

    pseudoinverse = settings.start == "pseudoinverse"
    start = problem.pseudoinverse(START) if pseudoinverse else problem.rhs
    model = representations.make(settings.representation, start)
    descent = Descent(
        settings.iterations, settings.learning_rate, settings.decay, settings.patience
    )
    return fit(model, problem, penalty, descent, callback, "variational")


# Both hold the paper's values, T' = 0.4 T among them, with room on either side.
SPACE = {"weight": decades(0.01, 1.0), "t_max": decades(10, 1000, least=1, most=T)}


def over(form: str | dict, label: str, color: str, marker: str) -> Method:
    """The record of this method over another representation, with the prior at its own pixels.

    It starts at the pseudoinverse (paper A, section 4.2), and its rate is tuned as well.
    """

    @checked
    class FieldSettings(VariationalSettings):
        learning_rate: Positive = says(0.1, "of Adam, in the scale of `Problem`")
        decay: Literal["plateau", "linear"] = says("linear", "how the rate falls, see variational")
        representation: Form = says(form, "what the volume is made of")
        start: Start = says("pseudoinverse", "the volume that the representation starts at")
        pixel: Pixel = says("prior", PIXEL + " (paper A, equation 4)")

    # Grids do best with small steps from the pseudoinverse, and functions with larger ones. Below
    # the least rate nothing moves by more than a tenth of the volume's spread in 100 steps.
    space = SPACE | {"learning_rate": decades(0.005, 0.5, least=0.002)}
    return Method(variational, FieldSettings, label, color, marker, needs=DENOISER, space=space)


METHOD = Method(
    variational,
    VariationalSettings,
    "Variational (paper A)",
    "C3",
    "D",
    needs=DENOISER,
    space=SPACE,
)
