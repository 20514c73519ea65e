"""The EDM against Karras et al. and against data whose denoiser is known."""

import pytest
import torch

from recon import methods
from recon.networks import trained
from recon.networks.unet import UNet, UNetConfig
from recon.networks.weights import load_weights, save_weights
from recon.priors.edm import EDM, EDMTraining, levels, noised, sample, timestep
from tests.gaussian import GaussianPrior, single_coil


class Zero(torch.nn.Module):
    """What the exact network answers for Gaussian data of the spread σ_d: nothing is left to it."""

    def forward(self, x, t):
        return torch.zeros_like(x)


class Seen(torch.nn.Module):
    """Notes what it is shown, and answers one."""

    def forward(self, x, t):
        self.x, self.t = x, t
        return torch.ones_like(x)


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
def test_without_its_network_it_is_the_denoiser_of_a_gaussian(spread, generator):
    prior = EDM(Zero(), bf16=False, sigma_data=spread)
    exact = GaussianPrior(spread=spread)
    x = torch.randn(4, 2, 5, 6, generator=generator)
    sigma = torch.tensor([0.0, 0.1, 1.0, 80.0])
    assert torch.allclose(prior.denoise(x, sigma), exact.denoise(x, sigma), atol=1e-6)


def test_preconditioning_is_that_of_their_table(generator):
    """Inputs have unit variance; the output is scaled by c_out."""
    prior, sigma = EDM(Seen(), bf16=False, sigma_data=0.5), torch.tensor([0.02, 1.0, 30.0])
    level = sigma.view(-1, 1, 1, 1)
    noisy = 0.5 * torch.randn(3, 2, 64, 64, generator=generator)
    noisy = noisy + level * torch.randn(3, 2, 64, 64, generator=generator)
    found = prior.denoise(noisy, sigma)
    assert torch.allclose(prior.network.x.std((1, 2, 3)), torch.ones(3), rtol=0.03)
    c_out = level * 0.5 / (level**2 + 0.25).sqrt()
    assert torch.allclose(found, 0.25 / (level**2 + 0.25) * noisy + c_out, atol=1e-5)
    assert torch.allclose(prior.network.t, timestep(sigma))
    lowest, highest = timestep(torch.tensor([0.002, 80.0])).tolist()
    assert 0 < lowest < highest < 1000


def test_the_loss_counts_every_level_alike(generator):
    """For Gaussian data the exact network leaves a loss of 1, whatever the levels are."""
    x0 = torch.randn(4000, 2, 8, 8, generator=generator)
    for mean in (-3.0, 0.0, 2.0):
        settings = EDMTraining(mean=mean, spread=0.5)
        loss = EDM(Zero(), bf16=False).loss(noised(x0, generator, settings))
        assert float(loss) == pytest.approx(1, rel=0.02)


