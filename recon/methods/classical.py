"""Reconstructions without a learned prior: zero-filled, CG-SENSE and ℓ1-wavelet compressed sensing."""

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.methods.common import Callback, Count, NonNegative, Positive, ignore, settings
from recon.progress import track
from recon.sense import Problem, conjugate_gradient
from recon.wavelets import shrink_details


@settings
class ZeroFilledSettings:
    """Nothing to choose."""


def zero_filled(
    problem: Problem, prior: None = None, settings: ZeroFilledSettings = ZeroFilledSettings(), callback: Callback = ignore
) -> Complex[Tensor, "x y z"]:
    """The adjoint ``Aᴴ y``: missing samples taken as zero."""
    return problem.rhs.clone()


@settings
class CgSenseSettings:
    """``weight`` is the Tikhonov parameter; few iterations also regularise."""

    weight: NonNegative = 0.01
    iterations: Count = 30


def cg_sense(
    problem: Problem, prior: None = None, settings: CgSenseSettings = CgSenseSettings(), callback: Callback = ignore
) -> Complex[Tensor, "x y z"]:
    """Minimises ``½‖Ax − y‖² + ½ weight ‖x‖²`` by conjugate gradients (Pruessmann et al. 2001)."""

    def operator(x: Tensor) -> Tensor:
        return problem.operator.normal(x) + settings.weight * x

    return conjugate_gradient(operator, problem.rhs, torch.zeros_like(problem.rhs), settings.iterations, tolerance=1e-5)


@settings
class L1WaveletSettings:
    """``weight`` multiplies the ℓ1 norm of the detail bands."""

    weight: Positive = 0.005
    iterations: Count = 100
    wavelet: str = "db2"
    levels: Count = 3
    random_shifts: bool = True  # a new cyclic shift per iteration makes the transform translation invariant on average
    seed: int = 0


def l1_wavelet(
    problem: Problem, prior: None = None, settings: L1WaveletSettings = L1WaveletSettings(), callback: Callback = ignore
) -> Complex[Tensor, "x y z"]:
    """Minimises ``½‖Ax − y‖² + weight ‖Ψx‖₁`` over the detail bands of a 3D wavelet transform Ψ.

    FISTA (Beck and Teboulle 2009) with gradient restart (O'Donoghue and Candès 2015); the step is 1 because unit-norm maps
    bound ``AᴴA`` by the identity. The approximation band is not penalised: it is not sparse.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    step = 1 / float(problem.operator.maps.abs().square().sum(0).max())
    x = z = problem.rhs
    momentum = 1.0
    for iteration in track(range(settings.iterations), "l1-wavelet"):
        most = 2**settings.levels if settings.random_shifts else 1
        shift = tuple(torch.randint(most, (3,), generator=generator).tolist())
        new = shrink_details(z - step * problem.gradient(z), step * settings.weight, settings.wavelet, settings.levels, shift)
        new = problem.operator.support * new  # shrinkage leaks where no coil sees
        if torch.vdot((z - new).flatten(), (new - x).flatten()).real > 0:
            momentum = 1.0
        faster = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        z = new + (momentum - 1) / faster * (new - x)
        x, momentum = new, faster
        callback(iteration, x)
    return x
