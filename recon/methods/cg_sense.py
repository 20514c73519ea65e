"""CG-SENSE (Pruessmann et al. 2001)."""

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.methods import Method
from recon.methods.common import Callback, Count, NonNegative, checked, ignore, says
from recon.methods.ranges import decades
from recon.mri.problem import Problem
from recon.mri.solvers import conjugate_gradient


@checked
class CgSenseSettings:
    """``weight`` is the Tikhonov parameter. Stopping after few iterations also regularises."""

    weight: NonNegative = says(0.01, "of ½‖x‖², relative to the data term")
    iterations: Count = says(30, "conjugate gradients, at most")


def cg_sense(
    problem: Problem, settings: CgSenseSettings = CgSenseSettings(), callback: Callback = ignore
) -> Complex[Tensor, "x y z"]:
    """Minimises ``½‖Ax − y‖² + ½ weight ‖x‖²`` by conjugate gradients (Pruessmann et al. 2001)."""

    def operator(x: Tensor) -> Tensor:
        return problem.operator.normal(x) + settings.weight * x

    return conjugate_gradient(
        operator, problem.rhs, torch.zeros_like(problem.rhs), settings.iterations
    )


METHOD = Method(
    cg_sense,
    CgSenseSettings,
    "CG-SENSE",
    "C1",
    "v",
    space={"weight": decades(1e-4, 0.3), "iterations": decades(5, 60, least=1)},
)
