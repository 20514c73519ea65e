"""The same numbers on a GPU as on the CPU: ``make gpu``."""

import pytest
import torch

from recon import methods, networks
from recon.mri import coils, fourier, masks, wavelets
from recon.mri.problem import Problem
from recon.priors.ddpm import DDPM
from recon.priors.edm import EDM
from tests.gaussian import network_for

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]


@pytest.fixture
def problem(scene):
    image, maps = scene
    mask = masks.make("poisson_disc", tuple(image.shape[1:]), 4, (8, 8), 0)
    return Problem.build(torch.stack([fourier.fft(s * image) for s in maps]), mask, maps, 0.01)


def close(a, b, tolerance=1e-4):
    return (a.cpu() - b).norm() < tolerance * b.norm()


def test_operator_and_wavelets(problem, scene):
    there = problem.to("cuda")
    assert close(there.operator.normal(scene[0].cuda()), problem.operator.normal(scene[0]))
    assert close(wavelets.dwt(scene[0].cuda()), wavelets.dwt(scene[0]))


def test_espirit(problem):
    here = coils.espirit(problem.kspace)
    assert close(coils.espirit(problem.kspace.cuda()).abs(), here.abs(), 1e-2)


@pytest.mark.parametrize("name", methods.names())
def test_methods(name, problem):
    """A few steps of every method. Random numbers are drawn on the CPU, so they are the same."""
    known = vars(methods.lookup(name).settings())
    few = dict.fromkeys({"iterations", "steps"} & set(known), 5)
    torch.manual_seed(0)
    network = network_for(name)
    here = methods.reconstruct(problem, name, network, **few)
    network = network.to("cuda") if network is not None else None
    assert close(methods.reconstruct(problem.to("cuda"), name, network, **few), here, 1e-2)


@pytest.mark.parametrize("kind", ["unet", "stack_unet", "unet_3d"])
@pytest.mark.parametrize("prior", [DDPM, EDM])
def test_priors(kind, prior, generator):
    network = networks.build(networks.lookup(kind).settings(channels=16, multipliers=(1, 2)))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    model = prior(network, bf16=False).eval().requires_grad_(False)
    x = torch.randn(6, 2, 24, 20, generator=generator)
    here = model.denoise(x, 0.5)
    assert close(model.to("cuda").denoise(x.cuda(), 0.5), here, 1e-3)
