"""Sums of Gaussians agree with the plain formula, and so do their gradients."""

import math

import pytest
import torch

from recon.representations import boxes
from recon.representations.boxes import CUT, Boxes
from recon.representations.meshes import cells
from recon.representations.splatting import splat
from recon.representations.tiles import TX, TY, TZ, Tiles, tiled

SHAPE = (9, 8, 10)
WAYS = pytest.mark.parametrize("way", [Boxes, Tiles])


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


@WAYS
@pytest.mark.parametrize("wave", [False, True])
@pytest.mark.parametrize("mesh", MESHES.values(), ids=MESHES)
def test_it_is_the_plain_formula(mesh, wave, way, generator):
    given = gaussians(generator, wave=wave)
    assert torch.allclose(splat(mesh, *given, way=way), plain(mesh, *given), atol=1e-12)


@WAYS
@pytest.mark.parametrize("wave", [False, True])
@pytest.mark.parametrize("stretch", [1.0, 12.0])
def test_gradients_are_right(stretch, wave, way, generator):
    """Inside the cut; the jump at the cut itself has no gradient. Gaussians lie across tiles.

    Boxes are checked number by number, and the slower interpreter of Triton in random directions.
    """
    centre, factor, amplitude, k = gaussians(generator, 3, stretch, wave)
    counts = (TX + 1, TY + 1, 3) if way is Tiles else (4, 5, 6)
    mesh = tuple(cells(n, m) for n, m in zip(SHAPE, counts, strict=True))
    given = [t.requires_grad_() for t in (centre, factor, amplitude, k) if t is not None]

    def volume(*parts):
        return splat(mesh, *parts[:3], parts[3] if wave else None, way)

    options = {"eps": 1e-7, "atol": 1e-5, "fast_mode": way is Tiles}
    assert torch.autograd.gradcheck(volume, given, **options)


def test_batches_of_few_pairs_give_the_same(generator, monkeypatch):
    given = gaussians(generator, 20)
    mesh = MESHES["grid"]
    whole = splat(mesh, *given)
    monkeypatch.setattr(boxes, "PAIRS", 50)
    assert torch.allclose(splat(mesh, *given), whole, atol=1e-12)


def test_boxes_are_joined_where_that_is_cheaper():
    """A few small ones share a larger box; many keep theirs."""
    few = boxes.merged([[2, 2, 2], [2, 2, 4], [8, 2, 2]], [5, 5, 5])
    assert few == [([8, 2, 4], [0, 1, 2])]
    many = boxes.merged([[8, 8, 8], [8, 8, 10]], [10_000, 10])
    assert [joined for _, joined in many] == [[0], [1]]


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
    assert not list(boxes.batches(MESHES["outside"], *gaussians(generator)[:2]))


def test_deviations_are_those_of_the_covariance(generator):
    factor = gaussians(generator, stretch=20.0)[1]
    expected = torch.linalg.inv(factor @ factor.mT).diagonal(dim1=-2, dim2=-1).sqrt()
    assert torch.allclose(boxes.deviations(factor), expected)


def test_both_ways_agree_across_the_borders_of_tiles(generator):
    """Gaussians of all sizes on a mesh of several tiles along each axis, in single precision."""
    shape = (2 * TX + 1, 2 * TY + 3, 3 * TZ - 1)
    mesh = tuple(cells(n, n) for n in shape)
    double = gaussians(generator, 12, 20.0, wave=True)
    given = [t.to(torch.complex64 if t.is_complex() else torch.float32) for t in double]
    upstream = torch.randn(shape, dtype=torch.complex64, generator=generator)
    found = []
    for way in (Boxes, Tiles):
        leaves = [t.clone().requires_grad_() for t in given]
        volume = splat(mesh, *leaves, way=way)
        volume.backward(upstream)
        found.append([volume.detach(), *[leaf.grad for leaf in leaves]])
    for box, tile in zip(*found, strict=True):
        assert torch.allclose(box, tile, rtol=1e-4, atol=1e-4 * float(box.abs().max()))


def test_each_tile_lists_the_boxes_that_reach_it():
    low = torch.tensor([[0, 0, 0], [TX, 0, 0], [TX - 1, TY - 1, TZ - 1]])
    high = torch.tensor([[1, 1, 1], [TX + 1, 1, 1], [TX + 1, TY + 1, TZ + 1]])
    starts, members = tiled((2 * TX, 2 * TY, 2 * TZ), low, high)
    lists = [members[a:b].tolist() for a, b in zip(starts, starts[1:], strict=False)]
    assert lists[0] == [0, 2] and lists[4] == [1, 2]
    assert all(one == [2] for n, one in enumerate(lists) if n not in (0, 4))
