"""An implicit network: what it starts at, its meshes, its memory."""

import pytest
import torch

from recon.representations import Representation
from recon.representations.implicit import Implicit
from recon.representations.voxels import Voxels

SMALL = {"width": 24, "layers": 2, "features": 16, "bandwidth": 2.0}


@pytest.fixture
def volume(scene):
    """A small part of the knee."""
    return scene[0][4:12, 6:18, 4:14].contiguous()


def test_the_start_is_fitted(volume):
    """A larger network, or more steps, comes closer."""
    errors = []
    for changes in ({"warm": 0}, {"warm": 40}, {"warm": 300, "width": 64}):
        model = Implicit(volume, **SMALL | changes)
        assert isinstance(model, Representation)
        errors.append(float((model.volume().detach() - volume).norm() / volume.norm()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.3


def test_chunks_change_nothing(volume, monkeypatch):
    """Neither values nor gradients; the graph of a chunk is built again in the backward pass."""
    monkeypatch.setattr("recon.representations.implicit.multiplies_bf16", lambda device: False)
    found = []
    for chunk in (7, 10**6):
        model = Implicit(volume, **SMALL, warm=3, chunk=chunk)
        out = model.volume()
        out.abs().square().sum().backward()
        found.append((out.detach(), model.layers[0].weight.grad))
    for whole, parts in zip(*found, strict=True):
        assert torch.allclose(whole, parts, rtol=1e-3, atol=1e-4)


def test_bf16_costs_little(volume, monkeypatch):
    """Less than a hundredth of a volume of unit power, which is 50 dB below its peak."""
    found = []
    for bf16 in (False, True):
        monkeypatch.setattr("recon.representations.implicit.multiplies_bf16", lambda d, b=bf16: b)
        found.append(Implicit(volume, **SMALL, warm=0).volume().detach())
    assert 0 < float((found[1] - found[0]).norm() / found[0].norm()) < 0.01


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_those_of_the_volume(volume, axis):
    model, index = Implicit(volume, **SMALL, warm=5), torch.tensor([1, 2, 5])
    expected = Voxels(model.volume().detach()).slices(axis, index)
    assert torch.allclose(model.slices(axis, index), expected, atol=1e-5)


def test_a_seed_says_all(volume):
    """Weights do not depend on what torch's own generator has drawn before."""
    torch.manual_seed(1)
    once = Implicit(volume, **SMALL, warm=2).volume()
    torch.manual_seed(2)
    again = Implicit(volume, **SMALL, warm=2).volume()
    other = Implicit(volume, **SMALL, warm=2, seed=1).volume()
    assert torch.equal(once, again) and not torch.equal(once, other)


@pytest.mark.parametrize(
    "shape, settings, count",
    [
        ((8, 8, 1), {"layers": 3, "width": 256}, 165_122),
        ((4, 4, 4), {"layers": 7, "width": 512}, 1_643_010),
        ((4, 4, 80), {"layers": 3, "width": 3200, "columns": True}, 21_411_360),
    ],
)
def test_the_networks_of_infusion_have_its_numbers_of_parameters(shape, settings, count):
    """Paper B: in 2D, in 3D, and the hybrid of (x, y) to 80 complex voxels along z."""
    start = torch.zeros(shape, dtype=torch.complex64)
    model = Implicit(start, features=64, normalised=False, warm=0, **settings)
    assert sum(p.numel() for p in model.parameters()) == count
    assert model.volume().shape == shape


def test_columns_are_fitted_and_sampled_between_their_voxels(volume):
    model = Implicit(volume, **SMALL | {"width": 64}, columns=True, normalised=False, warm=300)
    whole = model.volume().detach()
    assert float((whole - volume).norm() / volume.norm()) < 0.3
    index = torch.tensor([5, 2])
    for axis in range(3):
        expected = Voxels(whole).slices(axis, index)
        assert torch.allclose(model.slices(axis, index), expected, atol=1e-5)
    finer = model.slices(0, index, (volume.shape[1], 2 * volume.shape[2]))
    middle = finer[..., 1:-1].unflatten(-1, (-1, 2)).mean(-1)  # midway between two voxels
    halfway = 0.5 * (
        Voxels(whole).slices(0, index)[..., 1:] + Voxels(whole).slices(0, index)[..., :-1]
    )
    assert torch.allclose(middle, halfway, atol=1e-5)
