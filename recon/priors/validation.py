"""How well a prior denoises slices that it has not seen."""

from collections.abc import Sequence

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.mri.slices import as_slices, planes
from recon.priors.denoiser import Denoiser

CHECK_SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0)  # noise levels at which validation denoising is reported


@torch.no_grad()
def denoising_error(
    prior: Denoiser, volumes: Sequence[Complex[Tensor, "x y z"]], slices: int = 24
) -> dict[str, float]:
    """Mean squared error of one-step denoising, by noise level.

    The mean is taken over evenly spaced slices of all planes, about ``slices`` in number.
    """
    generator, device = torch.Generator().manual_seed(0), next(prior.parameters()).device
    errors = {}
    for sigma in CHECK_SIGMAS:
        total, count = 0.0, 0
        for volume in volumes:
            volume = volume / torch.view_as_real(volume).std()
            for axis in planes(tuple(volume.shape)):
                every = max(1, volume.shape[axis] * 3 * len(volumes) // slices)
                clean = as_slices(volume, axis)[every // 2 :: every]
                noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
                error = prior.denoise(noisy.to(device), sigma).cpu() - clean
                total += float(error.square().sum())
                count += clean.numel()
        errors[f"{sigma:g}"] = total / count
    return errors
