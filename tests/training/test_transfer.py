"""Magnitude slices are varied for measured scans, each variation on its own."""

import pytest
import torch

from recon.errors import ReconError
from recon.mri import fourier
from recon.mri.prepared import Prepared
from recon.networks.trained import Transfer
from recon.training.transfer import TransferSource, magnitudes, remapped, smooth, varied, window

STILL = {"phase": 0, "bias": 0, "contrast": 0, "flips": False, "jitter": 0, "pixels": (1, 1)}


@pytest.fixture
def head() -> torch.Tensor:
    """A ball with a darker core, in pixels of 1 × 1 × 4 mm."""
    x, y, z = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in (48, 56, 10)), indexing="ij")
    radius = (x**2 + y**2 + z**2).sqrt()
    return ((radius < 0.8) * (0.4 + radius)).to(torch.complex64)


def source(head: torch.Tensor, **changes) -> TransferSource:
    return TransferSource([head], [(1.0, 1.0, 4.0)], Transfer(**STILL | changes))


def test_batches_have_one_bounded_shape_and_are_repeated_by_their_seed(head):
    found = source(head, size=(16, 32), phase=1.0, contrast=1.0, flips=True, pixels=(1.0, 3.0))
    one, two = (
        [found.batch(4, torch.Generator().manual_seed(s)) for s in range(5)] for _ in range(2)
    )
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a, b) and a.shape[:2] == (4, 2)
        assert all(16 <= n <= 32 and n % 8 == 0 for n in a.shape[2:])
    assert len({tuple(a.shape) for a in one}) > 1


def test_planes_of_flat_pixels_are_left_out(head):
    """Slices 4 mm thick are cut across z alone."""
    assert 0 < len(magnitudes(head, (1.0, 1.0, 4.0))) <= head.shape[2]
    assert len(magnitudes(head, (1.0, 1.0, 1.0))) > head.shape[2]
    with pytest.raises(ReconError, match="no plane"):
        TransferSource([head[:, :, :1]], [(1.0, 3.0, 4.0)], Transfer())


def test_each_variation_changes_what_it_says(head, generator):
    """Without any, a slice stays itself up to a global phase; the phase leaves the magnitude."""

    def drawn(**changes) -> torch.Tensor:
        found = source(head, size=(64, 64), **changes)
        return found._varied(found.volumes[0][4], (64, 64), torch.Generator().manual_seed(1))

    still = drawn()
    assert still.abs().max() > 0.5
    inside = still.abs() > 0.1 * still.abs().max()
    assert still[inside].angle().std() < 1e-3
    turned = drawn(phase=2.0)
    assert torch.allclose(turned.abs(), still.abs(), atol=1e-3)
    assert turned[inside].angle().std() > 0.05
    assert not torch.allclose(drawn(bias=1.0).abs(), still.abs(), atol=0.05)
    small = drawn(pixels=(2.0, 2.0))
    assert int((small.abs() > 0.1 * small.abs().max()).sum()) < 0.5 * int(inside.sum())


def test_volumes_count_the_same_and_pixels_have_the_size_asked_for(head):
    """A volume of three planes has more slices, and is drawn as often as one of a single plane."""
    bright = TransferSource([head, 0.5 * head], [(1.0, 1.0, 1.0), (2.0, 2.0, 8.0)], Transfer())
    drawn = [bright._drawn(torch.Generator().manual_seed(s)).pixel for s in range(200)]
    assert 70 < sum(pixel == 2.0 for pixel in drawn) < 130


def test_validation_slices_are_varied_and_always_the_same(head):
    ones = torch.ones(head.shape, dtype=torch.bool)
    volume = Prepared(None, ones[0], None, head, ones, 0.0, (1.0, 1.0, 4.0), "v", "measured", "h")
    one, two = (varied([volume], Transfer(), count=5) for _ in range(2))
    assert len(one) == 5
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.target, b.target) and a.target.shape[0] == 1
        assert a.target.is_complex() and a.target.abs().max() > 0


def test_a_map_of_intensities_rises_and_may_be_turned_around(generator):
    image = torch.linspace(0, 1, 200).view(10, 20)
    for _ in range(10):
        mapped = remapped(image, False, generator)
        assert (mapped.flatten().diff() >= 0).all() and mapped[0, 0] == 0
        turned = remapped(image, True, generator)
        assert turned[0, 0] == 0 and (turned.flatten()[40:].diff() <= 1e-6).all()


def test_smooth_fields_are_smooth_and_windows_lie_inside(generator):
    field = smooth((60, 40), 4, 2.0, generator)
    assert field.shape == (60, 40) and 0.3 < float(field.std()) < 4
    spectrum = fourier.fft(field.to(torch.complex64), (0, 1)).abs().square()
    assert fourier.crop(spectrum, (12, 12), (0, 1)).sum() > 0.85 * spectrum.sum()
    values = torch.ones(30, 50, dtype=torch.complex64)
    for shape in ((16, 16), (64, 64), (40, 24)):
        kept = min(30, shape[0]) * min(50, shape[1])
        assert float(window(values, shape, generator).abs().sum()) == kept


def test_stacks_are_varied_alike(head):
    """Each slice of a stack becomes what it would become alone with the same draws."""
    changes = {"phase": 1.0, "bias": 1.0, "contrast": 1.0, "flips": True, "pixels": (1.0, 2.0)}
    settings = Transfer(**STILL | changes)
    stacks = TransferSource([head], [(1.0, 1.0, 4.0)], settings, depth=4)
    drawn = stacks.batch(8, torch.Generator().manual_seed(0))
    assert drawn.shape[:3] == (2, 4, 2) and not torch.equal(drawn[0, 1], drawn[0, 2])
    stack = stacks.volumes[0][4]
    assert torch.equal(stack.image[2], source(head).volumes[0][4].image)  # its middle

    def seeded(image: torch.Tensor) -> torch.Tensor:
        chosen = stack._replace(image=image)
        found = stacks._varied(chosen, (32, 40), torch.Generator().manual_seed(5))
        return found / found.abs().amax((-2, -1), keepdim=True).clamp(min=1e-6)

    together = seeded(stack.image)
    for k in range(4):
        assert torch.allclose(together[k], seeded(stack.image[k]), atol=1e-4)
    with pytest.raises(ReconError, match="no plane"):
        TransferSource([head], [(1.0, 1.0, 4.0)], settings, depth=head.shape[2] + 1)


def test_validation_holds_stacks(head):
    whole = Prepared(
        kspace=None,
        mask=torch.ones(56, 10, dtype=torch.bool),
        maps=None,
        reference=head,
        support=head != 0,
        noise=0.0,
        voxel=(1.0, 1.0, 4.0),
        name="",
        origin="",
        hash="",
    )
    held = varied([whole], Transfer(), depth=4)
    assert len(held) == 6 and all(one.reference.shape[0] == 4 for one in held)
