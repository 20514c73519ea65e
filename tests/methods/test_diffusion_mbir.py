from itertools import pairwise

import pytest
import torch

from recon import ReconError
from recon.methods.diffusion_mbir import DiffusionMbirSettings, diffusion_mbir
from recon.methods.sampling import admm, begun, correct, predict, score, variation, ve_levels
from recon.mri.problem import Problem
from recon.mri.solvers import difference, difference_adjoint, inner
from recon.networks.unet import UNet, UNetConfig
from recon.priors.ddpm import DDPM
from tests.conftest import complex_normal
from tests.gaussian import Counted, GaussianPrior, frequencies, single_coil


def test_levels_are_the_papers():
    """Geometric from 378, or the largest that the prior knows, to 0.01."""
    prior = GaussianPrior()
    levels = ve_levels(prior, 10)
    assert (
        len(levels) == 11
        and levels[0] == pytest.approx(prior.sigma_max)
        and levels[-1] == pytest.approx(0.01)
    )
    ratios = [t / s for t, s in pairwise(levels)]
    assert max(ratios) == pytest.approx(min(ratios))
    prior.sigma_max = 1e4
    assert ve_levels(prior, 10)[0] == pytest.approx(378)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_difference_has_its_adjoint_and_sees_one_axis(axis, generator):
    x, y = (complex_normal(4, 5, 6, generator=generator) for _ in range(2))
    assert float(inner(difference(x, axis), y)) == pytest.approx(
        float(inner(x, difference_adjoint(y, axis))), rel=1e-4
    )
    constant = x.mean(axis, keepdim=True).expand(4, 5, 6)
    assert difference(constant, axis).abs().max() == 0
    assert torch.equal(difference(x, axis).select(axis, 1), x.select(axis, 2) - x.select(axis, 1))


@pytest.mark.parametrize("stack", [False, True])
def test_variation_sees_the_image_of_each_set_of_maps_alone(stack, generator):
    """Two images, each constant along z, do not vary, though they differ."""
    maps = complex_normal(2, 3, 4, 5, 6, generator=generator)
    mask = torch.ones(5, 6, dtype=torch.bool)
    kspace = complex_normal(3, 4, 5, 6, generator=generator)
    smooth = variation(Problem.build(kspace, mask, maps, stack=stack), 2, 1.0)
    constant = torch.cat([torch.full((4, 5, 6), value + 0j) for value in (1.0, 3.0)], -1)
    assert smooth.forward(constant).abs().max() == 0
    x, y = (complex_normal(4, 5, 12, generator=generator) for _ in range(2))
    assert float(inner(smooth.forward(x), y)) == pytest.approx(
        float(inner(x, smooth.adjoint(y))), rel=1e-4
    )


@pytest.mark.parametrize("weight", [0.02, 0.2])
def test_admm_reaches_the_minimiser_of_its_objective(weight, problem, generator):
    """Iterated with CG run far, no random step lowers ½‖Ax − y‖² + λ‖Dx‖₁, and d = Dx."""

    def objective(v):
        return float(problem.objective(v)) + weight * float(difference(v, 2).abs().sum())

    x, smooth = problem.rhs, [variation(problem, 2, weight)]
    kept = begun(x, smooth)
    for _ in range(300):
        x, kept = admm(problem.operator.normal, problem.rhs, x, smooth, kept, 0.5, 10)
    ((d, _),) = kept
    assert (d - difference(x, 2)).norm() < 0.01 * (1 + difference(x, 2).norm())
    assert objective(x) < 0.99 * objective(problem.rhs)
    for size in (1e-1, 1e-2):
        assert objective(x + size * complex_normal(*x.shape, generator=generator)) > objective(x)


def test_langevin_corrector_leaves_the_variance_too_large(generator):
    """On a Gaussian the corrector's chain rests at 1 + snr² times the variance.

    With the prior's variance S at noise σ and V = S + σ², the chain is x ← (1 − ε/V) x + √(2ε) z
    with ε = 2 snr² V²/x². It rests where x² = (1 + snr²) V: within 3 % over 40,000 components.
    """
    prior, x, scan = (
        GaussianPrior(spread=0.6),
        complex_normal(20, 32, 32, generator=generator),
        single_coil((20, 32, 32), generator),
    )
    for _ in range(60):
        x = correct(x, score(scan, prior, x, 0.5, 2), 0.4, generator)
    assert float(torch.view_as_real(x).var()) == pytest.approx(
        (0.36 + 0.25) * (1 + 0.4**2), rel=0.03
    )


def test_predictor_is_the_reverse_diffusion(generator):
    """Of a unit Gaussian at σ_t: mean x (1 − Δ/(1 + σ_t²)), variance Δ = σ_t² − σ_s²."""
    prior, x, scan = (
        GaussianPrior(),
        3 * torch.ones(16, 32, 32, dtype=torch.complex64),
        single_coil((16, 32, 32), generator),
    )
    after = torch.view_as_real(predict(x, score(scan, prior, x, 2.0, 0), 2.0, 1.0, generator))
    assert float(after[..., 0].mean()) == pytest.approx(3 * (1 - 3 / 5), abs=0.07)
    assert float(after.var((0, 1, 2)).mean()) == pytest.approx(3, rel=0.04)


