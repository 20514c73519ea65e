"""Networks that look along a stack of slices."""

import pytest
import torch

from recon import ReconError
from recon.networks import build
from recon.networks.stack_unet import StackUNetConfig
from recon.networks.unet import UNet, UNetConfig
from recon.networks.unet_3d import UNet3DConfig
from recon.priors.ddpm import DDPM, DDPMTraining, ddpm, noised
from recon.training.loop import begun_with

SMALL = {"channels": 8, "multipliers": (1, 2), "attention": (1,)}
KINDS = {
    "stack_unet": StackUNetConfig(**SMALL, across=(1,), reach=1),
    "unet_3d": UNet3DConfig(**SMALL, reach=3),
}


def randomised(kind, generator, std=0.3):
    net = build(KINDS[kind])
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=std, generator=generator)
    return net.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_slices_of_one_call_are_a_stack(kind, generator):
    """Stacks side by side give what each gives alone, and another order of slices does not."""
    net = randomised(kind, generator)
    x, t = torch.randn(2, 5, 2, 12, 10, generator=generator), torch.tensor([3.0, 700.0])
    both = net(x, t)
    assert both.shape == x.shape
    for stack, level, expected in zip(x, t, both, strict=True):
        assert torch.allclose(net(stack, level.expand(5)), expected, rtol=1e-4, atol=1e-4)
    turned = net(x.flip(1), t).flip(1)
    order = (0, 2, 1, 3, 4)
    mixed = net(x[:, order], t)[:, order]
    assert kind == "unet_3d" or torch.allclose(
        turned, both, rtol=1e-4, atol=1e-4
    )  # it knows no up along z
    assert not torch.allclose(mixed, both, atol=1e-3)


def test_attention_sees_what_it_says(generator):
    """A slice depends on its ``neighbours`` and on none beyond."""
    net = randomised("stack_unet", generator)
    assert net.neighbours == 4  # the encoder's level, the middle and twice the decoder's
    x = torch.randn(13, 2, 8, 8, generator=generator)
    t = torch.full((13,), 50.0)
    for far, changes in ((5, False), (4, True)):
        other = x.clone()
        other[6 + far] += 5
        assert torch.equal(net(other, t)[6], net(x, t)[6]) is not changes
    prior = DDPM(net, batch=3, bf16=False)
    whole = DDPM(net, batch=32, bf16=False)
    assert torch.allclose(prior.denoise(x, 0.5), whole.denoise(x, 0.5), rtol=1e-4, atol=1e-4)


def test_it_begins_as_the_2d_network(generator):
    """With the weights of a 2D network it is that network, whatever the neighbours are."""
    flat = DDPM(UNet(UNetConfig(**SMALL)), bf16=False)
    for parameter in flat.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    model = ddpm(build(KINDS["stack_unet"]), DDPMTraining(network=KINDS["stack_unet"], stack=4))
    model.bf16 = False
    x = torch.randn(6, 2, 8, 8, generator=generator)
    assert torch.equal(begun_with(model, flat).denoise(x, 0.5), flat.denoise(x, 0.5))
    assert model.neighbours == 4
    with pytest.raises(ReconError, match="another architecture"):
        begun_with(flat, model)
    other = DDPM(UNet(UNetConfig(channels=12, multipliers=(1, 2), attention=(1,))))
    with pytest.raises(ReconError, match="another architecture"):
        begun_with(model, other)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind, generator):
    net = randomised(kind, generator).train()
    x = torch.randn(2, 4, 2, 8, 8, generator=generator)
    net(x, torch.tensor([1.0, 9.0])).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_those_of_single_slices(kind, generator):
    """The distance of INFusion asks for slices that are no neighbours."""
    prior = DDPM(randomised(kind, generator), bf16=False)
    x = torch.randn(5, 2, 8, 8, generator=generator)
    prior.denoise(x, 0.5)
    all_, one = prior.features(x, 0.1), prior.features(x[2:3], 0.1)
    assert all(
        torch.allclose(a[2:3], b, rtol=1e-4, atol=1e-4) for a, b in zip(all_, one, strict=True)
    )


def test_attention_learns_what_slices_share():
    """Pixels that are alike from slice to slice and independent within: an AR(1) along the stack.

    The error of the best estimate is known. Without neighbours it is σ² / (1 + σ²) at best. A short
    training with attention comes near the closed form, and one without it cannot.
    """
    depth, sigma, settings = 8, 1.0, {"channels": 16, "multipliers": (1,), "attention": ()}
    settings |= {"patch": 1, "outputs": 2}
    place = torch.arange(depth)
    alike = (0.95 ** (place - place[:, None]).abs()).float()
    root, eye = torch.linalg.cholesky(alike), torch.eye(depth)
    wiener = alike @ torch.linalg.solve(alike + sigma**2 * eye, alike)
    least = float((alike - wiener).trace()) / depth

    def draw(count: int, generator: torch.Generator) -> torch.Tensor:
        noise = torch.randn(count, depth, 2, 6, 6, generator=generator)
        return torch.einsum("de,ne...->nd...", root, noise)

    def error(config: UNetConfig) -> float:
        torch.manual_seed(0)
        generator = torch.Generator().manual_seed(0)
        model = DDPM(build(config), predicts="both", bf16=False)
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
        for step in range(250):
            optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 250)
            x = draw(4, generator)
            x = x if model.neighbours else x.flatten(0, 1)
            loss = model.loss(noised(x, generator, DDPMTraining(focus=2.0)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        clean = draw(30, generator)
        noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
        pairs = zip(noisy, clean, strict=True)
        return sum(float((model.denoise(n, sigma) - c).square().mean()) for n, c in pairs) / 30

    assert least == pytest.approx(0.2, abs=0.01)
    assert error(StackUNetConfig(**settings, across=(0,), reach=4)) < 1.25 * least
    assert error(UNetConfig(**settings)) > 0.98 * sigma**2 / (1 + sigma**2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"network": {"kind": "stack_unet"}}, "looks along stacks; set stack"),
        ({"network": {"kind": "unet_3d"}, "factors": (0.5, 1.0)}, "looks along stacks; set stack"),
        ({"stack": 4}, "does not; remove it"),
        ({"stack": 3, "network": {"kind": "unet_3d"}}, "no number of stacks of 3"),
        (
            {"stack": 4, "network": {"kind": "unet_3d"}, "factors": (0.5, 1.0)},
            "stacks have one voxel size",
        ),
    ],
)
def test_stacks_and_networks_that_look_along_them_belong_together(values, words):
    """Slices of other volumes are no neighbours, and a 2D network takes no stack."""
    with pytest.raises(ValueError, match=words):
        DDPMTraining(**values)
