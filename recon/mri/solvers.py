"""Solvers of linear systems, and differences between neighbouring slices."""

from collections.abc import Callable

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def inner(a: Complex[Tensor, "*shape"], b: Complex[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Real part of the inner product ``⟨a, b⟩ = Σ conj(a) b``."""
    return torch.vdot(a.flatten(), b.flatten()).real


def conjugate_gradient(
    operator: Callable[[Complex[Tensor, "*shape"]], Complex[Tensor, "*shape"]],
    rhs: Complex[Tensor, "*shape"],
    start: Complex[Tensor, "*shape"],
    iterations: int,
    tolerance: float = 0.0,
) -> Complex[Tensor, "*shape"]:
    """Solves ``operator(x) = rhs`` for a Hermitian positive definite operator.

    Stops after ``iterations`` steps, or when the residual norm falls below ``tolerance`` times the
    norm of ``rhs``. Source: Hestenes and Stiefel 1952.
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
        step = rho / inner(direction, applied)
        x += step * direction
        residual -= step * applied
        rho_new = inner(residual, residual)
        direction = residual + (rho_new / rho) * direction
        rho = rho_new
    return x


def difference(x: Complex[Tensor, "*shape"], axis: int) -> Complex[Tensor, "*shape"]:
    """``D x``: each next slice minus this one; the first slice follows the last one."""
    return x.roll(-1, axis) - x


def difference_adjoint(d: Complex[Tensor, "*shape"], axis: int) -> Complex[Tensor, "*shape"]:
    """``Dᴴ d``, the adjoint of `difference`."""
    return d.roll(1, axis) - d
