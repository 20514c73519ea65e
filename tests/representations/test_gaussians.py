"""A volume of Gaussians: where it starts, how it is sampled, what it can hold."""

import pytest
import torch

from recon.representations import Representation, make
from recon.representations.gaussians import Gaussians, drawn_voxels, rotation, spacing
from recon.representations.voxels import Voxels
from tests.conftest import complex_normal


@pytest.fixture
def volume(scene):
    """A small part of the knee."""
    return scene[0][4:16, 6:22, 4:18].contiguous()


def error(model, volume) -> float:
    return float((model.volume().detach() - volume).norm() / volume.norm())


def test_it_is_a_representation(volume):
    model = make({"kind": "gaussians", "per_voxel": 0.02, "warm": 0}, volume)
    assert isinstance(model, Representation) and model.volume().shape == volume.shape
    assert {id(p) for g in model.parameter_groups(1.0) for p in g["params"]} == {
        id(p) for p in model.parameters()
    }


def test_more_gaussians_hold_more(volume):
    found = [error(Gaussians(volume, per_voxel=n), volume) for n in (0.04, 0.15, 0.6)]
    assert found == sorted(found, reverse=True) and found[-1] < 0.1


def test_the_start_is_near_the_volume_before_any_step(volume):
    """Amplitudes are divided by the overlap; without this they add up to several times too much."""
    model = Gaussians(volume, per_voxel=0.6, warm=0)
    ratio = float(model.volume().detach().norm() / volume.norm())
    assert 0.7 < ratio < 1.3


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_those_of_the_volume(volume, axis):
    model, index = (
        Gaussians(volume, per_voxel=0.1, warm=2, waves=True),
        torch.tensor([1, 2, 3, 7, 9]),
    )
    expected = Voxels(model.volume().detach()).slices(axis, index)
    assert torch.allclose(model.slices(axis, index), expected, atol=1e-5)


def test_a_finer_mesh_shows_the_same_field(volume):
    """Every third sample of a mesh three times as fine lies on a centre of the coarse one."""
    model, index = Gaussians(volume, per_voxel=0.1, warm=2), torch.tensor([4, 5])
    coarse, fine = model.slices(0, index), model.slices(0, index, (48, 42))
    assert torch.allclose(fine[..., 1::3, 1::3], coarse, atol=1e-5)


def test_only_the_slice_is_computed(volume):
    """A slice has gradients for Gaussians near it alone."""
    model = Gaussians(volume, per_voxel=0.1, warm=0)
    model.slices(0, torch.tensor([0])).square().sum().backward()
    touched = model.amplitude.grad.abs().sum(1) > 0
    far = model.centre[:, 0] - 3 * model.size.exp().amax(1) > 1
    assert touched.any() and far.any() and not (touched & far).any()


def test_centres_are_drawn_once_each_and_where_the_volume_is(generator):
    volume = complex_normal(6, 6, 6, generator=generator)
    volume[:3] = 0
    voxels = drawn_voxels(volume, 1.0, seed=0)
    assert len(voxels.unique(dim=0)) == 108 and (voxels[:, 0] >= 3).all()
    bright = volume.clone()
    bright[4] *= 20
    assert (drawn_voxels(bright, 0.3, seed=0)[:, 0] == 4).sum() > 20
    assert len(drawn_voxels(torch.zeros_like(volume), 0.3, seed=0)) == 1


def test_quaternions_turn(generator):
    turned = rotation(torch.randn(5, 4, generator=generator))
    assert torch.allclose(turned @ turned.mT, torch.eye(3).expand(5, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(turned), torch.ones(5), atol=1e-5)
    about_z = rotation(torch.tensor([[1.0, 0, 0, 1.0]]))[0]
    assert torch.allclose(about_z @ torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0]), atol=1e-6)


def test_sizes_follow_the_distances(generator):
    grid = torch.cartesian_prod(*[torch.arange(0.0, 12, 3)] * 3)
    assert torch.allclose(spacing(grid), torch.full((64,), 1.5))
    assert torch.allclose(spacing(grid[:1]), torch.ones(1))


def test_dividing_gaussians_keeps_about_what_they_show(volume):
    """A fifth of them is divided in each round; the volume hardly changes, and fitting goes on."""
    model = Gaussians(volume, per_voxel=0.1, densify=2, warm=20)
    optimizer = torch.optim.Adam(model.parameter_groups(1e-3))
    before, count = model.volume().detach(), len(model.centre)
    for step in range(8):
        optimizer.zero_grad()
        (model.volume() - volume).abs().square().sum().backward()
        optimizer.step()
        model.grow(optimizer, (step + 1) / 8)
    first = count + round(0.2 * count)
    assert len(model.centre) == first + round(0.2 * first) == len(model.pulled)
    assert (model.volume() - before).norm() < 0.3 * before.norm()
    for parameter in model.parameters():
        memory = optimizer.state[parameter]["exp_avg"]
        assert memory.shape == parameter.shape


def test_without_rounds_nothing_is_divided(volume):
    model = Gaussians(volume, per_voxel=0.1, warm=0)
    count = len(model.centre)
    model.grow(torch.optim.Adam(model.parameters()), 1.0)
    assert len(model.centre) == count
