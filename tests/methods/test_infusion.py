"""INFusion: its prior step in expectation, one regulariser at a time, and early stopping."""

from dataclasses import replace

import pytest
import torch

from recon import ReconError, methods
from recon.methods.infusion import INFusionSettings, drawn_slices, infusion
from recon.methods.inr import INRSettings, inr, nothing
from recon.methods.inr_wavelet import INRWaveletSettings, inr_wavelet
from recon.methods.slicewise import Slices
from recon.methods.stopping import KeptBack
from recon.networks import backbones
from recon.priors.edm import levels
from recon.representations import fitting, make
from tests.conftest import complex_normal
from tests.gaussian import Counted, GaussianPrior

SMALL = {"kind": "implicit", "width": 16, "layers": 2, "features": 8, "warm": 0}
VOXELS = {"representation": "voxels", "iterations": 60}


def penalty_of(monkeypatch, run) -> tuple:
    """The penalty that a method hands to `fit`, and the problem that it fits."""
    seen = {}

    def fake(model, problem, penalty, *rest):
        seen.update(model=model, penalty=penalty, problem=problem)
        return problem.rhs

    monkeypatch.setattr("recon.methods.inr.fit", fake)
    run()
    return seen["penalty"], seen["problem"], seen["model"]


def test_a_target_is_what_the_prior_makes_of_noisy_slices(problem, generator):
    """For a Gaussian the sampler's end is known: s + σ n shrunk by 1 / sqrt(1 + σ²)."""
    prior = Counted(GaussianPrior())
    settings = INFusionSettings(steps=400, sigma=1.5, slices=4)
    view, model = Slices(problem, prior, 1.0, 3), make({"kind": "voxels"}, problem.rhs)
    again = torch.Generator().set_state(generator.get_state())
    drawn = drawn_slices(view, model, problem.rhs, prior, settings, 0.6, generator)
    found_axis, index, clean, share = drawn

    axis = int(torch.randint(3, (1,), generator=again))
    assert found_axis == axis and share == pytest.approx(4 / problem.rhs.shape[axis])
    assert index.tolist() == sorted(index.tolist())
    size = problem.rhs.shape[axis]
    torch.randint(1, (1,), generator=again), torch.randperm(size, generator=again)
    slices = view.of(model, problem.rhs, axis, index)
    noise = torch.randn(slices.shape, generator=again)
    sigma = 1.5 * max(float(torch.rand((), generator=again)), 0.6)
    assert prior.levels[:2] == pytest.approx(levels(400, sigma)[:2].tolist(), rel=1e-4)
    assert len(prior.levels) == 400
    exact = (slices + sigma * noise) / (1 + sigma**2) ** 0.5
    assert torch.allclose(clean, exact, atol=0.02)


def test_slices_that_are_drawn_stand_for_those_that_are_not(problem, monkeypatch):
    """With the mean square and a prior that knows one answer c, the mean gradient is w (x − c)."""
    prior = GaussianPrior(mean=0.7, spread=1e-6)
    settings = INFusionSettings(
        representation="voxels", weight=0.3, distance="mse", every=1, slices=3, iterations=10**5
    )
    penalty, problem, model = penalty_of(monkeypatch, lambda: infusion(problem, prior, settings))
    x, draws = problem.rhs, 600
    mean = sum(penalty(model, x, 0) for _ in range(draws)) / draws
    expected = 0.3 * (x - 0.7 * (1 + 1j))
    # One of three orientations, and 3 of about 28 of its slices: a tenth of the gradients are felt.
    assert float((mean - expected).norm() / expected.norm()) < 3 * (10 / draws) ** 0.5


def test_the_weight_falls_to_zero_and_targets_are_kept(problem, monkeypatch):
    prior = Counted(GaussianPrior(mean=0.7, spread=1e-6))
    settings = INFusionSettings(representation="voxels", distance="mse", every=5, iterations=100)
    penalty, problem, model = penalty_of(monkeypatch, lambda: infusion(problem, prior, settings))
    sizes = [float(penalty(model, problem.rhs, i).norm()) for i in range(100)]
    assert len(prior.levels) == 20 * settings.steps
    assert sizes[1] == pytest.approx(sizes[0] * 0.99, rel=1e-4)
    assert sizes[99] < 0.05 * sizes[0]


@pytest.mark.parametrize("distance", ["features", "mse"])
def test_it_follows_its_prior_where_nothing_was_measured(distance, problem):
    """Without data the volume goes to what the prior knows."""
    empty = replace(problem, kspace=0 * problem.kspace, rhs=0.01 * problem.rhs)
    empty.operator.mask[...] = False
    prior = GaussianPrior(mean=0.7, spread=0.1)
    given = {**VOXELS, "iterations": 200, "weight": 1.0, "every": 1, "slices": 40}
    found = methods.reconstruct(empty, "infusion", prior, distance=distance, **given)
    inside = found[problem.operator.support]
    if distance == "mse":
        assert float((inside - 0.7 * (1 + 1j)).abs().mean()) < 0.1
    else:  # A distance of features says the direction of (real, imaginary), not the size.
        assert float((inside.angle() - torch.pi / 4).abs().mean()) < 0.3


