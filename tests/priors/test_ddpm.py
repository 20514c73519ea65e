import pytest
import torch

from recon import ReconError
from recon.mri.slices import as_slices, as_volume
from recon.networks.unet import UNet, UNetConfig
from recon.networks.weights import load_weights, save_weights
from recon.priors.ddpm import DDPM, DDPMTraining, noised
from recon.priors.sampling import ddim, ddim_step
from recon.priors.schedule import ALPHA_BAR, ddpm_sigma, ddpm_timestep
from tests.conftest import complex_normal
from tests.gaussian import GaussianPrior, TwoModes

SMALL = UNetConfig(channels=16, multipliers=(1, 2), attention=(1,))


class Oracle(torch.nn.Module):
    """Predicts the noise in x_t exactly when the data are Gaussian of unit variance.

    The prediction is ε̂ = sqrt(1 − ᾱ) x_t.
    """

    def forward(self, x, t):
        alpha_bar = ALPHA_BAR[t.round().long().cpu()].float()
        return (1 - alpha_bar).sqrt().view(-1, 1, 1, 1) * x


class NoiseOf(torch.nn.Module):
    """Predicts the noise in x_t exactly, where the denoiser of the slices is known."""

    def __init__(self, known):
        super().__init__()
        self.known = known

    def forward(self, x, t):
        alpha_bar = ALPHA_BAR[t.round().long()].float().view(-1, 1, 1, 1)
        x, sigma = x / alpha_bar.sqrt(), (1 / alpha_bar - 1).sqrt()
        return (x - self.known.denoise(x, sigma.flatten())) / sigma


def test_schedule_is_the_papers():
    """β linear from 1e-4 to 0.02 in 1000 steps; ᾱ_1 = 1 − 1e-4, ᾱ_1000 ≈ 4.0e-5."""
    alpha_bar = ALPHA_BAR
    assert len(alpha_bar) == 1001 and alpha_bar[0] == 1
    assert float(alpha_bar[1]) == pytest.approx(1 - 1e-4)
    assert float(alpha_bar[1000]) == pytest.approx(4.0e-5, rel=0.02)


def test_timestep_inverts_sigma():
    times = torch.tensor([0.0, 0.5, 1.0, 33.3, 400.0, 999.0, 1000.0])
    sigmas = torch.tensor([ddpm_sigma(float(t)) for t in times])
    assert torch.allclose(ddpm_timestep(sigmas), times, atol=2e-3, rtol=1e-4)
    assert ddpm_timestep(torch.tensor([1e6])) == 1000


def test_denoise_of_the_exact_predictor_is_the_posterior_mean(generator):
    """For unit Gaussian data E[x0 | x0 + σn] = x / (1 + σ²), at whole timesteps.

    Slices may have their own σ.
    """
    prior = DDPM(Oracle(), batch=2, bf16=False)
    x = torch.randn(3, 2, 4, 5, generator=generator)
    sigma = torch.tensor([ddpm_sigma(t) for t in (5, 100, 700)])
    assert torch.allclose(
        prior.denoise(x, sigma), x / (1 + sigma.view(-1, 1, 1, 1) ** 2), atol=1e-4
    )
    assert torch.allclose(prior.denoise(x, float(sigma[1])), x / (1 + sigma[1] ** 2), atol=1e-4)


def test_loss_of_the_exact_predictor(generator):
    """For unit Gaussian data the loss is the mean of ᾱ over the timesteps drawn.

    The error of ε̂ has variance ᾱ.
    """
    prior = DDPM(Oracle(), bf16=False)
    x0 = torch.randn(20000, 2, 4, 4, generator=generator)

    def loss(focus: float) -> float:
        return float(prior.loss(noised(x0, generator, DDPMTraining(focus=focus))))

    assert loss(1.0) == pytest.approx(float(ALPHA_BAR[1:].mean()), rel=0.03)
    quantiles = ((torch.arange(20000) + 0.5) / 20000) ** 2
    assert loss(2.0) == pytest.approx(
        float(ALPHA_BAR[(1000 * quantiles).ceil().long()].mean()), rel=0.03
    )


