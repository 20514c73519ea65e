"""The linear noise schedule of the DDPM (Ho et al. 2020), in which the papers state their
timesteps.

``x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps`` divided by ``sqrt(alpha_bar)`` is ``x0 +
sigma eps`` with the noise-to-signal ratio ``sigma = sqrt((1 - alpha_bar) / alpha_bar)``. Methods
turn the papers' t into sigma here.
"""

import torch
from jaxtyping import Float
from torch import Tensor

T = 1000  # the noisiest timestep
BETA = torch.linspace(1e-4, 0.02, T, dtype=torch.float64)
# index t = 0 is clean
ALPHA_BAR = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - BETA, 0)])
SIGMAS = ((1 - ALPHA_BAR) / ALPHA_BAR).sqrt()


def ddpm_sigma(t: float) -> float:
    """Noise-to-signal ratio at timestep ``t`` in [0, T], interpolated between whole steps."""
    low = min(int(t), T - 1)
    return float(torch.lerp(SIGMAS[low], SIGMAS[low + 1], t - low))


def ddpm_timestep(sigma: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """The real-valued timesteps at which the noise-to-signal ratio is ``sigma``; inverse of
    `ddpm_sigma`.
    """
    sigma = sigma.double().cpu()
    high = torch.searchsorted(SIGMAS, sigma).clamp(1, T)
    return (
        (high - 1 + (sigma - SIGMAS[high - 1]) / (SIGMAS[high] - SIGMAS[high - 1]))
        .clamp(0, T)
        .float()
    )
