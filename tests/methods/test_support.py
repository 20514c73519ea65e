"""Where no coil sees, samplers hold to what is known of references: zero."""

import pytest
import torch

from recon import methods
from recon.sense import Problem
from tests.gaussian import GaussianPrior, single_coil

FEW = {"tpdm_dds": {"steps": 20}, "dds": {"steps": 20, "weight": 0.0, "rho": 1e-6}, "diffusion_mbir": {"steps": 60}, "tpdm": {"steps": 60}}


@pytest.mark.parametrize("method", FEW)
def test_a_prior_that_pulls_away_moves_nothing_outside_the_maps(method, generator):
    """A Gaussian prior of mean 0.5: outside a ball of sensitivity 1 samples are zero, but for the noise of the last level."""
    whole = single_coil((12, 16, 14), generator)
    grids = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in whole.operator.shape), indexing="ij")
    inside = sum(g**2 for g in grids) < 0.7
    problem = Problem.build(whole.kspace, whole.operator.mask, inside[None].to(torch.complex64))
    assert torch.equal(problem.operator.support, inside)
    x = torch.view_as_real(methods.reconstruct(problem, method, GaussianPrior(mean=0.5, spread=0.1), **FEW[method]))
    assert float(x[~inside].mean()) == pytest.approx(0, abs=0.02) and float(x[~inside].std()) < 0.05
    assert float(x[inside].mean()) > 0.1
