"""A network for pixels of any size."""

import pytest
import torch
import torch.nn.functional as F

from recon.mri.resample import crop_kspace
from recon.networks import used_as
from recon.networks.infinite_unet import InfiniteUNet, InfiniteUNetConfig
from recon.priors.ddpm import DDPM

SMALL = {"channels": 8, "taps": 7, "blocks": 1, "reference": 24, "inner_size": 12}
SMALL |= {"inner_channels": 8}


def randomised(generator, std=0.05, **changes) -> InfiniteUNet:
    net = InfiniteUNet(InfiniteUNetConfig(**SMALL | changes))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=std, generator=generator)
    return net


@pytest.mark.parametrize("size", [(24, 24), (13, 22), (48, 40), (9, 9)])
@pytest.mark.parametrize("how", ["bilinear", "fourier", "padding"])
def test_any_size_keeps_its_shape(size, how, generator):
    net = InfiniteUNet(InfiniteUNetConfig(**SMALL, resizing=how, outputs=2))
    x = torch.randn(3, 2, *size, generator=generator)
    found = net(x, torch.tensor([1.0, 10.5, 1000.0]))
    assert found.shape == (3, 4, *size) and not found.any()  # the last layer starts at zero


def test_it_is_a_function_of_space(generator):
    """On pixels twice as dense a smooth picture has the same estimate. Without kernels that are
    resized, or with bilinear ones whose gain is not kept, it has not. The picture is asymmetric, so
    that a swap or a flip of axes would show.
    """
    slow = torch.randn(2, 6, 5, generator=generator)
    coarse, fine = (crop_kspace(slow, (2, n, m))[None] for n, m in ((24, 20), (48, 40)))
    window = torch.hann_window(13)[1:-1]
    errors = {}
    for how, gain in (("fourier", True), ("padding", True), ("bilinear", False)):
        seed = torch.Generator().manual_seed(1)
        net = randomised(seed, std=0.3, resizing=how, gain=gain, taps=11)
        for block in [*net.first, *net.last]:  # kernels as smooth as learned ones
            block.kernel.data = window[:, None] * window * block.kernel.data[:, :, :1, :1]
        with torch.no_grad():
            small, large = net(coarse, torch.ones(1)), net(fine, torch.ones(1))
        expected = F.interpolate(small, scale_factor=2, mode="bilinear")[..., 8:-8, 8:-8]
        missed = large[..., 8:-8, 8:-8] - expected
        errors[how, gain] = float(missed.norm() / expected.norm())
    right = errors.pop(("fourier", True))
    assert right < 0.1 and all(error > 2 * right for error in errors.values())


def test_gradients_reach_every_parameter(generator):
    net = randomised(generator)
    net(torch.randn(2, 2, 24, 20, generator=generator), torch.ones(2)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


def test_the_same_weights_may_be_used_in_another_way(generator):
    """The settings of resizing belong to the use of weights, not to their training."""
    model = DDPM(randomised(generator))
    padded = used_as(model, InfiniteUNetConfig(**SMALL, resizing="padding"))
    assert used_as(model, InfiniteUNetConfig(**SMALL)) is model
    assert model.network.config.resizing == "fourier"
    assert padded.network.config.resizing == "padding"
    x = torch.randn(1, 2, 24, 20, generator=generator)
    with torch.no_grad():
        small = [m.network(x, torch.ones(1)) for m in (model, padded)]
        large = [
            m.network(F.interpolate(x, scale_factor=2), torch.ones(1)) for m in (model, padded)
        ]
    assert torch.equal(*small) and not torch.allclose(*large)
