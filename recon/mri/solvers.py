"""Solvers of linear systems, and differences between neighbouring slices."""

from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor

# Relative to the norm of the right-hand side. Below it, steps divide the rounding of complex64 by
# itself: `Sense.normal` of one coil is a projection, and CG is done after one step.
TOLERANCE = 1e-5


def inner(a: Complex[Tensor, "*shape"], b: Complex[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Real part of the inner product ``⟨a, b⟩ = Σ conj(a) b``."""
    return torch.vdot(a.flatten(), b.flatten()).real


def conjugate_gradient(
    operator: Callable[[Complex[Tensor, "*shape"]], Complex[Tensor, "*shape"]],
    rhs: Complex[Tensor, "*shape"],
    start: Complex[Tensor, "*shape"],
    iterations: int,
    tolerance: float = TOLERANCE,
) -> Complex[Tensor, "*shape"]:
    """Solves ``operator(x) = rhs`` for a Hermitian positive definite operator.

    Stops after ``iterations`` steps, or when the residual norm falls below ``tolerance`` times the
    norm of ``rhs``. In between it also stops where the operator no longer acts on the direction, as
    that of one coil does on all that was not measured. Source: Hestenes and Stiefel 1952.
    """
    x = start.clone()
    residual = rhs - operator(x)
    direction = residual.clone()
    rho = inner(residual, residual)
    goal = tolerance**2 * inner(rhs, rhs)
    for _ in range(iterations):
        if rho <= goal or rho == 0:
            break
        applied = operator(direction)
        curvature = inner(direction, applied)
        if curvature <= 0:
            break
        step = rho / curvature
        x += step * direction
        residual -= step * applied
        rho_new = inner(residual, residual)
        direction = residual + (rho_new / rho) * direction
        rho = rho_new
    return x


def difference(
    x: Complex[Tensor, "*shape"], axis: int, wraps: bool = True
) -> Complex[Tensor, "*shape"]:
    """``D x``: each next slice minus this one.

    The first slice follows the last one, as in a Fourier volume, or with ``wraps=False`` none does.
    """
    d = x.roll(-1, axis) - x
    if not wraps:
        d.select(axis, -1).zero_()
    return d


def difference_adjoint(
    d: Complex[Tensor, "*shape"], axis: int, wraps: bool = True
) -> Complex[Tensor, "*shape"]:
    """``Dᴴ d``, the adjoint of `difference`."""
    if not wraps:
        d = d.clone()
        d.select(axis, -1).zero_()
    return d.roll(1, axis) - d