def test_a_fit_has_one_regulariser_or_none(problem, monkeypatch):
    """Without one nothing is added to the data term; wavelets add that of their envelope."""
    penalty, _, model = penalty_of(monkeypatch, lambda: inr(problem, INRSettings()))
    assert penalty is nothing and penalty(model, problem.rhs, 0) is None

    settings = INRWaveletSettings(weight=0.5)
    penalty, _, model = penalty_of(monkeypatch, lambda: inr_wavelet(problem, settings))
    noise = max(problem.noise, 1e-3)
    largest = 0.5 * noise * (1 + 3 * noise)  # of a coefficient: the weight itself
    x = complex_normal(*problem.rhs.shape, generator=torch.Generator().manual_seed(0))
    gradient = penalty(model, 100 * x, 0)
    # Nearly all coefficients are beyond the smooth part, and each of them is as large.
    details = 1 - 1 / 8**3
    rms = float(gradient.abs().square().mean().sqrt())
    assert rms == pytest.approx(largest * details**0.5, rel=0.05)


def test_the_seed_draws_the_first_weights(problem):
    few = {"iterations": 1, "representation": SMALL}
    runs = [methods.reconstruct(problem, "inr", seed=seed, **few) for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1]) and not torch.allclose(runs[0], runs[2])


def test_bandwidth_reaches_the_network(problem, monkeypatch):
    _, _, model = penalty_of(
        monkeypatch,
        lambda: inr(problem, INRSettings(representation=SMALL | {"features": 64}, bandwidth=3.0)),
    )
    assert float(model.frequencies.std()) == pytest.approx(3.0, rel=0.15)


def test_samples_that_are_kept_back_are_not_used(calibrated):
    kept = KeptBack(calibrated, 0.2)
    used, all_ = kept.problem.operator.mask, calibrated.operator.mask
    assert not (used & ~all_).any() and int(all_.sum()) - int(used.sum()) >= 16
    assert not (kept.problem.kspace * ~used).any()
    centre = tuple(slice(n // 2 - 4, n // 2 + 4) for n in used.shape)
    assert torch.equal(used[centre], all_[centre])


def test_fitting_stops_where_the_prediction_gets_no_better(calibrated):
    """And gives back the best volume, not the last one."""
    watch = KeptBack(calibrated, 0.2)
    zero = torch.zeros_like(calibrated.rhs)
    good = watch.problem.pseudoinverse(10)
    assert not watch.stop(0, zero) and not watch.stop(25, good)
    stopped = [watch.stop(25 * (k + 2), zero) for k in range(12)]
    assert stopped == [False] * 11 + [True]
    assert torch.equal(watch.best, good) and watch.iteration == 25


def test_a_short_fit_gives_back_its_end(calibrated):
    """The volume after the last step counts too, though no look falls on it."""
    short = INRSettings(representation="voxels", iterations=10, held_out=0.2)
    found = inr(calibrated, short)
    kept = KeptBack(calibrated, 0.2)
    kept.look(0, kept.problem.rhs)
    assert not torch.equal(found, kept.best)


def test_early_stopping_ends_a_long_fit(calibrated):
    """Voxels without a penalty fit the noise at once, so little of the run is needed."""
    seen = []
    settings = INRSettings(representation="voxels", iterations=2000, held_out=0.2)
    inr(calibrated, settings, lambda i, x: seen.append(i))
    assert len(seen) < 1000


def test_too_few_samples_to_keep_back_are_refused(calibrated):
    with pytest.raises(ReconError, match="held_out: .* fewer than 16"):
        KeptBack(calibrated, 0.001)


def test_a_missing_backbone_is_refused_before_any_work(tmp_path):
    for given, why in (
        ({"distance": "vgg"}, "needs the weights"),
        ({"distance": "alex", "backbone": str(tmp_path / "no.safetensors")}, "no such file"),
    ):
        with pytest.raises(ReconError, match=why) as refused:
            methods.settings_of("infusion", **given)
        assert "\n" not in str(refused.value) and "torchvision" in str(refused.value)


def test_slices_too_small_for_a_backbone_are_refused_before_any_work(problem, monkeypatch):
    """Else the orientation that is drawn would decide when."""
    monkeypatch.setattr(backbones, "check", lambda *_: None)
    with pytest.raises(ReconError, match="distance alex needs slices of 31 pixels"):
        methods.check_problem("infusion", problem, {"distance": "alex", "backbone": "x"})
    methods.check_problem("infusion", problem, {})
    methods.check_problem("cg_sense", problem, {})


def test_fit_never_stops_by_itself(problem):
    assert not fitting.never(0, problem.rhs)


def test_a_representation_that_is_named_alone_keeps_what_is_configured():
    """So networks of one width are compared, and not one width with another's default."""
    configured = {"kind": "columns", "width": 32}
    found = methods.varied("inr", "representation", "mlp", {"representation": configured})
    assert (found["kind"], found["width"], found["columns"]) == ("mlp", 32, False)
    assert methods.varied("inr", "representation", "mlp", {})["width"] == 256
