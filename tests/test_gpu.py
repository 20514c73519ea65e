"""The same numbers on a GPU as on the CPU: ``make gpu``."""

import pytest
import torch

from recon import methods
from recon.mri import coils, fourier, masks, wavelets
from recon.mri.problem import Problem
from recon.networks.unet import UNet, UNetConfig
from recon.priors.ddpm import DDPM

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


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("cg_sense", {}),
        ("l1_wavelet", {}),
        ("annealed", {"steps": 6}),
        ("variational", {"iterations": 5}),
    ],
)
def test_methods(name, values, problem, generator):
    net = UNet(UNetConfig(channels=16, multipliers=(1, 2), attention=(1,)))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    prior = DDPM(net, bf16=False).eval().requires_grad_(False)
    here = methods.reconstruct(problem, name, prior, **values)
    assert close(
        methods.reconstruct(problem.to("cuda"), name, prior.to("cuda"), **values), here, 1e-2
    )
