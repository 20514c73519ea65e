"""GRAPPA against pygrappa, and against what is known of it."""

import numpy as np
import pytest
import torch

from recon import ReconError
from recon.mri import coils, fourier, masks
from recon.mri.grappa import Grappa, calibrated, gram, grappa, patterns
from tests.conftest import complex_normal
from tests.mri.test_coils import simulate

SCANS = {
    "uniform 2D": ((14, 16, 15), masks.uniform((16, 15), 4, (8, 8))),
    "uniform lines": ((14, 16, 15), masks.uniform_1d((16, 15), 3, (8, 8))),
    "Poisson disc": ((9, 20, 18), masks.poisson_disc((20, 18), 4, (8, 8))),
    "slice": ((30, 32, 1), masks.uniform_1d((32, 1), 3, (10, 1))),
}


@pytest.mark.parametrize("name", SCANS)
def test_agrees_with_pygrappa(name):
    """To the rounding of single precision. pygrappa puts zeros around the calibration block."""
    mdgrappa = pytest.importorskip("pygrappa").mdgrappa
    shape, mask = SCANS[name]
    kspace, _, _, _ = simulate(shape, count=3)
    block = fourier.crop(kspace, (9, 8, min(8, shape[2])))
    size = (5, 5, 5 if shape[2] > 1 else 1)
    flat = (lambda a: a.squeeze(3)) if shape[2] == 1 else (lambda a: a)
    expected = mdgrappa(
        flat(kspace * mask).numpy(),
        calib=flat(block).numpy(),
        kernel_size=size[:2] if shape[2] == 1 else size,
        coil_axis=0,
    )
    padded = torch.nn.functional.pad(
        block, [side for k in reversed(size) for side in (k // 2,) * 2]
    )
    found = Grappa(padded, size).fill(kspace * mask, mask)
    missed = flat(found.kspace).numpy() - expected
    assert np.abs(missed).max() < 1e-4 * np.abs(expected).max()
    assert np.linalg.norm(missed) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", ["uniform 2D", "slice"])
def test_is_near_exact_on_a_smooth_phantom(name):
    """Without noise and grain the kernels find nearly all that was left out."""
    shape, mask = SCANS[name]
    shape = tuple(2 * n if n > 1 else 1 for n in shape)
    make = masks.uniform if shape[2] > 1 else masks.uniform_1d
    mask = make(shape[1:], 2, (12, min(12, shape[2])))
    kspace, _, _, _ = simulate(shape, count=8, noise=0, grain=0)
    filled = grappa(kspace, mask, weight=1e-7).kspace
    left_out = (kspace * ~mask).norm()
    assert (filled - kspace).norm() < 0.05 * left_out
    assert torch.equal(filled * mask, kspace * mask)


def test_kernels_serve_other_volumes(generator):
    """Kernels of one volume fill another one with the same coils."""
    shape, mask = (16, 24, 20), masks.uniform((24, 20), 2, (10, 10))
    first, maps, _, _ = simulate(shape, count=8, noise=0, grain=0)
    second = fourier.fft(maps * simulate(shape, count=8, noise=0, grain=0.2, seed=1)[2])
    known = calibrated(first * mask, mask, 5, 1e-6)
    reused = known.fill(second, mask).kspace
    kernels = len(known.known)
    own = grappa(second, mask, weight=1e-6).kspace
    left_out = (second * ~mask).norm()
    assert (own - second).norm() < 0.2 * left_out and (reused - second).norm() < 0.3 * left_out
    known.fill(first, mask)
    assert len(known.known) == kernels  # found once


def test_tells_what_it_cannot_fill():
    kspace, _, _, _ = simulate((12, 32, 24), count=2)
    mask = torch.zeros(32, 24, dtype=torch.bool)
    mask[11:21, 7:17] = True
    found = grappa(kspace, mask)
    far = torch.ones_like(mask)
    far[9:23, 5:19] = False  # two samples beyond the centre, the reach of the kernel
    assert torch.equal(found.missing, far)
    assert not found.kspace[:, :, far].any() and found.kspace[:, :, ~far].any(0).any(0).all()


def test_slices_of_a_stack_have_their_own_kernels(generator):
    each = [simulate((24, 28, 1), count=3, seed=s)[0] for s in range(2)]
    empty = torch.zeros_like(each[0])
    mask = torch.cat([masks.uniform_1d((28, 1), r, (9, 1)) for r in (2, 3, 2)], 1)
    stack = torch.cat([each[0], each[1], empty], -1) * mask
    found = grappa(stack, mask, stack=True)
    for z, one in enumerate(each):
        alone = grappa(one * mask[:, z : z + 1], mask[:, z : z + 1])
        assert torch.equal(found.kspace[..., z : z + 1], alone.kspace)
    assert not found.kspace[..., 2].any()


@pytest.mark.parametrize("stack", [False, True])
def test_kernels_come_from_a_calibration_scan(generator, stack):
    """A scan of the centre alone, five times as strong, serves as the scan's own centre would."""
    kspace, *_ = simulate((14, 24, 2 if stack else 20), count=4)
    centre = (8, 2) if stack else (8, 8)
    own, regular = (masks.uniform(kspace.shape[2:], 2, c) for c in (centre, (0, 0)))
    if stack:
        own, regular = (m[:, :1].expand(-1, 2) for m in (own, regular))
    expected = grappa(kspace * own, own, stack=stack).kspace
    block = 5 * fourier.crop(kspace, (14, *coils.calibration_region(own)))
    found = grappa(kspace * own, own, stack=stack, calibration=block).kspace
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    assert not grappa(kspace * regular, regular, stack=stack, calibration=block).missing.any()
    with pytest.raises(ReconError, match="sample a larger centre"):
        grappa(kspace * regular, regular, stack=stack)


def test_the_gram_matrix_is_that_of_the_windows(generator):
    block = complex_normal(2, 5, 4, 3, generator=generator)
    size = (3, 3, 1)
    rows = [
        block[:, x : x + 3, y : y + 3, z : z + 1].reshape(-1)
        for x in range(3)
        for y in range(2)
        for z in range(3)
    ]
    rows = torch.stack(rows).to(torch.complex128)
    assert torch.allclose(gram(block, size), rows.mH @ rows)


def test_patterns_cover_every_hole_once():
    mask = masks.poisson_disc((20, 17), 3, (6, 6), seed=2)
    seen = torch.zeros_like(mask, dtype=torch.int)
    for near, (y, z) in patterns(mask, (5, 3)):
        seen[y, z] += 1
        for row, column in zip(y.tolist(), z.tolist(), strict=True):
            places = [(row + n // 3 - 2, column + n % 3 - 1) for n in near.tolist()]
            assert all(mask[place] for place in places)
    assert torch.equal(seen > 0, ~mask) and seen.max() == 1


def test_a_small_centre_is_refused():
    kspace, _, _, _ = simulate((12, 20, 20), count=2)
    mask = masks.uniform((20, 20), 2, (4, 4))
    with pytest.raises(ReconError, match="centre of k-space is .* must be 5×5×5"):
        grappa(kspace, mask)
    assert coils.calibration_region(mask) <= (5, 5)
