"""Noise of coils: what whitening does to it, and levels against noise that was added."""

import pytest
import torch

from recon.errors import ReconError
from recon.mri import coils
from recon.mri.noise import noise_covariance, noise_levels, whitening_matrix
from tests.mri.test_coils import simulate


def test_whitened_noise_has_unit_covariance():
    generator = torch.Generator().manual_seed(1)
    mixing = torch.randn(6, 6, dtype=torch.complex64, generator=generator)
    noise = mixing @ torch.randn(6, 50000, dtype=torch.complex64, generator=generator)
    covariance = noise_covariance(noise)
    assert torch.allclose(covariance, mixing @ mixing.mH, atol=0.03 * float(covariance.abs().max()))
    white, identity = whitening_matrix(covariance), torch.eye(6, dtype=torch.complex64)
    assert torch.allclose(noise_covariance(coils.mix(noise, white)), identity, atol=1e-3)
    fresh = (mixing @ torch.randn(6, 32000, dtype=torch.complex64, generator=generator)).reshape(
        6, 40, 40, 20
    )
    assert torch.allclose(noise_covariance(coils.mix(fresh, white).flatten(1)), identity, atol=0.05)


def test_unusable_noise_measurements_are_refused():
    with pytest.raises(ReconError, match="needs at least 16"):
        noise_covariance(torch.ones(8, 10, dtype=torch.complex64))
    with pytest.raises(ReconError, match="dead or duplicated"):
        whitening_matrix(torch.ones(2, 2, dtype=torch.complex64))


@pytest.mark.parametrize("sigma", [0.05, 0.2])
def test_noise_level_is_known_within_five_percent(sigma):
    kspace = simulate((32, 40, 44), noise=sigma, grain=0)[0]  # grain would count as noise
    mask = torch.rand(40, 44, generator=torch.Generator().manual_seed(2)) < 0.25
    assert float(noise_levels(kspace).mean()) == pytest.approx(sigma, rel=0.05)
    assert float(noise_levels(kspace * mask).mean()) == pytest.approx(sigma, rel=0.05)
