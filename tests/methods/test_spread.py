"""The spread among draws, and the factor that makes it worth something."""

import pytest
import torch

from recon.methods import prediction
from recon.methods import spread as spreads
from recon.methods.prediction import Twin
from recon.phantoms import complex_noise
from tests.gaussian import SmoothPrior


@pytest.mark.parametrize("doubt", [0.5, 1.0, 3.0])
def test_the_factor_is_what_draws_lack(calibrated, scene, generator, doubt):
    """Truth and draws lie around one volume; the draws have ``1 / doubt`` of the spread."""
    truth = scene[0] * calibrated.scale * calibrated.operator.support
    shape, sd = tuple(truth.shape), 0.1
    centre = truth + complex_noise(shape, sd, generator)
    draws = torch.stack([centre + complex_noise(shape, sd / doubt, generator) for _ in range(8)])
    for piece in (
        prediction.hold_out(calibrated),
        Twin(calibrated, truth, truth.abs() > 1),  # magnitudes near zero are no Gaussians
    ):
        error, promised = spreads.errors(piece, draws)
        # Of 8 draws the mean errs by an eighth of their variance, whatever the doubt is.
        expected = (doubt**2 + 1 / 8) / (1 + 1 / 8)
        assert error / promised == pytest.approx(expected, rel=0.25)


def test_the_expected_error_is_about_the_error(calibrated, scene):
    """The prior is not that of the scene, as in reality."""
    found = spreads.spread(calibrated, "annealed", {"prior": SmoothPrior()}, range(4), steps=9)
    inside = calibrated.operator.support & (scene[0].abs() > 0.1)
    error = float((found.mean - scene[0].abs())[inside].square().mean().sqrt())
    expected = float(found.std[inside].square().mean().sqrt())
    assert 0.5 < error / expected < 2
    assert found.seeds == (0, 1, 2, 3)


def test_draws_are_the_same_for_the_same_seeds(calibrated):
    networks = {"prior": SmoothPrior()}
    once, again = (
        spreads.drawn(calibrated, "annealed", networks, [3], steps=3, churn=1.0) for _ in range(2)
    )
    other = spreads.drawn(calibrated, "annealed", networks, [4], steps=3, churn=1.0)
    assert torch.equal(once, again) and not torch.equal(once, other)


def test_draws_lie_along_the_axis_that_the_method_was_given(calibrated, monkeypatch):
    """Parts of a volume are slabs across x, and have an axis of their own; the volume has not."""
    asked = []

    def reconstruct(problem, method, networks, **settings):
        asked.append((problem.operator.shape[0], settings["axis"]))
        return problem.rhs

    monkeypatch.setattr(spreads.methods, "reconstruct", reconstruct)
    spreads.spread(calibrated, "dds", {"prior": SmoothPrior()}, range(2), axis=2)
    depth = calibrated.operator.shape[0]
    assert {axis for size, axis in asked if size == depth} == {2}
