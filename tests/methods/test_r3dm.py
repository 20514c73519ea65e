"""R3DM: its subproblem, both solvers, and what it becomes without its terms."""

import pytest
import torch

from recon.methods import reconstruct
from recon.methods.r3dm import SOLVERS, R3dmSettings, Subproblem, within
from recon.priors.sampling import noise_along_arc, noise_like
from tests.conftest import complex_normal
from tests.gaussian import GaussianPrior

TERMS = {"l1": 0.02, "tv": 0.05, "slices": 1.0, "rho": 0.3, "cg_iterations": 20}
WITHOUT = {"nothing": {}, "l1": {"l1": 0.0}, "tv": {"tv": 0.0}, "slices": {"slices": 0.0}}


def run(problem, settings, iterations):
    of = Subproblem.build(problem, settings)
    refine, x = SOLVERS[settings.solver](of, settings), problem.rhs
    for _ in range(iterations):
        x = refine(x)
    return of, x


@pytest.mark.parametrize("without", WITHOUT)
def test_both_solvers_reach_the_minimum(without, problem, generator):
    """They agree in the objective, and no random step lowers it."""
    values = TERMS | WITHOUT[without]
    of, by_admm = run(problem, R3dmSettings(**values), 250)
    _, by_gradient = run(problem, R3dmSettings(**values, solver="proximal"), 700)
    best = float(of.value(by_admm))
    assert float(of.value(by_gradient)) == pytest.approx(best, rel=2e-4)
    assert (by_admm - by_gradient).norm() < 0.03 * by_admm.norm()
    assert best < 0.99 * float(of.value(problem.rhs))
    for size in (1e-1, 1e-2):
        step = size * complex_normal(*problem.rhs.shape, generator=generator)
        assert float(of.value(by_admm + step)) > best


def test_without_its_terms_it_is_dds(problem):
    """One iteration of ADMM with total variation along the stack alone, to the bit."""
    prior = GaussianPrior(spread=0.8)
    same = {"steps": 6, "seed": 3}
    dds = reconstruct(problem, "dds", prior, weight=0.02, **same)
    less = {"tv": 0.02, "tv_axes": 1, "l1": 0.0, "slices": 0.0}
    assert torch.equal(reconstruct(problem, "r3dm", prior, **less, **same), dds)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("noise", ["independent", "arc"])
def test_it_finds_a_gaussian_volume(solver, noise, problem):
    """With the right prior it is closer to the data's best volume than the zero-filled one."""
    values = {"steps": 20, "solver": solver, "noise": noise, "tv": 0.0, "l1": 0.0}
    found = reconstruct(problem, "r3dm", GaussianPrior(spread=1.0), **values)
    assert torch.isfinite(torch.view_as_real(found)).all()
    assert float(problem.objective(found)) < 0.2 * float(problem.objective(0 * problem.rhs))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_noise_along_an_arc(axis, generator):
    """Every slice is standard normal; neighbours are alike, and the two ends are independent."""
    x = torch.zeros(40, 41, 42, dtype=torch.complex64)
    slices = torch.view_as_real(noise_along_arc(x, generator, axis)).movedim(axis, 0).flatten(1)
    assert torch.allclose(slices.square().mean(1), torch.ones(len(slices)), atol=0.1)

    def alike(a: int, b: int) -> float:
        return float((slices[a] * slices[b]).mean())

    step = torch.pi / 2 / (len(slices) - 1)
    assert alike(3, 4) == pytest.approx(float(torch.cos(torch.tensor(step))), abs=0.06)
    assert alike(0, -1) == pytest.approx(0, abs=0.06)
    other = noise_like(x, generator)
    assert other.shape == x.shape


def test_within(generator):
    x = complex_normal(50, generator=generator)
    found = within(x, 0.5)
    assert float(found.abs().max()) <= 0.5 + 1e-6
    assert torch.allclose(found[x.abs() <= 0.5], x[x.abs() <= 0.5])
    assert torch.allclose(found.angle(), x.angle(), atol=1e-5)
