"""One loop fits any representation with any penalty, checked against solutions in closed form."""

import pytest
import torch

from recon import ReconError
from recon.methods import settings_of
from recon.methods.slicewise import seen
from recon.methods.variational import VariationalSettings, variational
from recon.mri import fourier
from recon.mri.problem import Problem
from recon.mri.resample import trilinear
from recon.mri.slices import as_slices, spread
from recon.priors.resampled import mesh
from recon.priors.schedule import ALPHA_BAR
from recon.representations import Representation, chosen, make, names
from recon.representations.fitting import Descent, fit
from recon.representations.voxels import Voxels
from tests.conftest import complex_normal
from tests.gaussian import GaussianPrior, single_coil

SHAPE = (4, 12, 10)


@pytest.fixture
def problem(generator):
    return single_coil(SHAPE, generator)


def ridge(problem, weight):
    """The minimiser of ``½‖Ax − y‖² + ½ weight ‖x‖²``: a single coil's data are damped."""
    return problem.rhs / (1 + weight)


def nothing(iteration, volume):
    pass


def test_a_penalty_may_return_its_gradient(problem):
    """So can a smoothed ℓ1 norm, or any other function of the volume."""
    descent = Descent(iterations=400, rate=0.05, decay="linear")
    model = Voxels(torch.zeros_like(problem.rhs))
    found = fit(model, problem, lambda model, volume, k: 0.5 * volume, descent, nothing)
    assert torch.allclose(found, ridge(problem, 0.5), atol=2e-3)


def test_a_penalty_may_go_back_on_its_own(problem):
    """So do distances between slices and their estimates, which need a graph of their own."""

    def penalty(model, volume, iteration):
        slices = model.slices(0, torch.arange(SHAPE[0]))
        (0.25 * slices.square().sum()).backward()

    descent = Descent(iterations=400, rate=0.05, decay="linear")
    found = fit(Voxels(torch.zeros_like(problem.rhs)), problem, penalty, descent, nothing)
    assert torch.allclose(found, ridge(problem, 0.5), atol=2e-3)


def test_the_l1_norm_shrinks_what_is_measured_completely(generator):
    """With AᴴA = 1 the minimiser of ``½‖x − b‖² + λ‖x‖₁`` is soft thresholding of b."""
    problem = single_coil(SHAPE, generator, part=2.0)
    problem.operator.mask.fill_(True)
    kspace = complex_normal(1, *SHAPE, generator=generator)
    problem = type(problem).build(kspace, problem.operator.mask, torch.ones_like(kspace))
    weight, smooth = 0.5, 1e-3

    def l1(model, volume, iteration):
        return weight * volume / (volume.abs().square() + smooth**2).sqrt()

    descent = Descent(iterations=800, rate=0.05, decay="linear")
    found = fit(Voxels(problem.rhs), problem, l1, descent, nothing)
    size = problem.rhs.abs()
    expected = problem.rhs * (1 - weight / size).clamp(min=0)
    assert (found - expected).abs().max() < 0.02


def test_groups_of_parameters_keep_their_rates(problem):
    """A group at rate 0 stays where it is."""

    class Two(Voxels):
        def __init__(self, start):
            super().__init__(start)
            self.frozen = torch.nn.Parameter(torch.view_as_real(start).clone())

        def volume(self):
            return torch.view_as_complex(self.values + self.frozen)

        def parameter_groups(self, rate):
            return [{"params": [self.values], "lr": rate}, {"params": [self.frozen], "lr": 0.0}]

    model = Two(0.5 * problem.rhs)
    fit(model, problem, lambda *_: None, Descent(5, 0.1), nothing)
    assert torch.equal(model.frozen, torch.view_as_real(0.5 * problem.rhs))
    assert not torch.equal(model.values, model.frozen)


