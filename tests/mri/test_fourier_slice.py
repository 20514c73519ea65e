"""Projections of a volume are central planes of its k-space."""

import pytest
import torch

from recon.mri import fourier, masks
from recon.mri.fourier_slice import SliceTerms, central_plane, projection, spread_back
from recon.mri.problem import Problem
from recon.mri.sense import Sense
from recon.mri.solvers import inner
from tests.conftest import complex_normal

SHAPES = [(6, 8, 10), (7, 9, 5), (6, 9, 8)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_theorem(shape, axis, generator):
    """For every orientation, odd and even sizes, and with coils in front."""
    volume = complex_normal(2, *shape, generator=generator)
    plane = central_plane(fourier.fft(volume), axis)
    projected = fourier.fft(projection(volume, axis), (-2, -1))
    assert torch.allclose(projected, plane, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_spreading_back_is_the_adjoint(axis, generator):
    volume = complex_normal(3, 4, 5, 6, generator=generator)
    image = complex_normal(*projection(volume, axis).shape, generator=generator)
    back = spread_back(image, axis, volume.shape[axis + 1])
    assert back.shape == volume.shape
    assert torch.allclose(inner(projection(volume, axis), image), inner(volume, back), rtol=1e-4)
    again = projection(back.contiguous(), axis)
    assert torch.allclose(again, image, atol=1e-5)  # it has norm 1


def posed(shape, generator, stack=False, sets=1):
    mask = torch.rand(shape[1:], generator=generator) < 0.6
    mask[shape[1] // 2, shape[2] // 2] = True
    maps = complex_normal(sets, 3, *shape, generator=generator)
    maps = maps[0] if sets == 1 else maps
    volume = complex_normal(shape[0], shape[1], sets * shape[2], generator=generator)
    kspace = Sense(maps, mask, stack=stack).forward(volume)
    kspace = kspace + mask * 0.1 * complex_normal(*kspace.shape, generator=generator)
    return Problem.build(kspace, mask, maps, stack=stack), volume


@pytest.mark.parametrize("sets", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_terms_as_used_are_the_theorem(shape, sets, generator):
    """Projections, masked and transformed, are the central planes of the data term once more."""
    problem, volume = posed(shape, generator, sets=sets)
    sense, planes = problem.operator, torch.zeros(shape)
    for axis in (0, 1):
        planes.select(axis, shape[axis] // 2).add_(1)
    missed = sense.forward(volume) - problem.kspace
    terms = SliceTerms(problem)
    expected = 0.5 * (planes * missed.abs().square()).sum()
    assert torch.allclose(terms.objective(volume), expected, rtol=1e-4)
    gradient = sense.adjoint(planes * missed)
    assert torch.allclose(terms.normal(volume) - terms.rhs, gradient, atol=1e-4)


def test_slices_measured_one_by_one_sum_up(generator):
    """In a stack, the projection along x is that of every slice; along y it is their row ky = 0."""
    problem, volume = posed((6, 8, 4), generator, stack=True)
    terms = SliceTerms(problem, axes=[0])
    total = 0.0
    for z in range(4):
        mask = problem.operator.mask[:, z : z + 1]
        maps = problem.operator.maps[..., z : z + 1].contiguous()
        missed = Sense(maps, mask).forward(volume[..., z : z + 1].contiguous())
        missed = central_plane(missed - problem.kspace[..., z : z + 1], 0)
        total += 0.5 * float(missed.abs().square().sum())
    assert float(terms.objective(volume)) == pytest.approx(total, rel=1e-4)
    pull = complex_normal(*volume.shape, generator=generator)
    both = SliceTerms(problem)
    assert torch.allclose(
        inner(both.normal(volume), pull), inner(volume, both.normal(pull)), rtol=1e-3
    )


def test_masks_reach_the_planes(generator):
    """A plane that was not measured asks nothing."""
    shape = (6, 8, 8)
    mask = masks.uniform((8, 8), 2, (0, 0))
    mask[4] = False
    mask[2, 2] = True
    maps = complex_normal(2, *shape, generator=generator)
    problem = Problem.build(complex_normal(2, *shape, generator=generator), mask, maps)
    volume = complex_normal(*shape, generator=generator)
    assert not SliceTerms(problem, axes=[1]).normal(volume).any()
