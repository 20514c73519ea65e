"""An implicit network fitted to a scan, regularised by the ℓ1 norm of its wavelets (paper B)."""

from typing import Annotated

import torch
from jaxtyping import Complex
from pydantic import Field
from torch import Tensor

from recon.methods import Method
from recon.methods.common import Callback, Positive, checked, ignore, says
from recon.methods.inr import SPACE, INRSettings, fitted
from recon.methods.l1_wavelet import threshold
from recon.methods.ranges import decades
from recon.mri.problem import Problem
from recon.mri.wavelets import shrink_details
from recon.representations import Representation

# Below this share of the threshold a coefficient counts by its square, so that there is a gradient.
SMOOTH = 0.3


@checked
class INRWaveletSettings(INRSettings):
    """Paper B: db3, 3 levels, a weight of 1e-8 in its own scaling."""

    weight: Positive = says(0.3, "of ‖Ψx‖₁, relative to the noise of the data, see l1_wavelet")
    wavelet: str = says("db2", "an orthogonal wavelet of PyWavelets")
    levels: Annotated[int, Field(ge=1, le=10)] = says(3, "how often an axis is halved, at most")


def inr_wavelet(
    problem: Problem,
    settings: INRWaveletSettings = INRWaveletSettings(),
    callback: Callback = ignore,
) -> Complex[Tensor, "x y z"]:
    """Minimises ``½‖Ax − y‖² + λ ‖Ψx‖₁`` over the parameters of a representation.

    λ is in the units of ℓ1-wavelet, which has the same transform with the same random shifts. The
    norm is smoothed: its gradient is ``λ (x − shrink(x, δ)) / δ``, that of its Moreau envelope.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    weight = settings.weight * threshold(problem.noise)
    delta = SMOOTH * threshold(problem.noise)

    def penalty(model: Representation, volume: Tensor, iteration: int) -> Tensor:
        shift = tuple(torch.randint(2**settings.levels, (3,), generator=generator).tolist())
        shrunk = shrink_details(volume, delta, settings.wavelet, settings.levels, shift)
        return weight / delta * (volume - shrunk)

    return fitted(problem, settings, penalty, callback, "inr-wavelet")


METHOD = Method(
    inr_wavelet,
    INRWaveletSettings,
    "INR + ℓ1-wavelet (paper B)",
    "#bd9e39",
    "2",
    space={"weight": decades(0.02, 5.0)} | SPACE,
)
