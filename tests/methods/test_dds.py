from itertools import pairwise

import pytest
import torch

from recon import ReconError
from recon.methods.dds import DdsSettings, dds
from recon.methods.sampling import ddim_levels
from recon.methods.tpdm_dds import TpdmDdsSettings, tpdm_dds
from recon.mri import fourier
from recon.mri.problem import Problem
from recon.mri.slices import planes
from recon.networks.unet import UNet, UNetConfig
from recon.priors.ddpm import DDPM
from tests.gaussian import Counted, GaussianPrior, SmoothPrior, frequencies, regress, single_coil

SHAPE = (16, 24, 20)
BOTH = [(tpdm_dds, TpdmDdsSettings), (dds, DdsSettings)]


def ddim_moments(prior, settings, variance, gamma):
    """DDIM's moments a and v: each frequency ends at x = a y + noise of variance v.

    The prior's variance at the frequency is S, so the denoiser D is k = S/(S + σ²). With the data
    step (x0_hat + γy)/(1 + γ), a step of DDIM is affine:
    x_s = (k x + γy)/(1 + γ) + σ_s √(1 − f) (1 − k) x/σ_t + σ_s √f n with f = η² (1 − σ_s²/σ_t²).
    """
    levels = ddim_levels(prior, settings.steps)
    a, v = 0.0, 1 + levels[0] ** 2
    for t, s in pairwise(levels):
        k, f = variance / (variance + t**2), settings.eta**2 * (1 - (s / t) ** 2)
        g = k / (1 + gamma) + s * (1 - f) ** 0.5 * (1 - k) / t
        a, v = g * a + gamma / (1 + gamma), g**2 * v + s**2 * f
    return a, v


@pytest.mark.parametrize(
    "settings", [TpdmDdsSettings(), TpdmDdsSettings(gamma=5.0, steps=50, eta=0.5)]
)
def test_tpdm_dds_has_the_moments_of_its_recursion(settings, generator):
    """Measured frequencies end at the data, the others at the prior's mean and spread.

    The data are met within 1 %. The spread is the prior's but for DDIM's 80 steps. There are 7,680
    real components, so means hold within 5 standard errors and variances within 5 · √(2/n) = 8 %.
    """
    prior, problem = GaussianPrior(mean=0.3, spread=0.8), single_coil(SHAPE, generator)
    x = tpdm_dds(problem, prior, settings)
    measured, data, others = frequencies(x, problem, prior.mean)
    a, v = ddim_moments(prior, settings, prior.spread**2, settings.gamma)
    found_a, found_v = regress(measured, data)
    assert found_a == pytest.approx(
        a, abs=5 * (v / float(data @ data)) ** 0.5 + 1e-4
    ) and a == pytest.approx(1, abs=0.01)
    assert found_v == pytest.approx(v, rel=0.08) and v < 0.002
    free = ddim_moments(prior, settings, prior.spread**2, 0)[1]
    assert float(others.var()) == pytest.approx(free, rel=0.08)
    assert float(torch.view_as_real(x).mean()) == pytest.approx(
        0.3, abs=5 * 0.8 / (2 * x.numel()) ** 0.5
    )
    assert free == pytest.approx(prior.spread**2, rel=0.25)


def test_many_steps_give_the_spread_of_the_prior(generator):
    """DDIM loses variance to its steps alone, and tpdm_dds shows it.

    The loss is 10 % of this prior's variance at 80 steps, and 2.4 % at 400.
    """
    prior, problem = GaussianPrior(spread=0.8), single_coil(SHAPE, generator)
    spread = [
        float(frequencies(tpdm_dds(problem, prior, TpdmDdsSettings(steps=n)), problem)[2].var())
        / 0.64
        for n in (80, 400)
    ]
    assert spread[0] == pytest.approx(0.898, rel=0.08) and spread[1] == pytest.approx(
        0.976, rel=0.08
    )
    assert ddim_moments(prior, TpdmDdsSettings(steps=80), 0.64, 0)[1] / 0.64 == pytest.approx(
        0.898, abs=1e-3
    )


