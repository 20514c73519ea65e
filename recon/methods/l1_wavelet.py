"""Compressed sensing with the ℓ1 norm of wavelet details."""

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.methods import Method
from recon.methods.common import Callback, Count, Positive, checked, ignore
from recon.methods.ranges import decades
from recon.mri.problem import Problem
from recon.mri.wavelets import shrink_details
from recon.progress import track


@checked
class L1WaveletSettings:
    """``weight`` multiplies the ℓ1 norm of the detail bands."""

    weight: Positive = 0.005
    iterations: Count = 100
    wavelet: str = "db2"
    levels: Count = 3
    # A new cyclic shift in each iteration makes the transform shift invariant on average.
    random_shifts: bool = True
    seed: int = 0


def l1_wavelet(
    problem: Problem, settings: L1WaveletSettings = L1WaveletSettings(), callback: Callback = ignore
) -> Complex[Tensor, "x y z"]:
    """Minimises ``½‖Ax − y‖² + weight ‖Ψx‖₁`` over the detail bands of a 3D wavelet transform Ψ.

    The solver is FISTA (Beck and Teboulle 2009) with gradient restart (O'Donoghue and Candès 2015).
    Its step is 1, because maps of unit norm bound ``AᴴA`` by the identity. The approximation band
    is not penalised, because it is not sparse.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    step = 1 / float(problem.operator.maps.abs().square().sum(0).max())
    x = z = problem.rhs
    momentum = 1.0
    for iteration in track(range(settings.iterations), "l1-wavelet"):
        most = 2**settings.levels if settings.random_shifts else 1
        shift = tuple(torch.randint(most, (3,), generator=generator).tolist())
        new = shrink_details(
            z - step * problem.gradient(z),
            step * settings.weight,
            settings.wavelet,
            settings.levels,
            shift,
        )
        new = problem.operator.support * new  # shrinkage leaks where no coil sees
        if torch.vdot((z - new).flatten(), (new - x).flatten()).real > 0:
            momentum = 1.0
        faster = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        z = new + (momentum - 1) / faster * (new - x)
        x, momentum = new, faster
        callback(iteration, x)
    return x


METHOD = Method(
    l1_wavelet, L1WaveletSettings, "ℓ1-wavelet", "C2", "s", space={"weight": decades(5e-4, 0.05)}
)
