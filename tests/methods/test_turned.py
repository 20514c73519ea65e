"""A turned estimate is the plain one where the prior knows no direction; it is turned back."""

import pytest
import torch

from recon import methods
from recon.methods.sampling import clean_estimate
from recon.mri.slices import as_slices, as_volume
from recon.priors.turned import Turned
from tests.gaussian import Counted, SmoothPrior, single_coil

SHAPE = (6, 8, 8)


class Directed(SmoothPrior):
    """It knows up from down: rows below the middle are doubled."""

    def denoise(self, x, sigma):
        lower = torch.arange(x.shape[2])[:, None] >= x.shape[2] // 2
        return x * (1 + lower)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("flips", [False, True])
def test_a_prior_without_directions_answers_as_if_nothing_was_turned(axis, flips, generator):
    problem = single_coil(SHAPE, generator)
    prior = SmoothPrior()
    prior.flips = flips
    x = torch.randn(SHAPE, generator=generator, dtype=torch.complex64)
    plain = clean_estimate(problem, prior, x, 0.5, axis)
    for _ in range(8):
        turned = clean_estimate(problem, Turned(prior, generator), x, 0.5, axis)
        assert torch.allclose(turned, plain, atol=1e-4)


def test_only_a_prior_trained_with_flips_is_shown_flipped_slices(generator):
    """Over many draws the mean estimate of a directed prior loses its direction."""
    problem, prior = single_coil(SHAPE, generator), Directed()
    x = torch.randn(SHAPE, generator=generator, dtype=torch.complex64)
    plain, seen = clean_estimate(problem, prior, x, 0.5, 0), Turned(prior, generator)
    for _ in range(4):
        assert torch.allclose(clean_estimate(problem, seen, x, 0.5, 0), plain)
    seen.flips = True
    turned = [clean_estimate(problem, seen, x, 0.5, 0) for _ in range(40)]
    ratio = (torch.stack(turned).mean(0) / x).real
    assert ratio[:, 4:].mean() / ratio[:, :4].mean() < 1.3
    upside = as_volume(prior.denoise(as_slices(x, 0).flip(2), 0.5).flip(2), 0)
    assert any(torch.allclose(one, upside, atol=1e-5) for one in turned)


def test_annealed_turns_its_slices_unless_told_not_to(generator):
    """Without turns a second seed changes nothing, as no fresh noise is drawn."""
    problem = single_coil(SHAPE, generator)

    def run(seed: int, turned: bool):
        prior = Counted(Directed())
        prior.flips = True
        return methods.reconstruct(
            problem, "annealed", {"prior": prior}, steps=4, seed=seed, turned=turned
        )

    assert torch.equal(run(0, False), run(1, False))
    assert not torch.allclose(run(0, True), run(1, True), atol=1e-4)
    assert torch.equal(run(2, True), run(2, True))
