"""GRAPPA as a method: its kernels are tested in tests/mri/test_grappa.py."""

import pytest
import torch

from recon import ReconError, methods
from recon.methods import reconstruct
from recon.mri import fourier, masks
from recon.mri.problem import Problem
from tests.conftest import complex_normal
from tests.mri.test_coils import simulate


def posed(shape=(16, 32, 24), R=2, centre=(10, 10), noise=0.0):
    kspace, maps, image, inside = simulate(shape, count=8, noise=noise, grain=0)
    maps = maps * inside
    centre = tuple(min(c, n) for c, n in zip(centre, shape[1:], strict=True))
    make = masks.uniform if shape[2] > 1 else masks.uniform_1d
    return Problem.build(kspace, make(shape[1:], R, centre), maps), image * inside


@pytest.mark.parametrize("shape", [(16, 32, 24), (40, 36, 1)])
def test_it_finds_the_image(shape):
    problem, image = posed(shape)
    x = reconstruct(problem, "grappa", weight=1e-6)
    error = (problem.unscale(x) - image).norm() / image.norm()
    folded = (problem.unscale(problem.rhs) - image).norm() / image.norm()
    assert error < 0.1 * folded
    assert not x[~problem.operator.support].any()


def test_it_says_what_stays_zero(capsys):
    problem, _ = posed(R=16, centre=(6, 6))
    reconstruct(problem, "grappa", reach=1)
    assert "phase encodes have no measured neighbour" in capsys.readouterr().err
    problem, _ = posed()
    reconstruct(problem, "grappa")
    assert not capsys.readouterr().err


def test_it_needs_a_centre(generator):
    mask = torch.rand(16, 14, generator=generator) < 0.3
    maps = torch.ones(2, 12, 16, 14) + 0j
    kspace = fourier.fft(complex_normal(2, 12, 16, 14, generator=generator))
    with pytest.raises(ReconError, match="sample a larger centre, or take cg_sense"):
        reconstruct(Problem.build(kspace, mask, maps), "grappa")


def test_a_neighbourhood_reaches_somewhere():
    with pytest.raises(ReconError, match="reach"):
        methods.settings_of("grappa", reach=0)
