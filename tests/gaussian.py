"""A Gaussian prior, for which every denoiser, sample and posterior is known in closed form."""

import torch
from torch import Tensor

from recon.diffusion import DDPM


class GaussianPrior(DDPM):
    """Pixels independent with standard deviation ``spread`` around ``mean``: D(x, σ) = mean + spread² / (spread² + σ²) (x − mean)."""

    def __init__(self, mean: float = 0.0, spread: float = 1.0):
        super().__init__(torch.nn.Linear(1, 1))
        self.mean, self.spread = mean, spread

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        sigma = torch.as_tensor(sigma).expand(len(x)).view(-1, 1, 1, 1)
        return self.mean + self.spread**2 / (self.spread**2 + sigma**2) * (x - self.mean)
