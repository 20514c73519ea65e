import pytest
import torch

from recon import ReconError, methods
from recon.methods.annealed import AnnealedSettings, annealed
from recon.methods.slicewise import random_slabs
from recon.methods.variational import (
    VariationalSettings,
    regulariser,
    timesteps,
    variational,
)
from recon.mri import fourier
from recon.mri.problem import Problem
from recon.mri.slices import planes
from recon.mri.solvers import conjugate_gradient
from recon.priors.schedule import ddpm_sigma
from tests.gaussian import GaussianPrior


def ridge(problem, weight):
    """(AᴴA + weight) x = Aᴴy."""
    return conjugate_gradient(
        lambda v: problem.operator.normal(v) + weight * v, problem.rhs, problem.rhs, 200, 1e-7
    )


@pytest.mark.parametrize(
    ("size", "slices", "slab"), [(80, 50, 5), (80, 12, 3), (7, 5, 5), (10, 20, 5), (1, 50, 5)]
)
def test_random_slabs(size, slices, slab, generator):
    """Slabs are disjoint runs of neighbours inside the volume.

    Every position is drawn with the probability that is said. So its weight, one over that
    probability, is 1 in expectation, at the border as inside. Five standard deviations are allowed.
    """
    draws, weights, squares = 2000, torch.zeros(size), torch.zeros(size)
    for _ in range(draws):
        index, drawn = random_slabs(size, slices, slab, generator)
        assert len(index) == len(set(index.tolist())) and index.min() >= 0 and index.max() < size
        weights[index] += 1 / drawn
        squares[index] += 1 / drawn**2
    error = ((squares / draws - 1).clamp(min=0) / draws).sqrt()
    assert ((weights / draws - 1).abs() <= 5 * error + 1e-6).all()


def test_uniform_and_annealed_timesteps(generator):
    settings = VariationalSettings(iterations=10)
    t = timesteps(settings, 0, 2000, generator)
    assert t.min() >= 1 and t.max() <= 400 and float(t.mean()) == pytest.approx(200, rel=0.05)
    falling = [
        float(
            timesteps(VariationalSettings(schedule="annealed", iterations=10), i, 1, generator)[0]
        )
        for i in range(10)
    ]
    assert (
        falling[0] == pytest.approx(400)
        and falling[-1] == pytest.approx(1)
        and falling == sorted(falling, reverse=True)
    )


def test_planes():
    assert planes((8, 9, 10)) == [0, 1, 2] and planes((8, 9, 1)) == [2]


def test_annealed_converges_to_the_map_of_a_gaussian_prior(problem):
    """At weight 1 and small σ the fixed point is the maximum a posteriori estimate.

    It solves (AᴴA + noise²/spread²) x = Aᴴy.
    """
    spread = 0.05
    settings = AnnealedSettings(
        weight=1.0,
        steps=200,
        t_max=8,
        t_min=1,
        churn=0,
        cg_iterations=20,
        noise_floor=problem.noise,
    )
    x = annealed(problem, GaussianPrior(spread=spread), settings)
    sigma = ddpm_sigma(1)
    expected = ridge(problem, problem.noise**2 / (spread**2 + sigma**2))
    assert (x - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize("decay", ["plateau", "linear"])
def test_adam_converges_to_the_minimiser_of_a_gaussian_prior(decay, problem):
    """At one fixed t the minimiser solves (AᴴA + λ α σ² / (spread² + σ²)) x = Aᴴy.

    It does so whichever slices are drawn.
    """
    prior, spread, weight = GaussianPrior(spread=0.3), 0.3, 0.2
    sigma = ddpm_sigma(100)
    settings = VariationalSettings(
        weight=weight,
        iterations=400,
        learning_rate=0.03,
        decay=decay,
        t_min=100,
        t_max=100,
        slices=14,
        slab=3,
    )
    x = variational(problem, prior, settings)
    expected = ridge(problem, weight * (1 + sigma**2) ** -0.5 * sigma**2 / (spread**2 + sigma**2))
    assert (x - expected).norm() < 0.03 * expected.norm()


def test_learning_rate_is_halved_once_the_data_term_stalls(problem, monkeypatch):
    """Paper A's schedule halves the rate at a plateau of the data term.

    The plateau is seen although the data term is computed without going back to the samples.
    """
    rates = []
    step = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam,
        "step",
        lambda self, *a: (rates.append(self.param_groups[0]["lr"]), step(self, *a))[1],
    )
    variational(
        problem,
        GaussianPrior(),
        VariationalSettings(iterations=120, learning_rate=1.0, slices=8, slab=4),
    )
    assert rates[0] == 1.0 and 0 < rates[-1] <= 0.5


def test_linear_decay_comes_to_rest(problem):
    """The last steps hardly move the volume, and two seeds end nearer each other.

    This holds whatever the draws of slices, timesteps and noise.
    """
    ends = {}
    for decay in ("plateau", "linear"):
        for seed in (0, 1):
            seen = []
            settings = VariationalSettings(
                iterations=60, learning_rate=0.1, decay=decay, slices=6, slab=3, seed=seed
            )
            end = variational(
                problem,
                GaussianPrior(spread=0.3),
                settings,
                lambda _, x, seen=seen: seen.append(x.clone()),
            )
            ends[decay, seed] = end, (seen[-1] - seen[-2]).norm() / end.norm()
    apart = {
        decay: (ends[decay, 0][0] - ends[decay, 1][0]).norm() for decay in ("plateau", "linear")
    }
    assert (
        ends["linear", 0][1] < 0.1 * ends["plateau", 0][1]
        and apart["linear"] < 0.8 * apart["plateau"]
    )


