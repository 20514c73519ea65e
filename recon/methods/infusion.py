"""INFusion: an implicit network whose slices a diffusion prior pulls to what it makes of them.

Source: paper B. Each prior step draws slices s of the network, adds noise, and follows the prior's
sampler back to a clean slice. The slices are then pulled towards this sample in a perceptual
distance, without a gradient through the sampler.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int
from pydantic import model_validator
from torch import Tensor

from recon.errors import ReconError
from recon.methods import DENOISER, Method
from recon.methods.common import (
    PIXEL,
    Callback,
    Count,
    Form,
    Pixel,
    Planes,
    Positive,
    checked,
    ignore,
    says,
)
from recon.methods.inr import SPACE, INRSettings, fitted
from recon.methods.ranges import decades
from recon.methods.slicewise import InRuns, Slices, random_slabs
from recon.mri.problem import Problem
from recon.networks import backbones
from recon.priors import Prior
from recon.priors.distances import SMALLEST, Kind, Towards, distance_of
from recon.priors.edm import SIGMA_MIN, levels, sample
from recon.representations import Representation


@checked
class INFusionSettings(INRSettings):
    """Paper B: a prior step in every iteration, ten noise levels, LPIPS with VGG-16, and a weight
    that falls from 1/500 to 0. Its largest noise is 1, in its own scale. At unit spread of the
    slices 0.3 was better on a validation slice (docs/results.md).
    """

    weight: Positive = says(1.0, "of the distance at the beginning; it falls linearly to 0")
    slices: Count = says(2, "drawn for a prior step, all of one orientation")
    every: Count = says(10, "iterations for which a drawn target is kept")
    steps: Count = says(10, "noise levels of the sampler")
    sigma: Positive = says(0.3, "the largest noise that is added, at unit spread of the slices")
    planes: Planes = says(3, "orientations whose slices are regularised")
    distance: Kind = says("features", "of slice and sample; see recon.priors.distances")
    backbone: str | None = says(None, "file with the weights of the distance vgg or alex")
    pixel: Pixel = says(1.0, PIXEL)

    @model_validator(mode="after")
    def _backbone(self):
        if self.distance in ("vgg", "alex"):
            backbones.check(self.distance, self.backbone)
        return self


@dataclass(frozen=True)
class Target:
    """What slices are pulled towards."""

    axis: int
    index: Int[Tensor, "n"]
    distance: Towards  # from what the prior makes of the slices
    drawn: float  # the probability with which each slice is drawn


def infusion(
    problem: Problem,
    prior: Prior,
    settings: INFusionSettings = INFusionSettings(),
    callback: Callback = ignore,
) -> Complex[Tensor, "x y z"]:
    """Minimises ``½‖Ax − y‖² + w Σ_s d(s, s̃)`` over the parameters of a representation.

    The sample s̃ is what the prior makes of ``s + σ n``, with ``σ = max(u, 1 − progress)`` times the
    setting ``sigma`` and u uniform in (0, 1). The deterministic sampler takes Euler steps. The
    distance d of a slice counts once for each of its pixels, so that with the distance mse and a
    target x̃ the penalty is ``w ½‖x − x̃‖²``. Slices that are drawn stand for those that are not.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    view = Slices(problem, prior, settings.pixel, settings.planes)
    distance = distance_of(settings.distance, prior, settings.backbone)
    target: Target | None = None

    def penalty(model: Representation, volume: Tensor, iteration: int) -> Tensor | None:
        nonlocal target
        left = 1 - iteration / settings.iterations
        if target is None or iteration % settings.every == 0:
            asked = view, model, volume, prior, settings, left, generator
            axis, index, clean, drawn = drawn_slices(*asked)
            target = Target(axis, index, distance(clean), drawn)
        volume = volume.clone().requires_grad_()
        slices = view.of(model, volume, target.axis, target.index)
        pixels = view.area(target.axis) * slices[0, 0].numel()
        share = settings.weight * left * pixels / target.drawn
        (share * target.distance(slices).sum()).backward()
        return volume.grad

    return fitted(problem, settings, penalty, callback, "infusion")


@torch.no_grad()
def drawn_slices(
    view: Slices,
    model: Representation,
    volume: Complex[Tensor, "x y z"],
    prior: Prior,
    settings: INFusionSettings,
    left: float,
    generator: torch.Generator,
) -> tuple[int, Int[Tensor, "n"], Float[Tensor, "n 2 h w"], float]:
    """Random slices of one random orientation: axis, positions, what the prior makes of them, and
    the probability with which each is drawn.

    ``left`` is the share of the iterations that is left, which is the least noise of paper B.
    """
    axis = view.axes[int(torch.randint(len(view.axes), (1,), generator=generator))]
    index, drawn = random_slabs(view.shape[axis], settings.slices, 1, generator)
    index = index.sort().values.to(volume.device)
    slices = view.of(model, volume, axis, index)
    noise = torch.randn(slices.shape, generator=generator).to(slices.device)
    uniform = float(torch.rand((), generator=generator))
    sigma = max(settings.sigma * max(uniform, left), 2 * SIGMA_MIN)
    sigmas = levels(settings.steps, sigma)
    clean = sample(InRuns(prior, index), slices + sigma * noise, sigmas, heun=False)
    return axis, index, clean, drawn


def check_slices(problem: Problem, settings: INFusionSettings) -> None:
    """Refuses a backbone for which slices of some orientation are too small."""
    shape, smallest = problem.operator.shape, SMALLEST.get(settings.distance, 0)
    for axis in problem.orientations(settings.planes):
        height, width = (n for a, n in enumerate(shape) if a != axis)
        if min(height, width) < smallest:
            few = f"distance {settings.distance} needs slices of {smallest} pixels along an axis"
            raise ReconError(f"{few}, and some have {height}×{width}; take the distance features")


def over(form: str | dict, label: str, color: str, marker: str) -> Method:
    """The record of this method over another representation."""

    @checked
    class FormSettings(INFusionSettings):
        representation: Form = says(form, "what the volume is made of")

    space = WEIGHT | {"learning_rate": SPACE["learning_rate"]}
    return Method(infusion, FormSettings, label, color, marker, space=space, **SHARED)


SHARED = {"needs": DENOISER, "check": check_slices, "files": ("backbone",)}
WEIGHT = {"weight": decades(0.03, 10.0)}

METHOD = Method(
    infusion,
    INFusionSettings,
    "INFusion (paper B)",
    "#d6616b",
    "H",
    space=WEIGHT | SPACE,
    **SHARED,
)
