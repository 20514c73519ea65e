import torch

from recon.study.draws import split


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
