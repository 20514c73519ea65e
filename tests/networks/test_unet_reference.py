"""The U-Net against the same architecture in plain functions (Dhariwal and Nichol 2021)."""

import math

import pytest
import torch
import torch.nn.functional as F

from recon.networks.unet import Attention, GroupNorm, UNet, UNetConfig, timestep_embedding


@pytest.fixture
def randomised(generator):
    """Random weights everywhere: an untrained network has zeros that would hide mistakes."""

    def fill(network: torch.nn.Module) -> torch.nn.Module:
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.2, generator=generator)
        return network

    return fill


def test_timesteps_become_cosines_and_sines_of_geometric_frequencies():
    t, dim = torch.tensor([0.0, 3.5, 1000.0]), 8
    found = timestep_embedding(t, dim)
    for row, time in zip(found.tolist(), t.tolist(), strict=True):
        angles = [time * 10000 ** (-k / (dim // 2)) for k in range(dim // 2)]
        expected = [math.cos(a) for a in angles] + [math.sin(a) for a in angles]
        assert row == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("grad", [True, False])
def test_group_norm_is_torchs_with_scale_and_shift(grad, randomised, generator):
    norm = randomised(GroupNorm(16))
    x = 2 + torch.randn(3, 16, 5, 4, generator=generator)
    scale, shift = torch.randn(2, 3, 16, 1, 1, generator=generator)
    expected = F.group_norm(x, norm.num_groups, norm.weight, norm.bias) * (1 + scale) + shift
    with torch.set_grad_enabled(grad):
        assert torch.allclose(norm(x, scale, shift), expected, atol=1e-5)
    assert 16 // norm.num_groups >= 4  # channels a group


def test_attention_is_softmax_over_all_pixels_a_head(randomised, generator):
    layer = randomised(Attention(16, head_channels=8))
    x = torch.randn(2, 16, 3, 5, generator=generator)
    h = F.conv2d(layer.norm(x), layer.qkv.weight, layer.qkv.bias).flatten(2)
    q, k, v = (part.unflatten(1, (2, 8)) for part in h.chunk(3, dim=1))  # n head channel pixel
    weights = torch.softmax(torch.einsum("nhcp,nhcq->nhpq", q, k) / 8**0.5, dim=-1)
    out = torch.einsum("nhpq,nhcq->nhcp", weights, v).reshape(2, 16, 3, 5)
    expected = x + F.conv2d(out, layer.project.weight, layer.project.bias)
    assert torch.allclose(layer(x), expected, atol=1e-4)


class Reference:
    """The forward pass from a dictionary of weights, without modules."""

    def __init__(self, network: UNet):
        self.w, self.config = network.state_dict(), network.config

    def conv(self, name, x):
        weight = self.w[f"{name}.weight"]
        return F.conv2d(x, weight, self.w[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def norm(self, name, x):
        groups = math.gcd(32, x.shape[1] // 4)
        return F.group_norm(x, groups, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def linear(self, name, x):
        return F.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def block(self, name, x, e, resize=lambda x: x):
        h = self.conv(f"{name}.conv_in", resize(F.silu(self.norm(f"{name}.norm_in", x))))
        scale, shift = self.linear(f"{name}.modulate", e)[..., None, None].chunk(2, dim=1)
        h = self.norm(f"{name}.norm_out", h) * (1 + scale) + shift
        h = self.conv(f"{name}.conv_out", F.silu(h))
        x = resize(x)
        return h + (self.conv(f"{name}.skip", x) if f"{name}.skip.weight" in self.w else x)

    def attend(self, name, x):
        qkv = self.conv(f"{name}.qkv", self.norm(f"{name}.norm", x)).flatten(2)
        q, k, v = qkv.chunk(3, dim=1)  # one head
        out = v @ torch.softmax(q.mT @ k / q.shape[1] ** 0.5, dim=-1).mT
        return x + self.conv(f"{name}.project", out.view_as(x))

    def level(self, name, x, e):
        x = self.block(f"{name}.block", x, e)
        return self.attend(f"{name}.attend", x) if f"{name}.attend.qkv.weight" in self.w else x

    def __call__(self, x, t):
        """Two levels of two blocks, attention on the coarse one."""
        half, double = (lambda x: F.avg_pool2d(x, 2)), (lambda x: F.interpolate(x, scale_factor=2))
        e = self.linear("embed.0", timestep_embedding(t, self.config.channels))
        e = F.silu(self.linear("embed.2", F.silu(e)))
        s0 = self.conv("stem", x)
        s1 = self.level("encoder.0", s0, e)
        s2 = self.level("encoder.1", s1, e)
        s3 = self.block("encoder.2", s2, e, half)
        s4 = self.level("encoder.3", s3, e)
        s5 = self.level("encoder.4", s4, e)
        h = self.block("middle.1", self.level("middle.0", s5, e), e)
        for number, skip in enumerate((s5, s4, s3)):
            h = self.level(f"decoder.{number}", torch.cat([h, skip], 1), e)
        h = self.block("decoder.3", h, e, double)
        for number, skip in enumerate((s2, s1, s0), start=4):
            h = self.level(f"decoder.{number}", torch.cat([h, skip], 1), e)
        return self.conv("head.2", F.silu(self.norm("head.0", h)))


def test_the_network_is_its_reference(randomised, generator):
    config = UNetConfig(channels=16, multipliers=(1, 2), blocks=2, attention=(1,), patch=1)
    network = randomised(UNet(config))
    x, t = torch.randn(2, 2, 12, 16, generator=generator), torch.tensor([3.0, 700.0])
    expected = Reference(network)(x, t)
    assert torch.allclose(network(x, t), expected, atol=1e-4 * float(expected.detach().abs().max()))
    with torch.no_grad():
        assert torch.allclose(
            network(x, t), expected, atol=1e-4 * float(expected.detach().abs().max())
        )


def test_patches_are_pixels_folded_into_channels(randomised, generator):
    """With patches of 2 it is the network of 8 channels on the folded image."""
    folded = UNetConfig(channels=16, multipliers=(1, 2), attention=(1,), patch=1, image_channels=8)
    network = randomised(UNet(folded))
    patched = UNet(folded.model_copy(update={"patch": 2, "image_channels": 2}))
    patched.load_state_dict(network.state_dict())
    x, t = torch.randn(2, 2, 12, 16, generator=generator), torch.tensor([3.0, 700.0])
    expected = F.pixel_shuffle(network(F.pixel_unshuffle(x, 2), t), 2)
    assert torch.allclose(patched(x, t), expected, atol=1e-5 * float(expected.detach().abs().max()))
