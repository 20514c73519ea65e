"""Samplers and solvers where the prior is not a plain Gaussian, and the posterior is known.

The scan has one coil of sensitivity 1 and no noise. So its measured frequencies are known, and the
posterior is that of the others given them. The image is one slice.
"""

import pytest
import torch
from torch import Tensor

from recon import methods
from recon.mri import fourier
from recon.mri.problem import Problem
from recon.mri.sense import Sense
from recon.mri.slices import as_slices
from tests.gaussian import TwoModes

N, SHAPE = 12, (12, 12, 1)
SAMPLERS = {
    "tpdm_dds": {"gamma": 25.0, "eta": 0.95, "steps": 80},
    "dds": {"weight": 0.0, "steps": 80},
    "diffusion_mbir": {"weight": 0.0, "steps": 120, "cg_iterations": 2},
    "r3dm": {"tv": 0.0, "l1": 0.0, "slices": 0.0, "steps": 80},
    # The perpendicular plane never has its turn: slices across z are draws of their own.
    "tpdm": {"zeta": 0.1, "steps": 300, "every": 10**6, "primary": 2, "perpendicular": 0},
}
# TPDM needs planes of both kinds, so it sees the scan this many times, as slices of a volume.
TPDM_SLICES = 5


class Uneven:
    """Independent pixels whose standard deviation differs from place to place.

    White in no basis but the pixels', so the frequencies are correlated.
    """

    sigma_max, neighbours, flips, pixels = 150.0, 0, False, None

    def __init__(self, spread: Tensor):
        self.spread = spread

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        sigma = torch.as_tensor(sigma).expand(len(x)).view(-1, 1, 1, 1)
        return self.spread**2 / (self.spread**2 + sigma**2) * x


def scan(image: Tensor, generator: torch.Generator) -> Problem:
    """Half of the phase encodes of an image, without noise."""
    mask = torch.rand(N, 1, generator=generator) < 0.5
    operator = Sense(torch.ones(1, *SHAPE, dtype=torch.complex64), mask)
    kspace = operator.forward(image)
    return Problem(operator, kspace, operator.adjoint(kspace), noise=0.0, scale=1.0)


def repeated(problem: Problem, slices: int) -> Problem:
    """The same slice several times along z. All kz of its phase encodes are measured."""
    shape = (*SHAPE[:2], slices)
    mask = problem.operator.mask.expand(N, slices)
    operator = Sense(torch.ones(1, *shape, dtype=torch.complex64), mask)
    kspace = operator.forward(problem.rhs.expand(shape))
    return Problem(operator, kspace, operator.adjoint(kspace), noise=0.0, scale=1.0)


