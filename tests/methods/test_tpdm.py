from itertools import pairwise

import pytest
import torch

from recon import ReconError
from recon.methods.sampling import ve_levels
from recon.methods.tpdm import TpdmSettings, data_gradient, tpdm
from recon.mri.slices import as_slices, as_volume
from recon.networks.unet import UNet, UNetConfig
from recon.priors.ddpm import DDPM
from tests.conftest import complex_normal
from tests.gaussian import Counted, GaussianPrior, SmoothPrior, frequencies, regress, single_coil


def small_prior(generator, batch=16):
    network = UNet(UNetConfig(channels=16, multipliers=(1, 2), attention=(1,)))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    return DDPM(network, batch, bf16=False).requires_grad_(False)


@pytest.mark.parametrize("axis", [0, 2])
def test_gradient_of_the_residual_through_the_prior(axis, problem, generator):
    """The gradient agrees with central differences of ‖y − A D(x)‖ along random directions.

    The tolerance is 2 %.
    """
    prior, sigma = SmoothPrior(spread=1.5), 0.7
    x = complex_normal(*problem.operator.shape, generator=generator)

    def norm(v):
        return float(
            (
                2 * problem.objective(as_volume(prior.denoise(as_slices(v, axis), sigma), axis))
            ).sqrt()
        )

    _, gradient = data_gradient(x, sigma, prior, axis, problem)
    for direction in (
        gradient / gradient.norm(),
        gradient + 0.02 * complex_normal(*x.shape, generator=generator),
    ):
        slope = (norm(x + 0.5 * direction) - norm(x - 0.5 * direction)) / 1.0
        assert slope == pytest.approx(
            float(torch.vdot(gradient.flatten(), direction.flatten()).real), rel=0.02
        )


def test_batches_do_not_change_the_gradient(problem, generator):
    """Batches of 5 slices give a real network the same gradient as one batch of all.

    Each batch is evaluated again in the backward pass.
    """
    x = complex_normal(*problem.operator.shape, generator=generator)
    prior = small_prior(generator, batch=100)
    s, gradient = data_gradient(x, 1.0, prior, 0, problem)
    prior.batch = 5
    for found, expected in zip(
        data_gradient(x, 1.0, prior, 0, problem), (s, gradient), strict=True
    ):
        assert (found - expected).norm() < 1e-4 * expected.norm()
    assert not gradient.requires_grad and gradient.norm() > 0


def moments(prior, problem, settings):
    """Moments of tpdm for a white prior of variance S.

    Every frequency has the same denoiser k = S/(S + σ²). A measured one ends at x = a y + noise of
    variance v, another one at variance f. E is the mean square of a real component of y. Of N
    components, n are measured.

    The corrector has g = 1 − ε/(S + σ²), fresh noise 2ε, and ε = 2 snr² (S + σ²)²/(mean square of
    x). The predictor has g = 1 − Δ/(S + σ_t²) and fresh noise Δ. On the primary plane both subtract
    ζ√N k (k x − y)/R of the x they start from, with R² = n [(k a − 1)² E + k² v]. The only sample
    moments are R and ‖s‖. They are sums over thousands of frequencies, and taken at their
    expectation.
    """
    variance, part = prior.spread**2, float(problem.operator.mask.float().mean())
    power = float(problem.kspace.abs().square().mean()) / 2 / part
    levels = ve_levels(prior, settings.steps)
    a, v, f = 0.0, levels[0] ** 2, levels[0] ** 2
    for index, (t, s) in enumerate(pairwise(levels)):
        k, total = variance / (variance + t**2), variance + t**2
        for corrector in (True, False):
            epsilon = 2 * settings.snr**2 * total**2 / (part * (a**2 * power + v) + (1 - part) * f)
            g, fresh = (
                (1 - epsilon / total, 2 * epsilon)
                if corrector
                else (1 - (t**2 - s**2) / total, t**2 - s**2)
            )
            f = g**2 * f + fresh
            if index % settings.every == settings.every - 1:
                a, v = g * a, g**2 * v + fresh
            else:
                pull = settings.zeta * k / (part * ((k * a - 1) ** 2 * power + k**2 * v)) ** 0.5
                a, v = (g - pull * k) * a + pull, (g - pull * k) ** 2 * v + fresh
    return a, v, f


