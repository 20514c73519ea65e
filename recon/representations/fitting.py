"""Fitting a representation to a scan: Adam on the data term and on whatever penalty a method
brings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.mri.problem import Problem
from recon.mri.solvers import inner
from recon.progress import track
from recon.representations import Representation

# Adds the gradient of a penalty to the parameters by a backward pass of its own, or returns the
# gradient with respect to the
# volume that it is given, which then goes back together with that of the data term.
Penalty = Callable[[Representation, Complex[Tensor, "x y z"], int], Tensor | None]


@dataclass(frozen=True)
class Descent:
    """How long, and at which learning rates."""

    iterations: int
    rate: float
    # halved where the data term stalls (paper A), or down to 0 at the end
    decay: Literal["plateau", "linear"] = "plateau"
    patience: int = 20  # iterations without a fall of the data term that count as a stall


def fit(
    model: Representation,
    problem: Problem,
    penalty: Penalty,
    descent: Descent,
    callback: Callable[[int, Tensor], None],
    label: str = "fit",
) -> Complex[Tensor, "x y z"]:
    """Minimises ``½‖Ax − y‖² + penalty`` over the parameters of ``model`` by Adam; returns the
    volume.

    The volume x is held to zero where no coil sees. ``penalty`` is called once an iteration, before
    the step.
    """
    support, energy = problem.operator.support, 0.5 * float(problem.kspace.abs().square().sum())
    optimizer = torch.optim.Adam(
        model.parameter_groups(descent.rate), lr=descent.rate, betas=(0.9, 0.99)
    )
    decay = rate_decay(optimizer, descent)
    for iteration in track(range(descent.iterations), label):
        optimizer.zero_grad()
        volume = support * model.volume()
        gradient = problem.gradient(volume.detach())
        # ½‖Ax − y‖², from what is at hand
        data_term = energy + 0.5 * float(inner(volume.detach(), gradient - problem.rhs))
        pull = penalty(model, volume.detach(), iteration)
        gradient = gradient if pull is None else gradient + pull
        torch.view_as_real(volume).backward(torch.view_as_real(gradient))
        optimizer.step()
        decay(data_term)
        callback(iteration, volume.detach())
    return (support * model.volume()).detach()


def rate_decay(optimizer: torch.optim.Optimizer, descent: Descent) -> Callable[[float], None]:
    """What lowers the rates, called after every iteration with its data term."""
    if descent.decay == "linear":
        linear = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, descent.iterations)
        return lambda data_term: linear.step()
    return torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=descent.patience
    ).step