@pytest.mark.parametrize("name", ["variational", "annealed"])
def test_two_dimensional_scan(name, scene, generator):
    """A single slice (z = 1) is regularised in its one plane."""
    image, maps = scene[0][..., 14:15], scene[1][..., 14:15]
    mask = torch.rand(image.shape[1:], generator=generator) < 0.6
    problem = Problem.build(torch.stack([fourier.fft(s * image) for s in maps]), mask, maps)
    values = {"iterations": 5} if name == "variational" else {"steps": 5}
    assert methods.reconstruct(problem, name, GaussianPrior(), **values).shape == image.shape


@pytest.mark.parametrize("name", ["variational", "annealed"])
def test_same_seed_same_bits_and_callback_sees_every_iteration(name, problem):
    count = {"iterations": 3} if name == "variational" else {"steps": 3, "churn": 1.0}
    seen = []
    first = methods.reconstruct(
        problem, name, GaussianPrior(), callback=lambda i, v: seen.append((i, v.shape)), **count
    )
    assert torch.equal(first, methods.reconstruct(problem, name, GaussianPrior(), **count))
    assert [i for i, _ in seen] == [0, 1, 2]
    other = methods.reconstruct(problem, name, GaussianPrior(), seed=1, **count)
    assert not torch.equal(first, other)


def test_refusals(problem):
    with pytest.raises(ReconError, match="no method is called 'tv'; choose one of annealed"):
        methods.reconstruct(problem, "tv")
    with pytest.raises(ReconError, match="has no setting 'lambda'; it has weight"):
        methods.reconstruct(problem, "l1_wavelet", **{"lambda": 1})
    for bad in (
        {"slices": 0},
        {"schedule": "bogus"},
        {"weight": -5.0},
        {"t_max": 5000},
        {"iterations": "many"},
        {"weight": float("nan")},
    ):
        with pytest.raises(ReconError, match=f"method variational: {next(iter(bad))} = "):
            methods.settings_of("variational", **bad)
    with pytest.raises(ReconError, match="needs a prior"):
        methods.reconstruct(problem, "variational")


def test_paper_a_as_written_and_as_coded_differ_in_the_weights_of_slices(generator):
    """The code's gradient lacks the per-slice σ/α; with one timestep for all both are the same."""
    prior = GaussianPrior(spread=0.3)
    slices, index = torch.randn(5, 2, 6, 6, generator=generator), torch.arange(5)

    def gradient(t, weighting):
        draw = torch.Generator().manual_seed(0)
        return regulariser(slices, index, prior, t, draw, weighting)

    t = torch.tensor([3.0, 50.0, 120.0, 400.0, 900.0])
    sigma = torch.tensor([ddpm_sigma(float(step)) for step in t]).view(-1, 1, 1, 1)
    expected = gradient(t, "paper") * sigma.mean() / sigma
    assert torch.allclose(gradient(t, "code"), expected, rtol=1e-5)
    same = torch.full((5,), 120.0)
    assert torch.allclose(gradient(same, "code"), gradient(same, "paper"), rtol=1e-5)


def test_slices_may_be_scaled_for_the_prior(problem):
    """The minimiser is (AᴴA + λ c² α σ² / (spread² + σ²)) x = Aᴴy at scale c."""
    spread, weight, scale, sigma = 0.3, 0.2, 2.0, ddpm_sigma(100)
    options = {"iterations": 800, "learning_rate": 0.03, "decay": "linear", "slices": 14, "slab": 3}
    fixed = VariationalSettings(weight=weight, t_min=100, t_max=100, prior_scale=scale, **options)
    x = variational(problem, GaussianPrior(spread=spread), fixed)
    pull = weight * scale**2 * (1 + sigma**2) ** -0.5 * sigma**2 / (spread**2 + sigma**2)
    expected = ridge(problem, pull)
    assert (x - expected).norm() < 0.03 * expected.norm()


def test_random_timesteps_have_their_fixed_point_in_expectation(problem):
    """Each slice has a t of its own. The minimiser belongs to the mean of the pull over t."""
    spread, weight = 0.3, 0.2
    options = {"iterations": 1500, "learning_rate": 0.03, "decay": "linear", "slices": 50}
    settings = VariationalSettings(weight=weight, t_min=1, t_max=400, **options)
    x = variational(problem, GaussianPrior(spread=spread), settings)
    levels = torch.tensor([ddpm_sigma(t) for t in torch.linspace(1, 400, 500).tolist()])
    pulls = (1 + levels**2).rsqrt() * levels**2 / (spread**2 + levels**2)
    expected = ridge(problem, weight * float(pulls.mean()))
    assert (x - expected).norm() < 0.03 * expected.norm()