@pytest.mark.parametrize("values", [{"zeta": 0.03}, {"zeta": 0.005}, {"every": 3}, {"zeta": 0.1}])
def test_moments_are_those_of_the_recursion(values, generator):
    """Measured and other frequencies have the moments of the recursion.

    The factor on the data holds within 0.02, and the variance there within 12 %, because R wanders.
    The variance of the others holds within 9 % = 5 · √(2/n), and their mean within 5 σ/√n. The
    others have the prior's variance times the corrector's 1 + snr², within 2 %.
    """
    prior, problem = GaussianPrior(mean=0.3, spread=0.8), single_coil((12, 24, 20), generator)
    settings = TpdmSettings(steps=300, **values)
    x = tpdm(problem, prior, settings)
    measured, data, others = frequencies(x, problem, prior.mean)
    a, v, f = moments(prior, problem, settings)
    found_a, found_v = regress(measured, data)
    assert found_a == pytest.approx(a, abs=0.02) and found_v == pytest.approx(v, rel=0.12)
    assert float(others.var()) == pytest.approx(f, rel=0.09) and f == pytest.approx(
        0.64 * (1 + 0.16**2), rel=0.02
    )
    assert float(torch.view_as_real(x).mean()) == pytest.approx(
        0.3, abs=5 * 0.8 / (2 * x.numel()) ** 0.5
    )


def test_how_far_the_data_win_is_set_by_zeta_not_by_the_number_of_steps(generator):
    """The recursion gives the bias that the method's docstring states.

    As ζ grows, the factor on the data rises.
    """
    prior, problem = GaussianPrior(spread=0.8), single_coil((12, 24, 20), generator)
    won = {
        (z, n): moments(prior, problem, TpdmSettings(zeta=z, steps=n))[0]
        for z in (0.01, 0.1)
        for n in (200, 2000)
    }
    assert (
        won[0.01, 200] == pytest.approx(won[0.01, 2000], abs=0.01) == pytest.approx(0.2, abs=0.03)
    )
    assert won[0.1, 200] == pytest.approx(won[0.1, 2000], abs=0.01) == pytest.approx(0.9, abs=0.03)


def test_without_data_steps_samples_are_the_priors(generator):
    """With ζ = 0 the measured frequencies know nothing of the data.

    They have the prior's variance times 1 + snr², within 9 %.
    """
    prior, problem = GaussianPrior(mean=0.3, spread=0.8), single_coil((12, 24, 20), generator)
    a, v = regress(
        *frequencies(tpdm(problem, prior, TpdmSettings(zeta=0.0, steps=200)), problem, 0.3)[:2]
    )
    assert abs(a) < 5 * 0.8 / 5000**0.5 and v == pytest.approx(0.64 * (1 + 0.16**2), rel=0.09)


@pytest.mark.parametrize("every", [2, 3, 7])
def test_seed_callback_planes_and_count_of_slices(every, problem):
    """The same seed gives the same bits, and the callback sees every step.

    Every K-th step is on the perpendicular plane, with the second prior if one is given.
    """
    seen, primary, auxiliary = [], Counted(GaussianPrior()), Counted(GaussianPrior())
    settings = TpdmSettings(steps=6, every=every, primary=1, perpendicular=2)

    def note(iteration, volume):
        seen.append((iteration, bool(torch.isfinite(torch.view_as_real(volume)).all())))

    first = tpdm(problem, primary, settings, note, auxiliary=auxiliary)
    assert torch.equal(first, tpdm(problem, GaussianPrior(), settings))
    assert not torch.equal(
        first,
        tpdm(
            problem,
            GaussianPrior(),
            TpdmSettings(steps=6, every=every, primary=1, perpendicular=2, seed=1),
        ),
    )
    assert seen == [(i, True) for i in range(6)]
    x, y, z = problem.operator.shape
    # corrector and predictor at one level
    assert [*primary.levels, *auxiliary.levels].count(ve_levels(primary, 6)[0]) == 2
    assert auxiliary.shapes == [(z, 2, x, y)] * (2 * (6 // every)) and primary.shapes == [
        (y, 2, x, z)
    ] * (2 * (6 - 6 // every))


def test_refusals(generator, problem):
    with pytest.raises(ReconError, match="across axis 0 are lines; choose from axes \\[2\\]"):
        tpdm(single_coil((24, 32, 1), generator), GaussianPrior())
    with pytest.raises(ReconError, match="primary and perpendicular are both axis 1"):
        tpdm(problem, GaussianPrior(), TpdmSettings(primary=1, perpendicular=1))
    prior = GaussianPrior()
    prior.denoise = torch.no_grad()(prior.denoise)
    with pytest.raises(ReconError, match="gives no gradient; use tpdm_dds"):
        tpdm(problem, prior, TpdmSettings(steps=2))
    for bad in ({"zeta": -1.0}, {"every": 1}, {"primary": 3}):
        with pytest.raises(ValueError):
            TpdmSettings(**bad)


def test_graphs_end_with_each_step(problem, generator):
    """On the perpendicular plane no graph is built; the volume carries none between steps."""
    prior, flags, volumes = small_prior(generator), [], []
    prior.network.register_forward_hook(
        lambda module, inputs, output: flags.append(output.requires_grad)
    )
    tpdm(
        problem,
        prior,
        TpdmSettings(steps=2, every=2),
        lambda i, v: volumes.append((len(flags), v.requires_grad)),
    )
    (first, grad), (last, grad_too) = volumes
    assert all(flags[:first]) and not any(flags[first:last]) and not grad and not grad_too
