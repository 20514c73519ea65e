"""The DDPM's linear noise schedule (Ho et al. 2020), which the papers' timesteps refer to.

Dividing ``x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps`` by ``sqrt(alpha_bar)`` gives
``x0 + sigma eps``. The noise-to-signal ratio is ``sigma = sqrt((1 - alpha_bar) / alpha_bar)``.
Methods turn the papers' t into sigma here.
"""

import torch
from jaxtyping import Float
from torch import Tensor

T = 1000  # the noisiest timestep
BETA = torch.linspace(1e-4, 0.02, T, dtype=torch.float64)
# Index t = 0 is clean.
ALPHA_BAR = torch.cat([torch.ones(1, dtype=torch.float64), torch.cumprod(1 - BETA, 0)])
SIGMAS = ((1 - ALPHA_BAR) / ALPHA_BAR).sqrt()


def ddpm_sigma(t: float) -> float:
    """Noise-to-signal ratio at timestep ``t`` in [0, T], interpolated between whole steps."""
    low = min(int(t), T - 1)
    return float(torch.lerp(SIGMAS[low], SIGMAS[low + 1], t - low))


def ddpm_timestep(sigma: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """The real-valued timesteps at noise-to-signal ratios ``sigma``; inverse of `ddpm_sigma`."""
    sigma = sigma.double().cpu()
    high = torch.searchsorted(SIGMAS, sigma).clamp(1, T)
    below, above = SIGMAS[high - 1], SIGMAS[high]
    t = high - 1 + (sigma - below) / (above - below)
    return t.clamp(0, T).float()