@pytest.mark.parametrize("name", names())
def test_every_representation_keeps_the_protocol(name, generator):
    """It starts near its volume, and its slices are those of the volume, on any mesh."""
    start = torch.fft.ifftn(complex_normal(2, 2, 2, generator=generator), s=(8, 12, 10))
    start = start / spread(start)
    warm = {"warm": 300} if name in ("mlp", "columns") else {}  # Theirs begin anywhere.
    model = make(chosen({"kind": name, **warm}), start)
    assert isinstance(model, Representation)
    volume = model.volume().detach()
    assert (volume - start).norm() < 0.2 * start.norm()
    for axis, index in enumerate(torch.tensor([[1, 5], [2, 3], [0, 9]])):
        slices = model.slices(axis, index)
        assert torch.allclose(slices, as_slices(volume, axis)[index], atol=1e-5)
        assert model.slices(axis, index, (5, 7)).shape == (2, 2, 5, 7)
    held = {id(p) for group in model.parameter_groups(0.1) for p in group["params"]}
    assert held == {id(p) for p in model.parameters()}


def test_slices_of_voxels_on_a_coarser_mesh_are_averages(generator):
    volume = complex_normal(6, 8, 10, generator=generator)
    index = torch.tensor([1, 4])
    found = Voxels(volume).slices(0, index, (4, 5))
    expected = as_slices(trilinear(volume, (6, 4, 5)), 0)[index]
    assert torch.allclose(found, expected, atol=1e-5)
    assert mesh((6, 8, 10), 0, (2.0, 2.0, 2.0)) == (4, 5) and mesh(
        (6, 8, 10), 2, (1.0, 1.0, 1.0)
    ) == (6, 8)


def test_the_support_is_sampled_on_the_mesh_of_the_slices():
    support = torch.zeros(6, 8, 10, dtype=torch.bool)
    support[:, :4, :] = True
    found = seen(support, 0, torch.tensor([0, 3]), (4, 5))
    assert found.shape == (2, 1, 4, 5) and found[:, 0, :2].all() and not found[:, 0, 2:].any()


def test_a_prior_may_see_pixels_of_another_size(problem):
    """On a coarser mesh a white prior damps less: it does not see what the mesh cannot show."""
    options = {"iterations": 40, "slices": 4, "slab": 2, "weight": 0.5, "learning_rate": 0.05}
    prior = GaussianPrior(spread=0.1)
    sizes = [
        float(variational(problem, prior, VariationalSettings(pixel=pixel, **options)).norm())
        for pixel in (1.0, 2.0)
    ]
    assert sizes[0] < sizes[1] < 1.02 * float(problem.rhs.norm())


def test_a_representation_is_chosen_by_name_alone_or_with_its_settings():
    assert chosen("voxels") == chosen({"kind": "voxels"}) == {"kind": "voxels"}
    assert VariationalSettings().representation == {"kind": "voxels"}
    for wrong in ("vowels", {"kind": "vowels"}, {"kind": "voxels", "size": 3}):
        with pytest.raises(ReconError, match="representation"):
            settings_of("variational", representation=wrong)


@pytest.mark.parametrize("pixel", [1.0, 2.0, 0.5])
def test_the_weight_means_the_same_at_every_pixel_size(pixel, generator):
    """A smooth volume without data loses the same share to a prior that says zero.

    Pixels count by their area; four times as many small ones would else pull four times as hard.
    """
    smooth = torch.ones(8, 8, 8, dtype=torch.complex64)
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[4, 4] = True  # the mean alone is measured, in which the volume lies
    problem = Problem.build(fourier.fft(smooth)[None], mask, torch.ones(1, 8, 8, 8) + 0j)
    options = {"iterations": 250, "learning_rate": 0.03, "decay": "linear", "t_max": 400.0}
    settings = VariationalSettings(weight=1.0, pixel=pixel, **options)
    x = variational(problem, GaussianPrior(spread=0.01), settings)
    kept = float(x.abs().mean() / problem.rhs.abs().mean())
    pull = float(ALPHA_BAR[1:401].sqrt().mean())  # of a prior that says zero
    assert kept == pytest.approx(1 / (1 + pull), rel=0.02)
