"""Solvers of linear systems, and differences between neighbouring slices."""

from collections.abc import Callable

import torch
from jaxtyping import Complex
from torch import Tensor


def inner(a: Complex[Tensor, "..."], b: Complex[Tensor, "..."]) -> Tensor:
    """Real part of ``⟨a, b⟩ = Σ conj(a) b``."""
    return torch.vdot(a.flatten(), b.flatten()).real


def conjugate_gradient(
    operator: Callable[[Tensor], Tensor],
    rhs: Tensor,
    start: Tensor,
    iterations: int,
    tolerance: float = 0.0,
) -> Tensor:
    """Solves ``operator(x) = rhs`` for a Hermitian positive definite operator (Hestenes and Stiefel
    1952).

    Stops after ``iterations`` steps or when the residual norm falls below ``tolerance`` times the
    norm of ``rhs``.
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


def difference(x: Tensor, axis: int) -> Tensor:
    """``D x``: the next slice minus this one; the last slice is followed by the first."""
    return x.roll(-1, axis) - x


def difference_adjoint(d: Tensor, axis: int) -> Tensor:
    """``Dᴴ d``."""
    return d.roll(1, axis) - d
