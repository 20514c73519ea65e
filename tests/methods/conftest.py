"""Small undersampled problems with little noise."""

import pytest
import torch

from recon import phantoms
from recon.mri import fourier, masks
from recon.mri.problem import Problem
from recon.mri.sense import Sense


@pytest.fixture
def problem(scene, generator) -> Problem:
    image, maps = scene
    mask = torch.rand(image.shape[1:], generator=generator) < 0.5
    noise = 0.02 * float(torch.view_as_real(image).std())
    kspace = torch.stack(
        [
            fourier.fft(s * image) + phantoms.complex_noise(image.shape, noise, generator)
            for s in maps
        ]
    )
    return Problem.build(kspace, mask, maps, noise)


@pytest.fixture
def calibrated(scene, generator) -> Problem:
    """The scene at R = 3 with a little noise, and a full centre of k-space."""
    image, maps = scene
    kspace = Sense(maps, torch.ones(maps.shape[-2:], dtype=torch.bool)).forward(image)
    level = 0.05 * float(torch.view_as_real(image).std())
    kspace = kspace + phantoms.complex_noise(tuple(kspace.shape), level, generator)
    mask = masks.make("poisson_disc", tuple(maps.shape[-2:]), 3, (8, 8), 0)
    return Problem.build(kspace, mask, maps, level)
