from dataclasses import replace

import pytest
import torch

from recon.mri import fourier
from recon.mri.problem import Problem
from recon.study.draws import deviations, split


def test_bias_and_variance_of_known_draws(generator):
    """Draws of variance 4 around a mean that is 3 off; few draws give the same on average."""
    truth = torch.randn(20_000, generator=generator)
    for count in (2, 5):
        noise = 2 * torch.randn(count, 20_000, generator=generator)
        bias, variance = split(truth + 3 + noise, truth)
        assert abs(bias - 9) < 0.3 and abs(variance - 4) < 0.15


def test_an_exact_sampler_has_as_much_variance_as_bias(generator):
    """The truth is a draw from the posterior as well, so its distance to the mean is the spread."""
    draws = torch.randn(4, 20_000, generator=generator)
    bias, variance = split(draws, torch.randn(20_000, generator=generator))
    assert abs(variance / (bias + variance) - 0.5) < 0.02


def test_the_spread_of_draws_is_told_apart_by_what_was_measured(generator):
    """One coil; draws differ by twice the noise where measured, and by five times elsewhere."""
    shape = (6, 16, 16)
    mask = torch.rand(16, 16, generator=generator) < 0.5
    maps = torch.ones(1, *shape, dtype=torch.complex64)
    kspace = torch.view_as_complex(torch.randn(1, *shape, 2, generator=generator))
    problem = replace(Problem.build(kspace, mask, maps, noise=0.01), noise=0.01)
    parts = torch.view_as_complex(torch.randn(40, *shape, 2, generator=generator))
    draws = fourier.ifft(parts * torch.where(mask, 0.02, 0.05))
    found = deviations(problem, draws)
    assert found == pytest.approx({"measured": 2, "missing": 5}, rel=0.05)
