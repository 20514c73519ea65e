"""The zero-filled reconstruction."""

from jaxtyping import Complex
from torch import Tensor

from recon.methods import Method
from recon.methods.common import Callback, checked, ignore
from recon.mri.problem import Problem


@checked
class ZeroFilledSettings:
    """This method has no settings."""


def zero_filled(
    problem: Problem,
    settings: ZeroFilledSettings = ZeroFilledSettings(),
    callback: Callback = ignore,
) -> Complex[Tensor, "x y z"]:
    """The adjoint ``Aᴴ y``: missing samples are taken as zero."""
    return problem.rhs.clone()


METHOD = Method(zero_filled, ZeroFilledSettings, "Zero-filled", "C0", "o")
