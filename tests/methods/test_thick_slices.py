"""A stack of thick slices: a prior of slices is not asked about cuts through the stack."""

import pytest
import torch

from recon.methods import reconstruct
from recon.mri.problem import Problem
from recon.mri.sense import Sense
from recon.priors import Wrapped
from tests.conftest import complex_normal
from tests.gaussian import GaussianPrior

SHAPE = (12, 10, 6)
FEW = {"annealed": {"steps": 6}, "variational": {"iterations": 3}, "tpdm_dds": {"steps": 6}}


class Watched(Wrapped):
    """Notes the sizes of the slices it is asked about, in any pose."""

    def __init__(self, prior):
        super().__init__(prior)
        self.seen = set()

    def denoise(self, x, sigma):
        self.seen.add(frozenset(x.shape[-2:]))
        return self.prior.denoise(x, sigma)


@pytest.mark.parametrize("method", FEW)
@pytest.mark.parametrize(
    ("thickness", "stack", "count"), [(5.0, True, 1), (1.5, True, 3), (5.0, False, 3)]
)
def test_cuts_through_a_stack_of_thick_slices_are_not_denoised(
    method, thickness, stack, count, generator
):
    maps, mask = torch.ones(1, *SHAPE) + 0j, torch.rand(SHAPE[1:], generator=generator) < 0.6
    kspace = Sense(maps, mask, stack=stack).forward(complex_normal(*SHAPE, generator=generator))
    problem = Problem.build(kspace, mask, maps, 0.1, (1.0, 0.8, thickness), stack)
    prior = Watched(GaussianPrior())
    reconstruct(problem, method, prior, **FEW[method])
    assert len(prior.seen) == count and frozenset(SHAPE[:2]) in prior.seen


@pytest.mark.parametrize("shape", [SHAPE, (12, 10, 1)])
@pytest.mark.parametrize("method", FEW)
def test_of_several_sets_of_maps_every_slice_is_one_image(method, shape, generator):
    """The images of the sets follow one another along z, so that other cuts hold two of them."""
    maps = complex_normal(2, 3, *shape, generator=generator)
    mask = torch.rand(shape[1:], generator=generator) < 0.6
    operator = Sense(maps, mask)
    assert operator.bound >= 0.99 * float(maps.abs().square().sum((0, 1)).max())
    kspace = operator.forward(complex_normal(*operator.shape, generator=generator))
    prior = Watched(GaussianPrior())
    reconstruct(Problem.build(kspace, mask, maps, 0.1), method, prior, **FEW[method])
    assert prior.seen == {frozenset(shape[:2])}