def test_without_weight_on_the_data_samples_are_the_priors(generator):
    """γ = 0: the data do not matter, and every frequency has the prior's moments."""
    prior = GaussianPrior(mean=0.3, spread=0.8)
    problems = [single_coil(SHAPE, generator, part) for part in (0.5, 0.1)]
    first, second = (tpdm_dds(problem, prior, TpdmDdsSettings(gamma=0.0)) for problem in problems)
    assert torch.allclose(first, second, atol=1e-5)
    a, v = regress(*frequencies(first, problems[0], prior.mean)[:2])
    assert abs(a) < 5 * 0.8 / 7000**0.5 and v == pytest.approx(
        ddim_moments(prior, TpdmDdsSettings(), 0.64, 0)[1], rel=0.08
    )


def test_four_cg_steps_solve_the_data_step_for_many_coils(problem, monkeypatch):
    """Four CG steps leave at most 0.15 % of the error.

    γAᴴA + I has a condition number κ ≤ 1.95, and the bound is 2 ((√κ − 1)/(√κ + 1))⁴.
    """
    from recon.methods import tpdm_dds as module

    solved = []
    cg = module.conjugate_gradient
    monkeypatch.setattr(
        module,
        "conjugate_gradient",
        lambda op, b, x, n: solved.append((op, b, x, cg(op, b, x, n))) or solved[-1][-1],
    )
    tpdm_dds(problem, GaussianPrior(), TpdmDdsSettings(steps=4))
    for operator, rhs, start, x in solved:
        exact = cg(operator, rhs, start, 60)
        assert (x - exact).norm() < 0.003 * (start - exact).norm()
        assert torch.allclose(
            0.95 * problem.operator.normal(exact) + exact, rhs, atol=1e-4 * float(rhs.abs().max())
        )


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_dds_samples_correlated_slices_between_the_measured_frequencies(axis, generator):
    """As ρ → 0 one CG step projects on the data, and the other frequencies are sampled.

    Measured frequencies become y. The others keep DDIM's variance for their S(f), slice by slice.
    They are binned by S: within 10 % of the recursion, which lies within 25 % of S itself.
    """
    prior, problem = SmoothPrior(spread=1.5), single_coil((20, 24, 28), generator)
    settings = DdsSettings(axis=axis, rho=1e-6, weight=1e-7, cg_iterations=1)
    k = fourier.fft(dds(problem, prior, settings))
    mask = problem.operator.mask.expand(k.shape)
    assert torch.allclose(k[mask], problem.kspace[0][mask], atol=1e-3)
    plane = [n for a, n in enumerate(k.shape) if a != axis]
    s = prior.spectrum(*plane).unsqueeze(axis).expand(k.shape)[~mask]
    power = k[~mask].abs().square() / 2
    edges = s.quantile(torch.linspace(0, 1, 6))
    for low, high in pairwise(edges.tolist()):
        chosen = (s >= low) & (s <= high)
        expected = torch.tensor(
            [ddim_moments(prior, settings, float(v), 0)[1] for v in s[chosen].unique()]
        )
        weights = torch.stack([(s[chosen] == v).sum() for v in s[chosen].unique()])
        expected = float((expected * weights).sum() / weights.sum())
        assert float(power[chosen].mean()) == pytest.approx(expected, rel=0.1)
        assert expected == pytest.approx(float(s[chosen].mean()), rel=0.25)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_total_variation_without_bound_leaves_volumes_constant_along_the_axis(axis, generator):
    """λ → ∞ makes d = 0, and the dual u drives Dx to 0.

    Where CG is run to the end, the rate is 1/(1 + ρ|δ|²) per step or faster.
    """
    prior, problem = GaussianPrior(mean=0.3, spread=0.8), single_coil((8, 12, 10), generator)
    x = dds(problem, prior, DdsSettings(weight=1e6, rho=10.0, cg_iterations=60, axis=axis))
    free = dds(problem, prior, DdsSettings(weight=1e-6, rho=1e-6, cg_iterations=1, axis=axis))
    spread = [float((v - v.mean(axis, keepdim=True)).norm() / v.norm()) for v in (x, free)]
    assert spread[0] < 0.01 < 0.3 < spread[1]


