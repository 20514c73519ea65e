import pytest
import torch

from recon.networks.unet import UNet, UNetConfig

SMALL = UNetConfig(channels=16, multipliers=(1, 2, 2), attention=(2,))


@pytest.mark.parametrize("size", [(16, 16), (13, 22), (8, 5)])
@pytest.mark.parametrize("patch", [1, 2])
def test_any_size_keeps_its_shape(size, patch, generator):
    net = UNet(UNetConfig(channels=16, multipliers=(1, 2, 2), attention=(2,), patch=patch))
    assert net(
        torch.randn(3, 2, *size, generator=generator), torch.tensor([1.0, 10.5, 1000.0])
    ).shape == (3, 2, *size)


def test_starts_as_zero(generator):
    """The last layer is zero, so an untrained prior predicts no noise."""
    assert (
        UNet(SMALL)(torch.randn(2, 2, 16, 16, generator=generator), torch.ones(2)).abs().max() == 0
    )


def test_sees_the_timestep_and_every_slice_alone(generator):
    net = UNet(SMALL)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    x = torch.randn(2, 2, 16, 16, generator=generator)
    both = net(x, torch.tensor([5.0, 500.0]))
    assert torch.allclose(net(x[:1], torch.tensor([5.0])), both[:1], atol=1e-5)
    assert not torch.allclose(net(x[:1], torch.tensor([500.0])), both[:1], atol=1e-3)


def test_the_paper_architectures_build():
    """Stanford, Calgary and AHEAD of paper A, with the number of residual blocks each states."""
    for multipliers, blocks in [((1, 2, 2, 2), 4), ((1, 2, 3, 4, 4), 2), ((1, 2, 3, 4), 2)]:
        net = UNet(
            UNetConfig(
                multipliers=multipliers, blocks=blocks, attention=(len(multipliers) - 1,), patch=1
            )
        )
        x = torch.zeros(1, 2, 32, 48)
        assert net(x, torch.ones(1)).shape == x.shape


@pytest.mark.parametrize("patch", [1, 2])
def test_without_a_graph_it_computes_the_same(patch, generator):
    """Normalisation and memory order differ there, for speed."""
    net = UNet(UNetConfig(channels=16, multipliers=(1, 2, 2), attention=(2,), patch=patch))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    x, t = 3 + torch.randn(3, 2, 13, 22, generator=generator), torch.tensor([1.0, 10.5, 1000.0])
    with torch.no_grad():
        free = net(x, t)
    assert not free.requires_grad and torch.allclose(
        free, net(x, t), rtol=1e-4, atol=1e-4 * free.abs().max()
    )
