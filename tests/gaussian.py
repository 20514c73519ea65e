"""Gaussian priors, for which every denoiser, sample and posterior is known in closed form, and the
scans they are known on.
"""

import torch
from torch import Tensor

from recon import methods
from recon.mri import fourier
from recon.mri.problem import Problem
from recon.mri.sense import Sense
from recon.networks import trained
from recon.priors import Prior, Wrapped
from recon.priors.ddpm import DDPM


class GaussianPrior(DDPM):
    """Pixels independent with standard deviation ``spread`` around ``mean``: D(x, σ) = mean +
    spread² / (spread² + σ²) (x − mean).
    """

    pixels = (1.0, 1.0)

    def __init__(self, mean: float = 0.0, spread: float = 1.0):
        super().__init__(torch.nn.Linear(1, 1))
        self.mean, self.spread = mean, spread

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        sigma = torch.as_tensor(sigma).expand(len(x)).view(-1, 1, 1, 1)
        return self.mean + self.spread**2 / (self.spread**2 + sigma**2) * (x - self.mean)

    def features(self, x: Tensor, sigma: float) -> list[Tensor]:
        """The slices themselves."""
        return [x]


class TwoModes(GaussianPrior):
    """White Gaussians of one ``spread`` around an image and around its negative, in equal parts."""

    def __init__(self, image: Tensor, spread: float):
        super().__init__(spread=spread)
        self.image = image

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        sigma = torch.as_tensor(sigma).expand(len(x)).view(-1, 1, 1, 1)
        power = self.spread**2 + sigma**2
        mode = ((x * self.image).sum((1, 2, 3), keepdim=True) / power).tanh() * self.image
        return mode + self.spread**2 / power * (x - mode)


def network_for(method: str, **prior: float) -> torch.nn.Module | None:
    """What a method needs: a Gaussian prior, or its untrained network; None where it needs none."""
    for need in methods.lookup(method).needs.values():
        if need in methods.PRIORS:
            return GaussianPrior(**prior)
        return trained.build(trained.lookup(need).settings()).eval()
    return None


class SmoothPrior(GaussianPrior):
    """Slices of zero mean whose spatial frequencies f are independent with variance S(f) = spread²
    / (1 + |8 f|²).
    """

    def spectrum(self, h: int, w: int) -> Tensor:
        """S on the grid of the orthonormal transform, centred."""
        f = (
            torch.fft.fftshift(torch.fft.fftfreq(h))[:, None].square()
            + torch.fft.fftshift(torch.fft.fftfreq(w)).square()
        )
        return self.spread**2 / (1 + 64 * f)

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        s = torch.fft.ifftshift(self.spectrum(*x.shape[-2:]))
        image = torch.complex(x[:, 0], x[:, 1])
        image = torch.fft.ifft2(s / (s + sigma**2) * torch.fft.fft2(image))
        return torch.stack([image.real, image.imag], 1)


class Counted(Wrapped):
    """A prior that notes the shape and the noise level of every batch it denoises."""

    def __init__(self, prior: Prior):
        super().__init__(prior)
        self.shapes, self.levels = [], []

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        self.shapes.append(tuple(x.shape))
        self.levels.append(float(sigma))
        return self.prior.denoise(x, sigma)

    @property
    def slices(self) -> int:
        """Slices denoised so far."""
        return sum(shape[0] for shape in self.shapes)


def single_coil(
    shape: tuple[int, int, int], generator: torch.Generator, part: float = 0.5
) -> Problem:
    """A random scan with one coil of sensitivity 1, so that AᴴA is diagonal in the frequencies; the
    mean frequency is not measured.
    """
    mask = torch.rand(shape[1:], generator=generator) < part
    mask[shape[1] // 2, shape[2] // 2] = False
    operator = Sense(torch.ones(1, *shape, dtype=torch.complex64), mask)
    kspace = mask * torch.randn(1, *shape, generator=generator, dtype=torch.complex64)
    return Problem(operator, kspace, operator.adjoint(kspace), noise=0.0, scale=1.0)


def frequencies(
    volume: Tensor, problem: Problem, mean: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Real components of a sample less its prior mean: at the measured frequencies, the data there,
    and at the others.
    """
    k = fourier.fft(volume - mean * (1 + 1j))
    mask = problem.operator.mask.expand(volume.shape)
    return tuple(
        torch.view_as_real(part).flatten() for part in (k[mask], problem.kspace[0][mask], k[~mask])
    )


def regress(x: Tensor, y: Tensor) -> tuple[float, float]:
    """The factor a and the residual variance of x = a y + residual."""
    a = float(x @ y / (y @ y))
    return a, float((x - a * y).square().mean())
