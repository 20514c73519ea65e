"""MoDL (Aggarwal, Mani and Jacob 2019): a network and a data step, unrolled.

``x ← (AᴴA + λ)⁻¹ (Aᴴy + λ D(x))``, with one network D and one λ for all iterations. Conjugate
gradients solve the data step, and again in the backward pass, so that no iterate of theirs is kept.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Complex, Float
from pydantic import Field
from torch import Tensor, nn

from recon.mri.problem import Problem
from recon.mri.slices import as_slices, as_volume
from recon.mri.solvers import TOLERANCE, conjugate_gradient, inner
from recon.networks import Architecture, ArchitectureSettings
from recon.networks.supervised import (
    Pair,
    Reconstructor,
    SupervisedTraining,
    across,
    check_reconstruction,
    in_batches,
)
from recon.networks.trained import Kind


class ModlConfig(ArchitectureSettings):
    """The settings of the paper: 5 layers of 64 channels, 10 iterations, 10 CG steps, λ = 0.05."""

    kind: Literal["modl"] = "modl"
    channels: int = Field(64, ge=1, le=4096)
    layers: int = Field(5, ge=2, le=50)
    unrolled: int = Field(10, ge=1, le=100)
    cg_iterations: int = Field(10, ge=1, le=1000)
    weight: float = Field(0.05, gt=0)  # λ at the start


class Modl(nn.Module):
    """The denoiser ``D(x) = x + cnn(x)``, and λ."""

    def __init__(self, config: ModlConfig = ModlConfig()):
        super().__init__()
        self.config = config
        widths = [2, *[config.channels] * (config.layers - 1), 2]
        parts: list[nn.Module] = []
        for number, pair in enumerate(zip(widths, widths[1:], strict=False), start=1):
            parts += [nn.Conv2d(*pair, 3, padding=1), nn.BatchNorm2d(pair[1])]
            parts += [nn.ReLU()] if number < config.layers else []
        self.cnn = nn.Sequential(*parts)
        nn.init.zeros_(parts[-1].weight)  # it begins as the identity
        self.log_weight = nn.Parameter(torch.tensor([math.log(config.weight)]))

    def forward(self, x: Float[Tensor, "n 2 h w"]) -> Float[Tensor, "n 2 h w"]:
        """The denoised slices."""
        return x + self.cnn(x)


class DataStep(torch.autograd.Function):
    """``(N + λ)⁻¹ (b + λ z)``; differentiable in z and λ.

    With ``q = (N + λ)⁻¹ g`` for the gradient g of the result, those of z and λ are ``λ q`` and
    ``Re⟨q, z − x⟩``.
    """

    @staticmethod
    def forward(
        ctx,
        z: Complex[Tensor, "*shape"],
        weight: Float[Tensor, "1"],
        normal: Callable[[Tensor], Tensor],
        rhs: Complex[Tensor, "*shape"],
        iterations: int,
        tolerance: float = TOLERANCE,
    ) -> Complex[Tensor, "*shape"]:
        """The solution, by conjugate gradients that start at z."""

        def solve(b: Tensor, start: Tensor) -> Tensor:
            return conjugate_gradient(
                lambda v: normal(v) + weight * v, b, start, iterations, tolerance
            )

        x = solve(rhs + weight * z, z)
        ctx.solve = solve
        ctx.save_for_backward(z, weight, x)
        return x

    @staticmethod
    def backward(ctx, gradient: Tensor):
        """The gradients of z and λ."""
        z, weight, x = ctx.saved_tensors
        q = ctx.solve(gradient, torch.zeros_like(gradient))
        return weight * q, inner(q, z - x).view(1).to(weight.dtype), None, None, None, None


class ModlReconstructor(Reconstructor):
    """The unrolled iterations."""

    def reconstruct(self, problem: Problem) -> Complex[Tensor, "x y z"]:
        """The volume, in the scale of the problem."""
        axis, config = across(problem.operator), self.network.config
        weight, x = self.network.log_weight.exp(), problem.rhs
        step = problem.operator.normal, problem.rhs, config.cg_iterations
        for _ in range(config.unrolled):
            z = as_volume(in_batches(self.network, as_slices(x, axis), self.batch), axis)
            x = DataStep.apply(problem.operator.support * z, weight, *step)
        return x


class ModlTraining(SupervisedTraining):
    """MoDL's loss is the mean squared error. Theirs is trained with one iteration first, and then
    with all; ours with all from the beginning.
    """

    kind: Literal["modl"] = "modl"
    network: ModlConfig = ModlConfig()


def reconstructor(network: nn.Module, settings: SupervisedTraining) -> ModlReconstructor:
    """The model of a network."""
    return ModlReconstructor(network)


def loss(model: ModlReconstructor, batch: Pair, settings: ModlTraining) -> Float[Tensor, ""]:
    """The mean squared error of both channels."""
    return (model.reconstruct(batch.problem) - batch.target).abs().square().mean()


ARCHITECTURE = Architecture(Modl, ModlConfig)
KIND = Kind(
    reconstructor,
    ModlTraining,
    loss=loss,
    batches="pairs",
    check=check_reconstruction,
    separable=False,  # batch norm and conjugate gradients mix the slices of a batch
)
