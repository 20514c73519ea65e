"""What methods share: the form of their settings, the callback that watches them, and total variation across slices."""

from collections.abc import Callable
from typing import Annotated, Literal

from jaxtyping import Complex
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from recon.diffusion import Prior, as_slices, as_volume, planes
from recon.errors import ReconError
from recon.sense import Problem, conjugate_gradient
from recon.wavelets import soft

Volume = Complex[Tensor, "x y z"]
T = 1000  # the noisiest timestep of a prior's schedule

settings = dataclass(frozen=True, config=ConfigDict(extra="forbid"))  # decorator of a method's settings: values are checked

Count = Annotated[int, Field(ge=1, le=100_000)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Timestep = Annotated[float, Field(gt=0, le=T)]
Axis = Literal[0, 1, 2]
Planes = Annotated[int, Field(ge=1, le=3)]  # how many orientations are regularised: across z alone, across y and z, or all three

Callback = Callable[[int, Tensor], None]  # called with the iteration and the volume, in the scale of the problem


def ignore(iteration: int, volume: Tensor) -> None:
    """The callback of a caller who does not watch."""


def clean_estimate(problem: Problem, prior: Prior, x: Volume, sigma: float, axis: int) -> Volume:
    """``E[x0 | x0 + σ n = x]`` of all slices across ``axis``, and zero where no coil sees.

    References, and with them what priors were trained on, are zero there. Nothing else would hold a sampler's state in such places:
    with a prior of another resolution it drifts away, and pulls the network off wherever its view reaches them.
    """
    return problem.operator.support * as_volume(prior.denoise(as_slices(x, axis), sigma), axis)


def check_plane(axis: int, shape: tuple[int, int, int]) -> None:
    """Refuses an axis whose slices are not images: of a 2D scan every axis but the last."""
    if axis not in planes(shape):
        raise ReconError(f"slices of a {'×'.join(map(str, shape))} volume across axis {axis} are lines; choose from axes {planes(shape)}")


def difference(x: Tensor, axis: int) -> Tensor:
    """``D x``: the next slice minus this one; the last slice is followed by the first."""
    return x.roll(-1, axis) - x


def difference_adjoint(d: Tensor, axis: int) -> Tensor:
    """``Dᴴ d``."""
    return d.roll(1, axis) - d


def admm_tv(
    problem: Problem, x: Volume, d: Volume, u: Volume, axis: int, weight: float, rho: float, iterations: int
) -> tuple[Volume, Volume, Volume]:
    """One iteration of ADMM on ``½‖Ax − y‖² + weight ‖Dx‖₁`` from x, with D the difference across slices (Chung et al. 2023).

    The x-update is ``iterations`` steps of CG on ``(AᴴA + ρDᴴD) x = Aᴴy + ρDᴴ(d − u)``. Returns x, the split variable d, the dual u.
    """

    def operator(v: Tensor) -> Tensor:
        return problem.operator.normal(v) + rho * difference_adjoint(difference(v, axis), axis)

    rhs = problem.rhs + rho * difference_adjoint(d - u, axis)
    x = conjugate_gradient(operator, rhs, x, iterations, tolerance=1e-4)  # singular: beyond it CG would amplify rounding without bound
    gradient = difference(x, axis)
    d = soft(gradient + u, weight / rho)
    return x, d, u + gradient - d