@pytest.mark.parametrize(
    ("iterations", "rho", "low", "high"),
    [(60, 10.0, 0.0, 0.01), (5, 10.0, 0.0, 0.05), (1, 0.01, 0.5, 1.1)],
)
def test_exact_solves_forget_the_prior(iterations, rho, low, high, generator):
    """How much of the prior's power is left at unmeasured frequencies that vary along the axis.

    Nothing is thresholded. An exact solution of the x-update ignores its start there, which is the
    clean estimate. Five CG steps at the published ρ = 10 come close, since ‖A‖ is 1 here and was
    not there. One step at a small ρ projects on the data, and leaves most of the power.
    """
    prior, problem = GaussianPrior(spread=0.5), single_coil((8, 12, 10), generator)
    k = fourier.fft(dds(problem, prior, DdsSettings(rho=rho, weight=0.0, cg_iterations=iterations)))
    varying = ~problem.operator.mask.expand(k.shape)
    varying[..., 5] = False
    assert low <= float(k[varying].abs().square().mean()) / (2 * 0.25) < high


@pytest.mark.parametrize(("method", "kind"), BOTH)
def test_seed_callback_and_count_of_slices(method, kind, problem):
    """The same seed gives the same bits, and the callback sees every step.

    The network denoises the number of slices that the docstring states.
    """
    seen, prior = [], Counted(GaussianPrior())
    first = method(
        problem,
        prior,
        kind(steps=7),
        lambda i, v: seen.append((i, bool(torch.isfinite(torch.view_as_real(v)).all()))),
    )
    assert torch.equal(first, method(problem, GaussianPrior(), kind(steps=7)))
    assert not torch.equal(first, method(problem, GaussianPrior(), kind(steps=7, seed=1)))
    assert seen == [(i, True) for i in range(7)]
    shape = problem.operator.shape
    assert prior.slices == (
        sum(shape[k % 3] for k in range(7)) if method is tpdm_dds else 7 * shape[2]
    )
    if method is tpdm_dds:
        assert [s[2:] for s in prior.shapes[:3]] == [(32, 28), (24, 28), (24, 32)]


@pytest.mark.parametrize(("method", "kind"), BOTH)
def test_two_dimensional_scan(method, kind, generator):
    """A single slice has one plane, and no differences along z.

    Measured frequencies end at the data.
    """
    problem = single_coil((24, 32, 1), generator)
    assert planes(problem.operator.shape) == [2]
    x = method(problem, GaussianPrior(spread=0.8), kind())
    measured, data, others = frequencies(x, problem)
    assert (measured - data).norm() < 0.05 * data.norm()
    assert float(others.var()) == pytest.approx(0.64, rel=0.4)


def test_refusals(generator):
    with pytest.raises(ReconError, match="across axis 0 are lines; choose from axes \\[2\\]"):
        dds(single_coil((24, 32, 1), generator), GaussianPrior(), DdsSettings(axis=0))
    for bad in ({"eta": 1.5}, {"gamma": -1.0}, {"steps": 0}):
        with pytest.raises(ValueError):
            TpdmDdsSettings(**bad)
    for bad in ({"rho": 0.0}, {"axis": 3}, {"weight": float("nan")}):
        with pytest.raises(ValueError):
            DdsSettings(**bad)


@pytest.mark.parametrize(("method", "kind"), BOTH)
def test_no_graph_is_built(method, kind, problem: Problem):
    """Although the parameters of this network ask for gradients."""
    network = UNet(UNetConfig(channels=16, multipliers=(1, 2), attention=(1,)))
    seen = []
    network.register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    x = method(problem, DDPM(network, bf16=False), kind(steps=2))
    assert seen and not any(seen) and not x.requires_grad
