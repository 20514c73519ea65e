"""Where no coil sees, every method holds to what is known of references: zero."""

import pytest
import torch

from recon import methods
from recon.fields.voxels import Voxels
from recon.methods.variational import VariationalSettings, variational
from recon.sense import Problem
from tests.gaussian import GaussianPrior, single_coil

FEW = {"tpdm_dds": {"steps": 20}, "dds": {"steps": 20, "weight": 0.0, "rho": 1e-6}, "diffusion_mbir": {"steps": 60}, "tpdm": {"steps": 60}}


EXACT = {"zero_filled": {}, "cg_sense": {}, "l1_wavelet": {"weight": 0.1}, "variational": {"iterations": 20}, "annealed": {"churn": 1.0}}


@pytest.fixture
def problem(generator) -> Problem:
    """A random scan whose one coil sees a ball with sensitivity 1, and nothing around it."""
    whole = single_coil((12, 16, 14), generator)
    grids = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in whole.operator.shape), indexing="ij")
    ball = sum(g**2 for g in grids) < 0.7
    problem = Problem.build(whole.kspace, whole.operator.mask, ball[None].to(torch.complex64))
    assert torch.equal(problem.operator.support, ball)
    return problem


@pytest.mark.parametrize("method", FEW)
def test_a_prior_that_pulls_away_moves_no_sample_outside_the_maps(method, problem):
    """A Gaussian prior of mean 0.5: outside the ball samples are zero, but for the noise of the last level."""
    inside = problem.operator.support
    x = torch.view_as_real(methods.reconstruct(problem, method, GaussianPrior(mean=0.5, spread=0.1), **FEW[method]))
    assert float(x[~inside].mean()) == pytest.approx(0, abs=0.02) and float(x[~inside].std()) < 0.05
    assert float(x[inside].mean()) > 0.1


@pytest.mark.parametrize("method", EXACT)
def test_other_methods_are_zero_outside_the_maps(method, problem):
    prior = GaussianPrior(mean=0.5, spread=0.1) if methods.lookup(method).needs_prior else None
    x = methods.reconstruct(problem, method, prior, **EXACT[method])
    assert torch.equal(x != 0, problem.operator.support)


def test_a_field_that_is_not_zero_outside_the_maps_is_masked(problem):
    """No representation shows the prior, or the user, what no coil sees."""
    seen = []

    class Bright(Voxels):
        def __init__(self, start):
            super().__init__(start + 1)

    x = variational(problem, GaussianPrior(), VariationalSettings(iterations=3), lambda k, volume: seen.append(volume), Bright)
    assert all(torch.equal(volume != 0, problem.operator.support) for volume in (*seen, x))
