"""What all priors share: batches that know the neighbours of their slices."""

import pytest
import torch

from recon.methods.slicewise import denoise_runs
from recon.priors import Prior
from recon.priors.ddpm import DDPM
from recon.priors.denoiser import Denoiser, windows


class Stack(Denoiser):
    """Each slice becomes the mean of itself and of up to ``neighbours`` slices on either side."""

    sigma_max = 10.0

    def __init__(self, neighbours: int, batch: int):
        super().__init__(torch.nn.Identity(), batch, bf16=False)
        self.neighbours = neighbours

    def estimate(self, x, sigma):
        around = range(-self.neighbours, self.neighbours + 1)
        near = [[n + d for d in around if 0 <= n + d < len(x)] for n in range(len(x))]
        return torch.stack([x[index].mean(0) for index in near])


@pytest.mark.parametrize(
    ("count", "size", "neighbours"), [(10, 3, 0), (10, 3, 2), (7, 32, 1), (5, 1, 4)]
)
def test_batches_cover_every_slice_once_with_its_neighbours(count, size, neighbours):
    owned = []
    for read, own in windows(count, size, neighbours):
        positions = list(range(count))[read]
        mine = positions[own]
        owned += mine
        wanted = {p for m in mine for p in range(m - neighbours, m + neighbours + 1)}
        assert set(positions) == wanted & set(range(count)) and len(mine) <= size
    assert owned == list(range(count))


@pytest.mark.parametrize("neighbours", [0, 1, 3])
@pytest.mark.parametrize("differentiated", [False, True])
def test_the_result_does_not_depend_on_the_batches(neighbours, differentiated, generator):
    """Slices keep their order and neighbours however they are cut; so do their gradients."""
    x = torch.randn(11, 2, 4, 5, generator=generator).requires_grad_(differentiated)
    sigma = torch.rand(11, generator=generator)
    whole, cut = (Stack(neighbours, batch).denoise(x, sigma) for batch in (100, 3))
    assert torch.allclose(whole, cut, atol=1e-6)
    if differentiated:
        pull = torch.randn(x.shape, generator=generator)
        one, other = (torch.autograd.grad(part, x, pull)[0] for part in (whole, cut))
        assert torch.allclose(one, other, atol=1e-6)


def test_random_slabs_are_denoised_with_true_neighbours_only(generator):
    """Two slabs that were drawn one after the other are not neighbours."""
    volume = torch.randn(20, 2, 3, 3, generator=generator)
    index = torch.tensor([12, 13, 14, 3, 4, 5, 6])
    prior, sigma = Stack(1, 100), torch.ones(7)
    found = denoise_runs(prior, volume[index], sigma, index)
    expected = [prior.denoise(volume[12:15], 1.0), prior.denoise(volume[3:7], 1.0)]
    assert torch.allclose(found, torch.cat(expected))


def test_kinds_of_prior_say_what_methods_ask(generator):
    prior = DDPM(torch.nn.Identity())
    assert isinstance(prior, Prior) and prior.neighbours == 0
    assert prior.sigma_max == pytest.approx(157.4, rel=1e-3)