def free_variance(prior, problem, settings):
    """The variance of the unmeasured frequencies under a white prior of variance S, as ρ → 0.

    The measured frequencies hold y after every step. E is the mean square of a real component of y.
    Of N components, n are measured.

    The predictor gives v ← (1 − Δ/(S + σ_t²))² v + Δ, and w = (1 − Δ/(S + σ_t²))² E + Δ at the
    measured ones. The corrector has ε = 2 snr² N / (((N − n) v + n w)/(S + σ_s²)²), and gives
    v ← (1 − ε/(S + σ_s²))² v + 2ε.
    """
    variance, levels = prior.spread**2, ve_levels(prior, settings.steps)
    part = float(problem.operator.mask.float().mean())
    power = float(problem.kspace.abs().square().mean()) / 2 / part
    v = levels[0] ** 2
    w = 0.0
    for t, s in pairwise(levels):
        g, step = 1 - (t**2 - s**2) / (variance + t**2), t**2 - s**2
        v, w = g**2 * v + step, g**2 * (power if w else levels[0] ** 2) + step
        total = variance + s**2
        epsilon = 2 * settings.snr**2 * total**2 / ((1 - part) * v + part * w)
        v = (1 - epsilon / total) ** 2 * v + 2 * epsilon
    return v


@pytest.mark.parametrize("settings", [{"steps": 800}, {"steps": 200}, {"steps": 200, "snr": 0.4}])
def test_measured_frequencies_are_the_data_and_the_others_have_the_moments_of_the_recursion(
    settings, generator
):
    """As ρ → 0 one CG step projects on the data, and the other frequencies are sampled.

    Measured frequencies equal the data within 1e-3. The others have the prior's mean within 5
    standard errors, and the recursion's variance within 5 · √(2/n) = 9 %. At 800 steps that
    variance is the prior's times the corrector's 1 + snr², within 5 %.
    """
    prior, problem = GaussianPrior(mean=0.3, spread=0.8), single_coil((12, 24, 20), generator)
    settings = DiffusionMbirSettings(rho=1e-6, weight=1e-7, **settings)
    x = diffusion_mbir(problem, prior, settings)
    measured, data, others = frequencies(x, problem, prior.mean)
    assert (measured - data).norm() < 1e-3 * data.norm()
    expected = free_variance(prior, problem, settings)
    assert float(others.var()) == pytest.approx(expected, rel=0.09)
    assert float(torch.view_as_real(x).mean()) == pytest.approx(
        0.3, abs=5 * 0.8 / (2 * x.numel()) ** 0.5
    )
    if settings.steps == 800:
        assert expected == pytest.approx(0.64 * (1 + 0.16**2), rel=0.05)


def test_total_variation_without_bound_leaves_volumes_constant_along_the_axis(generator):
    """λ → ∞ makes d = 0, and the dual drives Dx to what the last step put back.

    The last predictor and corrector put back the order of the last σ, 0.01.
    """
    prior, problem = GaussianPrior(spread=0.8), single_coil((8, 12, 10), generator)
    stiff, loose = (
        diffusion_mbir(
            problem, prior, DiffusionMbirSettings(steps=200, weight=w, rho=r, cg_iterations=n)
        )
        for w, r, n in ((1e6, 10.0, 15), (1e-7, 1e-6, 1))
    )
    spread = [float((v - v.mean(2, keepdim=True)).norm() / v.norm()) for v in (stiff, loose)]
    assert spread[0] < 0.02 < 0.3 < spread[1]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_seed_callback_and_count_of_slices(axis, problem):
    """The same seed gives the same bits, and the callback sees every step.

    2 × steps × slices are denoised, the corrector's at the new level.
    """
    seen, prior, settings = [], Counted(GaussianPrior()), DiffusionMbirSettings(steps=5, axis=axis)
    first = diffusion_mbir(
        problem,
        prior,
        settings,
        lambda i, v: seen.append((i, bool(torch.isfinite(torch.view_as_real(v)).all()))),
    )
    assert torch.equal(first, diffusion_mbir(problem, GaussianPrior(), settings))
    assert not torch.equal(
        first,
        diffusion_mbir(problem, GaussianPrior(), DiffusionMbirSettings(steps=5, axis=axis, seed=1)),
    )
    assert seen == [(i, True) for i in range(5)]
    shape = problem.operator.shape
    assert prior.slices == 2 * 5 * shape[axis]
    assert prior.levels == [level for pair in pairwise(ve_levels(prior, 5)) for level in pair]
    assert set(prior.shapes) == {(shape[axis], 2, *(n for a, n in enumerate(shape) if a != axis))}


def test_two_dimensional_scan(generator):
    """A single slice has no differences along z.

    Measured frequencies end at the data, the others at the prior's spread.
    """
    problem = single_coil((24, 32, 1), generator)
    measured, data, others = frequencies(
        diffusion_mbir(problem, GaussianPrior(spread=0.8), DiffusionMbirSettings(steps=300)),
        problem,
    )
    assert (measured - data).norm() < 1e-3 * data.norm()
    assert float(others.var()) == pytest.approx(0.64, rel=0.3)


def test_refusals(generator):
    with pytest.raises(ReconError, match="across axis 1 are lines; choose from axes \\[2\\]"):
        diffusion_mbir(
            single_coil((24, 32, 1), generator), GaussianPrior(), DiffusionMbirSettings(axis=1)
        )
    for bad in ({"snr": 0.0}, {"rho": -1.0}, {"steps": 0}, {"axis": "z"}):
        with pytest.raises(ValueError):
            DiffusionMbirSettings(**bad)


def test_no_graph_is_built(problem):
    """Although the parameters of this network ask for gradients."""
    network = UNet(UNetConfig(channels=16, multipliers=(1, 2), attention=(1,)))
    seen = []
    network.register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    x = diffusion_mbir(problem, DDPM(network, bf16=False), DiffusionMbirSettings(steps=2))
    assert seen and not any(seen) and not x.requires_grad