def draws(problem: Problem, prior: object, method: str, count: int, **changes: float) -> Tensor:
    """Slices of as many seeds, as (draw, pixel)."""
    options, slices = SAMPLERS[method] | changes, TPDM_SLICES if method == "tpdm" else 1
    if slices > 1:
        problem = repeated(problem, slices)
    volumes = [
        methods.reconstruct(problem, method, prior, seed=seed, **options)
        for seed in range(-(-count // slices))
    ]
    return torch.cat(volumes, dim=2).flatten(0, 1).T[:count]


def normal(*shape: int, generator: torch.Generator) -> Tensor:
    """Complex numbers with standard normal components."""
    return 2**0.5 * torch.randn(shape, generator=generator, dtype=torch.complex64)


@pytest.fixture
def uneven(generator):
    """A problem with an `Uneven` prior, and the mean and the variances of its posterior."""
    y, x = torch.meshgrid(torch.arange(N), torch.arange(N), indexing="ij")
    spread = torch.where((y - 5.5) ** 2 + (x - 5.5) ** 2 < 16, 1.0, 0.2)
    problem = scan((spread * normal(N, N, generator=generator))[..., None], generator)
    units = torch.eye(N * N, dtype=torch.complex64).view(N * N, *SHAPE)
    measured = problem.operator.mask.expand(SHAPE).flatten()
    a = torch.stack([fourier.fft(unit).flatten() for unit in units], 1)[measured]
    prior = torch.diag(spread.flatten() ** 2).to(a)
    gain = prior @ a.mH @ torch.linalg.inv(a @ prior @ a.mH)
    mean = gain @ problem.kspace.flatten()[measured]
    return problem, Uneven(spread), mean, (prior - gain @ a @ prior).diagonal().real


@pytest.mark.parametrize("method", SAMPLERS)
def test_moments_of_a_correlated_posterior(method, uneven):
    """Draws have its mean to 10 %, and its variance to 15 % in all.

    DiffusionMBIR takes fewer steps here than it needs. With 300 it is as close as the others.
    """
    problem, prior, mean, variance = uneven
    found = draws(problem, prior, method, 40)
    near, wide = (0.25, 0.35) if method == "diffusion_mbir" else (0.1, 0.15)
    assert (found.mean(0) - mean).norm() < near * mean.norm()
    spread = torch.view_as_real(found).var(0).mean(-1)
    assert float(spread.sum() / variance.sum()) == pytest.approx(1, abs=wide)


def test_more_steps_bring_a_sampler_closer_to_a_correlated_posterior(uneven):
    problem, prior, mean, _ = uneven
    errors = [
        float((draws(problem, prior, "tpdm_dds", 40, steps=steps).mean(0) - mean).norm())
        for steps in (10, 80)
    ]
    assert errors[1] < 0.7 * errors[0]


def test_measured_frequencies_of_draws_do_not_differ(uneven):
    """A draw from an exact posterior has no spread there; γ leaves 1 / (1 + γ) of the prior's."""
    problem, prior, _, _ = uneven
    measured = problem.operator.mask.expand(SHAPE)
    for method in SAMPLERS:
        found = draws(problem, prior, method, 4).view(-1, *SHAPE)
        spread = torch.stack([fourier.fft(x) for x in found]).var(0).sqrt()
        assert spread[measured].mean() < 0.1 * spread[~measured].mean()


@pytest.fixture
def modes(generator):
    """Two modes whose difference is hardly measured, and where they lie in what is not measured.

    The data are one standard deviation on the side of the second mode. So the first one has the
    probability 0.17.
    """
    spread, empty = 0.5, scan(torch.zeros(SHAPE, dtype=torch.complex64), generator)
    image = normal(*SHAPE, generator=generator)
    seen = empty.operator.normal(image)
    hidden = 3 * (image - seen) / (image - seen).norm()
    seen = 0.4 * seen / seen.norm()
    rest = spread * empty.operator.normal(normal(*SHAPE, generator=generator))
    along = torch.vdot(seen.flatten(), rest.flatten()).real / seen.norm() ** 2
    kspace = empty.operator.forward(rest - (along + spread / seen.norm()) * seen)
    problem = Problem(empty.operator, kspace, empty.operator.adjoint(kspace), 0.0, 1.0)
    return problem, TwoModes(as_slices(seen + hidden, 2)[0], spread), hidden.flatten(), spread


def test_no_sampler_is_left_out():
    assert set(SAMPLERS) == {name for name in methods.names() if methods.lookup(name).samples}


@pytest.mark.parametrize("method", SAMPLERS)
def test_draws_lie_in_the_modes_of_a_mixture(method, modes):
    """Each draw is near one of the modes, not between them, with the spread of a mode.

    The second mode is the likelier one, and is found more often. An exact sampler has it in 83 % of
    the draws. Ours have it in about 60 %. While the noise is high, the samplers put
    data without noise at the measured frequencies but go on as if they were noisy, so the data
    count for less than they should.
    """
    problem, prior, hidden, spread = modes
    found = draws(problem, prior, method, 60)
    place = (found @ hidden.conj()).real / hidden.norm() ** 2
    assert float(place.abs().mean()) == pytest.approx(1, abs=0.05)
    around = float((place - place.sign()).std() * hidden.norm() / spread)
    assert around == pytest.approx(1, abs=0.15)
    second = float((place < 0).float().mean())
    assert 0.5 < second < 0.93
