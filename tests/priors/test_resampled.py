"""A prior at its own pixels: what it sees, what it leaves alone, and what it refuses."""

import pytest
import torch

from recon import methods
from recon.errors import ReconError
from recon.networks.weights import load_weights
from recon.priors.resampled import Resampled, at_own_pixels, in_voxels, mesh
from recon.schema import ROOT
from tests.gaussian import Counted, GaussianPrior, single_coil


def test_it_sees_the_mesh_and_changes_only_what_the_mesh_holds(generator):
    """A prior that answers zero takes away the smooth part; fine detail stays."""
    seen = Counted(GaussianPrior(spread=1e-6))
    ramp = torch.linspace(-1, 1, 16).expand(2, 2, 12, 16)
    fine = (-1.0) ** torch.arange(16).expand(2, 2, 12, 16)
    coarse = Resampled(seen, (6, 8))
    assert coarse.denoise(ramp, 0.5)[..., 2:-2].abs().max() < 0.02
    assert seen.shapes == [(2, 2, 6, 8)]
    assert torch.allclose(coarse.denoise(fine, 0.5)[..., 4:-4], fine[..., 4:-4], atol=0.02)


@pytest.mark.parametrize("pixels", [(6, 8), (12, 16), (24, 30)])
def test_a_prior_that_changes_nothing_leaves_every_slice_as_it_is(pixels, generator):
    prior = Resampled(GaussianPrior(spread=1e6), pixels)
    x = torch.randn(3, 2, 12, 16, generator=generator)
    assert torch.allclose(prior.denoise(x, 0.5), x, atol=1e-5)


def test_pixels_of_the_training_in_voxels():
    prior = GaussianPrior()
    prior.pixels = (2.0, 2.0)
    assert in_voxels("prior", prior, (1.0, 2.0, 4.0)) == (2.0, 1.0, 0.5)
    assert in_voxels("prior", prior, (2.001, 1.999, 2.0)) == (1.0, 1.0, 1.0)
    assert in_voxels(3.0, prior, (1.0, 2.0, 4.0)) == (3.0, 3.0, 3.0)
    prior.pixels = (1.0, 3.0)  # diverse: inside its range nothing changes
    assert in_voxels("prior", prior, (0.5, 2.0, 6.0)) == (2.0, 1.0, 0.5)
    prior.pixels = None
    with pytest.raises(ReconError, match="does not say at which pixels"):
        in_voxels("prior", prior, (1.0, 1.0, 1.0))


def test_meshes_keep_the_field_of_view_and_refuse_what_is_no_image():
    assert mesh((12, 16, 20), 0, (1.0, 2.0, 0.5)) == (8, 40)
    assert mesh((12, 16, 20), 2, (1.0, 2.0, 0.5)) == (12, 8)
    with pytest.raises(ReconError, match="slices of 16×20 voxels would have 1×1 pixels"):
        mesh((12, 16, 20), 0, (30.0, 30.0, 30.0))


def test_voxels_of_the_training_need_no_resampling():
    prior = GaussianPrior()
    assert at_own_pixels(prior, (1.0, 1.0, 1.0), (8, 8, 8), 0) is prior
    assert at_own_pixels(prior, (1.0, 2.0, 2.0), (8, 8, 8), 0).mesh == (4, 4)


@pytest.mark.parametrize(
    "name, low, high",
    [("demo_knee_2x", 4.0, 4.0), ("demo_knee_diverse", 2.0, 20.0), ("head", 0.7, 2.0)],
)
def test_shipped_priors_know_their_pixels(name, low, high):
    found = load_weights(ROOT / "data" / "priors" / f"{name}.safetensors")[0].pixels
    assert found == pytest.approx((low, high))


def test_annealed_shows_the_prior_its_own_pixels(generator):
    problem, prior = single_coil((12, 16, 14), generator), Counted(GaussianPrior())
    prior.pixels = (2.0, 2.0)  # the voxels of the problem are 1 mm
    methods.reconstruct(problem, "annealed", prior, steps=3, pixel="prior")
    assert sorted(prior.shapes) == [(12, 2, 8, 7), (14, 2, 6, 8), (16, 2, 6, 7)]
