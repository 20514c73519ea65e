"""GRAPPA (Griswold et al. 2002), the calibrated filling of k-space."""

from typing import Annotated

from jaxtyping import Complex
from pydantic import Field
from torch import Tensor

from recon.methods import Method
from recon.methods.common import Callback, NonNegative, checked, ignore, says
from recon.methods.ranges import decades, whole
from recon.mri.grappa import grappa as filled
from recon.mri.problem import Problem
from recon.mri.sense import Sense
from recon.progress import note


@checked
class GrappaSettings:
    """pygrappa's: neighbourhoods of 5 along each axis, λ = 0.01."""

    weight: NonNegative = says(0.01, "λ of the kernels, relative to the calibration data")
    reach: Annotated[int, Field(ge=1, le=7)] = says(
        2, "samples of a neighbourhood on either side, along each axis"
    )


def grappa(
    problem: Problem, settings: GrappaSettings = GrappaSettings(), callback: Callback = ignore
) -> Complex[Tensor, "x y z"]:
    """GRAPPA: fills what was not measured from neighbours in k-space, then combines the coils.

    The coils are combined with the maps of the problem, ``Σ conj(S) F⁻¹ k``, as references are.
    Samples without any measured neighbour stay zero; their number is printed. Raises `ReconError`
    where the fully sampled centre is smaller than a neighbourhood.
    """
    operator = problem.operator
    found = filled(problem.kspace, operator.mask, 2 * settings.reach + 1, settings.weight, operator.stack)
    empty, every = int(found.missing.sum()), operator.mask.numel()
    if empty:
        far = f"{empty} of {every} phase encodes have no measured neighbour and stay zero"
        note(f"grappa: {far}; take a larger reach")
    return Sense(operator.maps, operator.mask | True, stack=operator.stack).adjoint(found.kspace)


METHOD = Method(
    grappa,
    GrappaSettings,
    "GRAPPA",
    "#17becf",
    "+",
    space={"weight": decades(1e-4, 1.0), "reach": whole(1, 2)},
)
