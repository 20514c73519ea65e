"""Fitting a representation to a scan by Adam, on the data term and a method's own penalty."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Complex
from torch import Tensor
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau

from recon.mri.problem import Problem
from recon.mri.solvers import inner
from recon.progress import track
from recon.representations import Growing, Representation

# Takes the representation, its volume and the number of the iteration. Either it adds its gradient
# to the parameters by a backward pass of its own, and returns None. Or it returns its gradient with
# respect to the volume, which then goes back together with that of the data term.
Penalty = Callable[[Representation, Complex[Tensor, "x y z"], int], Complex[Tensor, "x y z"] | None]


@dataclass(frozen=True)
class Descent:
    """How long, and at which learning rates."""

    iterations: int
    rate: float
    # "plateau" halves the rate where the data term stalls (paper A); "linear" ends at 0.
    decay: Literal["plateau", "linear"] = "plateau"
    patience: int = 20  # A stall is this many iterations without a fall of the data term.


def never(iteration: int, volume: Complex[Tensor, "x y z"]) -> bool:
    """Fitting goes on to the end."""
    return False


def fit(
    model: Representation,
    problem: Problem,
    penalty: Penalty,
    descent: Descent,
    callback: Callable[[int, Complex[Tensor, "x y z"]], None],
    label: str = "fit",
    stop: Callable[[int, Complex[Tensor, "x y z"]], bool] = never,
) -> Complex[Tensor, "x y z"]:
    """Minimises ``½‖Ax − y‖² + penalty`` over the parameters of ``model`` by Adam.

    Returns the volume x, which is held to zero where no coil sees. ``penalty`` is called once an
    iteration, before the step; ``callback`` and ``stop`` after it, with the volume before the step.
    """
    support, energy = problem.operator.support, 0.5 * float(problem.kspace.abs().square().sum())
    groups = model.parameter_groups(descent.rate)
    optimizer = torch.optim.Adam(groups, lr=descent.rate, betas=(0.9, 0.99))
    decay = rate_decay(optimizer, descent)
    for iteration in track(range(descent.iterations), label):
        optimizer.zero_grad()
        volume = support * model.volume()
        gradient = problem.gradient(volume.detach())
        # This is ½‖Ax − y‖², without another application of A.
        data_term = energy + 0.5 * float(inner(volume.detach(), gradient - problem.rhs))
        pull = penalty(model, volume.detach(), iteration)
        gradient = gradient if pull is None else gradient + pull
        torch.view_as_real(volume).backward(torch.view_as_real(gradient))
        optimizer.step()
        if isinstance(model, Growing):
            model.grow(optimizer, (iteration + 1) / descent.iterations)
        decay(data_term)
        callback(iteration, volume.detach())
        if stop(iteration, volume.detach()):
            break
    return (support * model.volume()).detach()


def rate_decay(optimizer: torch.optim.Optimizer, descent: Descent) -> Callable[[float], None]:
    """Lowers the rates when it is called, after every iteration, with the data term."""
    if descent.decay == "linear":
        linear = LinearLR(optimizer, 1.0, 0.0, descent.iterations)
        return lambda data_term: linear.step()
    return ReduceLROnPlateau(optimizer, factor=0.5, patience=descent.patience).step
