"""Where no coil sees, every method holds to what is known of references: zero."""

import pytest
import torch

from recon import methods, representations
from recon.methods.variational import VariationalSettings, variational
from recon.mri import fourier
from recon.mri.problem import Problem
from recon.representations.voxels import Voxels
from tests.conftest import complex_normal
from tests.gaussian import GaussianPrior, network_for, single_coil

# Settings for a short run; other methods have their defaults.
FEW = {
    "l1_wavelet": {"weight": 0.1},
    "variational": {"iterations": 20},
    "annealed": {"churn": 1.0},
    "tpdm_dds": {"steps": 20},
    "dds": {"steps": 20},
    "diffusion_mbir": {"steps": 60},
    "tpdm": {"steps": 60},
    "r3dm": {"steps": 20},
} | {
    name: {"iterations": 20}
    for name in methods.names()
    if name.startswith(("field_", "inf", "inr"))
}

# These scans have no fully sampled centre, which GRAPPA needs; see test_grappa.py.
WITHOUT_CENTRE = [name for name in methods.names() if name != "grappa"]


@pytest.fixture
def problem(generator) -> Problem:
    """A random scan whose one coil sees a ball with sensitivity 1, and nothing around it."""
    whole = single_coil((12, 16, 14), generator)
    grids = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in whole.operator.shape), indexing="ij")
    ball = sum(g**2 for g in grids) < 0.7
    problem = Problem.build(whole.kspace, whole.operator.mask, ball[None].to(torch.complex64))
    assert torch.equal(problem.operator.support, ball)
    return problem


@pytest.mark.parametrize("method", WITHOUT_CENTRE)
def test_volumes_are_zero_outside_the_maps(method, problem):
    """Exactly, even with a Gaussian prior of mean 0.5, which pulls away; inside they are not.

    Only a sum of functions with a cut may leave a few voxels out.
    """
    prior = network_for(method, mean=0.5, spread=0.1)
    x = methods.reconstruct(problem, method, prior, **FEW.get(method, {}))
    inside = (x != 0)[problem.operator.support]
    assert not x[~problem.operator.support].any()
    assert inside.float().mean() > 0.99 if "ga" in method.split("_")[-1][:2] else inside.all()


@pytest.mark.parametrize("method", WITHOUT_CENTRE)
@pytest.mark.parametrize("share", [0.95, 0.5, 0.1])
def test_one_coil_keeps_the_size_of_the_volume(method, share, generator):
    """There ``AᴴA`` is a projection: a data step is done at once, and must not go on after that."""
    truth = complex_normal(12, 16, 14, generator=generator)
    mask = torch.rand(16, 14, generator=generator) < share
    one = Problem.build(fourier.fft(truth)[None], mask, torch.ones(1, 12, 16, 14) + 0j)
    prior = network_for(method)
    x = methods.reconstruct(one, method, prior, **FEW.get(method, {}))
    assert 0.02 < float(x.abs().max() / (truth.abs().max() * one.scale)) < 2


@pytest.mark.parametrize("method", ["tpdm", "diffusion_mbir"])
def test_samplers_do_not_drift_outside_the_maps(method, problem):
    """On the way nothing stands there but the noise of the level, where total variation is off."""
    seen, little = [], {"weight": 0.0, "rho": 1e-6} if method == "diffusion_mbir" else {}
    prior = GaussianPrior(mean=0.5, spread=0.1)
    methods.reconstruct(problem, method, prior, lambda k, x: seen.append(x), **FEW[method] | little)
    outside = torch.view_as_real(seen[-1])[~problem.operator.support]
    assert float(outside.mean()) == pytest.approx(0, abs=0.02) and float(outside.std()) < 0.05


def test_a_representation_that_is_not_zero_outside_the_maps_is_masked(problem, monkeypatch):
    """No representation shows the prior, or the user, what no coil sees."""
    seen = []

    class Bright(Voxels):
        def __init__(self, start):
            super().__init__(start + 1)

    monkeypatch.setattr(representations, "make", lambda choice, start: Bright(start))
    x = variational(
        problem,
        GaussianPrior(),
        VariationalSettings(iterations=3),
        lambda k, volume: seen.append(volume),
    )
    assert all(torch.equal(volume != 0, problem.operator.support) for volume in (*seen, x))