@pytest.mark.parametrize(("steps", "eta"), [(1000, 1.0), (400, 0.0), (200, 0.85)])
def test_sampler_draws_from_a_gaussian_prior(steps, eta, generator):
    prior = GaussianPrior(mean=0.7, spread=0.5)
    samples = ddim(prior, (64, 2, 8, 8), generator, steps, eta)
    assert float(samples.mean()) == pytest.approx(0.7, abs=0.03)
    assert float(samples.std()) == pytest.approx(0.5, rel=0.06)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_sampler_draws_from_a_mixture(eta, generator):
    """Both modes are drawn alike often, each with its spread."""
    image = torch.randn(2, 8, 8, generator=generator)
    prior = DDPM(NoiseOf(TwoModes(image, 0.5)), bf16=False)
    samples = ddim(prior, (400, 2, 8, 8), generator, 100, eta)
    place = (samples * image).sum((1, 2, 3)) / image.square().sum()
    assert float(place.abs().mean()) == pytest.approx(1, abs=0.03)
    assert float((place > 0).float().mean()) == pytest.approx(0.5, abs=0.08)
    assert float((place - place.sign()).std() * image.norm()) == pytest.approx(0.5, rel=0.15)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("t", "s"), [(1000, 980), (500, 20), (20, 0)])
def test_ddim_step_is_equation_12(t, s, eta):
    """Against Song et al. in their own variable x_t = sqrt(ᾱ) x, with the same noise."""
    a_t, a_s = float(ALPHA_BAR[t]), float(ALPHA_BAR[s])
    x0_hat, eps = torch.randn(2, 5, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    z = torch.randn(x0_hat.shape, generator=torch.Generator().manual_seed(1))
    spread = eta * ((1 - a_s) / (1 - a_t) * (1 - a_t / a_s)) ** 0.5
    expected = a_s**0.5 * x0_hat + (1 - a_s - spread**2) ** 0.5 * eps + spread * z
    found = ddim_step(
        x0_hat, eps, ddpm_sigma(t), ddpm_sigma(s), eta, torch.Generator().manual_seed(1)
    )
    assert torch.allclose(a_s**0.5 * found, expected, atol=1e-5)


def test_gradients_through_the_denoiser(generator):
    """The result can be differentiated with respect to x only where x asks for it.

    The backward pass evaluates each batch once more, which bounds the memory.
    """
    prior = DDPM(UNet(SMALL), batch=2, bf16=False)
    for parameter in prior.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    sizes = []
    prior.network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    x, pull = torch.randn(2, 5, 2, 8, 8, generator=generator)
    assert not prior.denoise(x, 0.5).requires_grad and sizes == [2, 2, 1]
    x.requires_grad_()
    with torch.no_grad():
        assert not prior.denoise(x, 0.5).requires_grad
    sizes.clear()
    (gradient,) = torch.autograd.grad(prior.denoise(x, 0.5), x, pull)
    assert sorted(sizes) == [1, 1, 2, 2, 2, 2]
    sigma = torch.full((5,), 0.5)
    (expected,) = torch.autograd.grad(prior.estimate(x, sigma), x, pull)
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_and_volume_are_inverse(axis, generator):
    volume = complex_normal(3, 4, 5, generator=generator)
    slices = as_slices(volume, axis)
    assert slices.shape[0] == volume.shape[axis] and torch.equal(as_volume(slices, axis), volume)
    assert torch.equal(torch.complex(slices[1, 0], slices[1, 1]), volume.select(axis, 1))


def test_weights_round_trip(tmp_path, generator):
    net = UNet(SMALL)
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    save_weights(tmp_path / "p.safetensors", DDPMTraining(network=SMALL), DDPM(net), {"seed": 3})
    prior, about = load_weights(tmp_path / "p.safetensors")
    x = torch.randn(1, 2, 8, 8, generator=generator)
    assert about == {"seed": 3} and prior.network.config == SMALL
    assert not prior.training and not any(p.requires_grad for p in prior.parameters())
    expected = net(x, torch.ones(1))
    assert (prior.network(x, torch.ones(1)) - expected).norm() < 0.02 * expected.norm()
    for a, b in zip(net.parameters(), prior.network.parameters(), strict=True):
        assert (a - b).abs().max() <= 0.5001 / 127 * a.abs().max() + 1e-3 * a.abs().max()
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("content", [b"", b"not a safetensors file", b"\xff" * 64])
def test_damaged_weights_are_refused_in_one_line(tmp_path, content):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(ReconError, match="bad.safetensors") as error:
        load_weights(path)
    assert "\n" not in str(error.value)


def test_missing_weights_are_refused(tmp_path):
    with pytest.raises(ReconError, match="no trained network can be read"):
        load_weights(tmp_path / "absent.safetensors")
