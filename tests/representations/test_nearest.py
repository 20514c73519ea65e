"""Voxels without interpolation."""

import torch

from recon.representations.nearest import Nearest
from recon.representations.voxels import Voxels
from tests.conftest import complex_normal


def test_every_pixel_shows_the_voxel_that_it_lies_in(generator):
    volume = complex_normal(4, 6, 8, generator=generator)
    model, index = Nearest(volume), torch.tensor([1, 3])
    own = model.slices(0, index)
    assert torch.equal(own, Voxels(volume).slices(0, index))
    finer = model.slices(0, index, (12, 24))
    assert torch.equal(finer, own.repeat_interleave(2, 2).repeat_interleave(3, 3))
    coarser = model.slices(0, index, (2, 8))
    assert torch.equal(coarser, own[:, :, [1, 4]])


def test_gradients_go_back_to_their_voxels(generator):
    model = Nearest(complex_normal(4, 6, 8, generator=generator))
    model.slices(0, torch.tensor([2]), (12, 16)).sum().backward()
    expected = torch.zeros(4, 6, 8, 2)
    expected[2] = 4  # pixels in each voxel of the slice
    assert torch.equal(model.values.grad, expected)
