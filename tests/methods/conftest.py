"""A small undersampled problem with little noise."""

import pytest
import torch

from recon import phantoms
from recon.mri import fourier
from recon.mri.problem import Problem


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
