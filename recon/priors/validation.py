"""How well a prior denoises slices that it has not seen."""

from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon.mri.prepared import Prepared
from recon.mri.slices import as_slices, planes
from recon.networks.trained import SliceTraining
from recon.priors.denoiser import Denoiser

# Noise levels at which denoising is reported, up to the highest that the prior knows.
CHECK_SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 150.0)
# At high noise the few slices say little: with one draw of noise for each, the error of a prior of
# one plane varied by 0.03 at σ = 150.
HIGH, DRAWS = 10.0, 8


@torch.no_grad()
def denoising_error(
    prior: Denoiser,
    volumes: Sequence[Complex[Tensor, "x y z"]],
    slices: int = 24,
    axes: Sequence[int] = (0, 1, 2),
) -> dict[str, float]:
    """Mean squared error of one-step denoising, by noise level; that of the answer zero is 1.

    The mean is taken over evenly spaced slices across ``axes``, about ``slices`` in number, and at
    high noise over several draws. A prior that looks at neighbours is given all slices of each
    volume. Without volumes there are no errors.
    """
    generator = torch.Generator().manual_seed(0)
    errors = {}
    for sigma in (level for level in CHECK_SIGMAS if level <= prior.sigma_max):
        total, count = 0.0, 0
        for volume in [v for v in volumes for _ in range(DRAWS if sigma >= HIGH else 1)]:
            volume = volume / torch.view_as_real(volume).square().mean().sqrt()
            for axis in (a for a in planes(tuple(volume.shape)) if a in axes):
                every = max(1, volume.shape[axis] * len(axes) * len(volumes) // slices)
                clean, own = _scored(as_slices(volume, axis), every, prior.neighbours)
                noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
                error = (_denoised(prior, noisy, sigma) - clean)[own]
                total += float(error.square().sum())
                count += error.numel()
        if count:
            errors[f"{sigma:g}"] = total / count
    return errors


def _denoised(prior: Denoiser, noisy: Float[Tensor, "n 2 h w"], sigma: float) -> Tensor:
    """What the prior makes of slices, on the device of the slices."""
    device = next(prior.parameters()).device
    return prior.denoise(noisy.to(device), sigma).to(noisy.device)


def _scored(
    slices: Float[Tensor, "n 2 h w"], every: int, neighbours: int
) -> tuple[Float[Tensor, "m 2 h w"], slice]:
    """The slices that the prior is given, and which of them are scored: every so many."""
    some = slice(min(every // 2, len(slices) - 1), None, every)
    return (slices, some) if neighbours else (slices[some], slice(None))


def check_denoising(
    model: Denoiser, volumes: Sequence[Prepared], settings: SliceTraining
) -> dict[str, float]:
    """The denoising error on volumes that training does not see, by noise level."""
    targets = [volume.target for volume in volumes]
    # Varied slices and stacks come as volumes whose slices lie across the first axis.
    return denoising_error(model, targets, axes=[0] if settings.transfer else settings.axes)