def test_levels_are_those_of_their_equation():
    found = levels(18)
    assert len(found) == 19 and found[-1] == 0
    assert float(found[0]) == pytest.approx(80) and float(found[-2]) == pytest.approx(0.002)
    assert float(found[9]) == pytest.approx(
        (80 ** (1 / 7) + 9 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    )


def test_heun_is_of_second_order_and_euler_of_first(generator):
    """For a Gaussian the path is known: x(0) = x(σ) s / sqrt(s² + σ²)."""
    prior, x = GaussianPrior(spread=0.5), torch.randn(1, 2, 4, 4, generator=generator)
    exact = x * 0.5 / (0.5**2 + 2.0**2) ** 0.5
    errors = {}
    for heun in (False, True):
        for steps in (16, 32):
            found = sample(prior, x, levels(steps, 2.0, 1e-3), heun)
            errors[heun, steps] = float((found - exact).norm())
    assert errors[False, 16] / errors[False, 32] == pytest.approx(2, rel=0.3)
    assert errors[True, 16] / errors[True, 32] > 3
    assert errors[True, 16] < 0.3 * errors[False, 16]


def test_samples_have_the_spread_of_the_data(generator):
    prior = GaussianPrior(mean=0.7, spread=0.5)
    start = 80 * torch.randn(64, 2, 8, 8, generator=generator)
    drawn = sample(prior, start, levels(40))
    assert float(drawn.mean()) == pytest.approx(0.7, abs=0.03)
    assert float(drawn.std()) == pytest.approx(0.5, rel=0.05)


def test_training_teaches_it_what_the_data_are(generator):
    """Slices of one constant each: knowing that beats the Gaussian of the same spread."""
    settings = EDMTraining(network=UNetConfig(channels=16, multipliers=(1, 2), attention=()))
    torch.manual_seed(0)
    model = trained.build(settings)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(120):
        x0 = torch.randn(16, 2, 1, 1, generator=generator).expand(-1, -1, 8, 8)
        optimizer.zero_grad()
        model.loss(noised(x0, generator, settings)).backward()
        optimizer.step()
    x0 = torch.randn(64, 2, 1, 1, generator=generator).expand(-1, -1, 8, 8)
    noisy = x0 + torch.randn(x0.shape, generator=generator)
    with torch.no_grad():
        error = (model.denoise(noisy, 1.0) - x0).square().mean()
    assert float(error) < 0.25  # 0.5 for the Gaussian, 1/65 for one who knows all


def test_weights_say_what_kind_they_are(tmp_path):
    settings = EDMTraining(sigma_data=0.7, network=UNetConfig(channels=16, multipliers=(1,)))
    model = trained.build(settings)
    save_weights(tmp_path / "edm.safetensors", settings, model, {})
    found, _ = load_weights(tmp_path / "edm.safetensors")
    assert isinstance(found, EDM) and found.kind == "edm" and found.sigma_data == 0.7
    assert isinstance(found.network, UNet)


class Mixture:
    """Two slices, m and −m, each with spread around it; the first with the probability p."""

    sigma_max, neighbours, flips, pixels = 80.0, 0, False, None

    def __init__(self, mode: torch.Tensor, spread: float, p: float):
        self.mode, self.spread, self.p = mode, spread, p

    def denoise(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        variance = self.spread**2 + sigma**2
        odds = torch.logit(torch.tensor(self.p)) + 2 * (x * self.mode).sum((1, 2, 3)) / variance
        sign = (odds / 2).tanh().view(-1, 1, 1, 1)  # the mean of ±1
        shrink = self.spread**2 / variance
        return shrink * x + (1 - shrink) * sign * self.mode


@pytest.mark.parametrize("heun", [False, True])
def test_samples_of_a_mixture_lie_in_its_modes_as_often_as_they_should(heun, generator):
    mode, spread = torch.full((2, 4, 4), 0.5), 0.2
    prior = Mixture(mode, spread, 0.3)
    start = 80 * torch.randn(2000, 2, 4, 4, generator=generator)
    drawn = sample(prior, start, levels(60), heun)
    place = (drawn * mode).sum((1, 2, 3)) / mode.square().sum()
    assert float((place > 0).float().mean()) == pytest.approx(0.3, abs=0.04)
    assert float(place.abs().mean()) == pytest.approx(1, abs=0.02)
    around = drawn - place.sign().view(-1, 1, 1, 1) * mode
    assert float(around.std()) == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("name", [n for n in methods.names() if methods.takes_prior(n)])
def test_an_edm_serves_every_method_as_another_prior_does(name, generator):
    """Without its network it is the denoiser of a Gaussian. So both give the same volume."""
    problem, few = single_coil((6, 8, 8), generator), {}
    steps = {"iterations", "steps"} & set(vars(methods.lookup(name).settings()))
    few = dict.fromkeys(steps, 5) | ({"distance": "mse"} if "infusion" in name else {})
    few |= {"pixel": 1.0} if "pixel" in vars(methods.lookup(name).settings()) else {}
    one, other = (
        methods.reconstruct(problem, name, prior, **few)
        for prior in (EDM(Zero(), bf16=False), GaussianPrior())
    )
    # Both have a highest noise level of their own, at which a posterior sampler may begin.
    if methods.lookup(name).samples:
        assert one.isfinite().all() and one.abs().mean() < 2 * other.abs().mean()
    else:
        assert torch.allclose(one, other, atol=1e-4)
