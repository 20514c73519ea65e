"""Sums of Gaussians agree with the plain formula, and so do their gradients."""

import math

import pytest
import torch

from recon.representations import splatting
from recon.representations.meshes import cells
from recon.representations.splatting import CUT, splat

SHAPE = (9, 8, 10)


def gaussians(generator, number=7, stretch=4.0, wave=False):
    """Rotated and anisotropic Gaussians in and around a small grid, in double precision."""
    options = {"generator": generator, "dtype": torch.float64}
    centre = torch.rand(number, 3, **options) * torch.tensor(SHAPE)
    rotation = torch.linalg.qr(torch.randn(number, 3, 3, **options))[0]
    scale = 0.4 * stretch ** torch.rand(number, 3, **options)
    factor = rotation / scale[:, None, :]
    amplitude = torch.randn(number, dtype=torch.complex128, generator=generator)
    k = torch.randn(number, 3, **options) if wave else None
    return centre, factor, amplitude, k


def plain(mesh, centre, factor, amplitude, wave=None):
    """The formula, at every sample for every Gaussian."""
    axes = torch.meshgrid(*[positions.to(centre) for positions in mesh], indexing="ij")
    offsets = torch.stack(axes, -1)[None] - centre[:, None, None, None]
    square = torch.einsum("gxyza,gab->gxyzb", offsets, factor).square().sum(-1)
    value = torch.where(square < CUT**2, torch.exp(-0.5 * square), 0.0).to(amplitude.dtype)
    if wave is not None:
        value = value * torch.exp(1j * torch.einsum("gxyza,ga->gxyz", offsets, wave))
    return torch.einsum("g,gxyz->xyz", amplitude, value)


MESHES = {
    "grid": tuple(cells(n, n) for n in SHAPE),
    "finer": (cells(9, 18), cells(8, 13), cells(10, 20)),
    "coarser": (cells(9, 4), cells(8, 3), cells(10, 5)),
    "slice": (cells(9, 9)[4:5], cells(8, 8), cells(10, 25)),
    "slices": (cells(9, 9), cells(8, 8)[[0, 2, 3, 4, 7]], cells(10, 10)),
    "outside": (cells(9, 9)[:4] - 30, cells(8, 8), cells(10, 10)),
}


@pytest.mark.parametrize("wave", [False, True])
@pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES)
def test_it_is_the_plain_formula(mesh, wave, generator):
    given = gaussians(generator, wave=wave)
    assert torch.allclose(splat(mesh, *given), plain(mesh, *given), atol=1e-12)


@pytest.mark.parametrize("wave", [False, True])
@pytest.mark.parametrize("stretch", [1.0, 12.0])
def test_gradients_are_right(stretch, wave, generator):
    """Inside the cut; the jump at the cut itself has no gradient."""
    centre, factor, amplitude, k = gaussians(generator, 3, stretch, wave)
    mesh = (cells(9, 4), cells(8, 5), cells(10, 6))
    given = [t.requires_grad_() for t in (centre, factor, amplitude, k) if t is not None]
    assert torch.autograd.gradcheck(lambda *p: splat(mesh, *p), given, eps=1e-7, atol=1e-5)


def test_batches_of_few_pairs_give_the_same(generator, monkeypatch):
    given = gaussians(generator, 20)
    mesh = MESHES["grid"]
    whole = splat(mesh, *given)
    monkeypatch.setattr(splatting, "PAIRS", 50)
    assert torch.allclose(splat(mesh, *given), whole, atol=1e-12)


def test_one_gaussian_has_its_integral(generator):
    """Up to the share beyond three standard deviations, and to the sampling."""
    mesh = tuple(cells(16, 32) for _ in range(3))
    scale, angle = torch.tensor([1.2, 1.6, 2.0], dtype=torch.float64), 0.7
    c, s = math.cos(angle), math.sin(angle)
    rotation = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.complex128)
    found = splat(mesh, torch.full((1, 3), 8.0, dtype=torch.float64), (rotation / scale)[None], one)
    whole = (2 * math.pi) ** 1.5 * float(scale.prod())
    assert float(found.real.sum()) / 8 == pytest.approx(0.9707 * whole, rel=0.01)


def test_nothing_is_visited_where_no_gaussian_is(generator):
    assert not list(splatting.batches(MESHES["outside"], *gaussians(generator)[:2]))


def test_deviations_are_those_of_the_covariance(generator):
    factor = gaussians(generator, stretch=20.0)[1]
    expected = torch.linalg.inv(factor @ factor.mT).diagonal(dim1=-2, dim2=-1).sqrt()
    assert torch.allclose(splatting.deviations(factor), expected)
