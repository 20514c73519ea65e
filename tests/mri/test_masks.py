import math
import time

import pytest
import torch
from scipy.spatial import cKDTree

from recon.errors import ReconError
from recon.mri import fourier, masks

RANDOM = ["poisson_disc", "gaussian_2d"]


def radius(shape):
    """|k| of every position, 1 at the middle of an edge."""
    y, z = (2 * (torch.arange(n, dtype=torch.float64) - n // 2) / n for n in shape)
    return torch.hypot(y[:, None], z[None])


@pytest.mark.parametrize("R", [1, 2.5, 4, 8, 16])
@pytest.mark.parametrize("kind", RANDOM)
def test_random_masks_hold_exactly_the_budget_and_the_calibration_region(kind, R):
    mask = masks.make(kind, (80, 72), R, (12, 10), seed=3)
    assert mask.dtype == torch.bool and mask.shape == (80, 72)
    assert mask.sum() == round(80 * 72 / R)
    assert fourier.crop(mask, (12, 10), (0, 1)).all()
    assert masks.acceleration(mask) == pytest.approx(R, rel=0.01)


@pytest.mark.parametrize("kind", [*RANDOM, "gaussian_1d", "random_1d"])
def test_the_seed_decides_the_mask(kind):
    first, again, other = (masks.make(kind, (64, 64), 4, (8, 8), seed) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("kind", ["gaussian_1d", "random_1d", "uniform_1d"])
def test_one_dimensional_masks_are_whole_lines(kind):
    mask = masks.make(kind, (80, 20), 4, (10, 4), seed=1)
    assert torch.equal(mask, mask[:, :1].expand(-1, 20))
    assert fourier.crop(mask, (10, 20), (0, 1)).all()
    if kind != "uniform_1d":
        assert mask[:, 0].sum() == 20


@pytest.mark.parametrize(
    ("shape", "R"), [((80, 80), 8), ((80, 80), 16), ((160, 96), 12), ((200, 1), 4)]
)
def test_poisson_disc_keeps_the_local_radius_and_leaves_no_holes(shape, R):
    """The local radius, recovered from the closest pairs of samples, grows with |k|.

    No position is much farther from a sample than its radius allows.
    """
    calibration = (10, min(10, shape[1]))
    mask = masks.make("poisson_disc", shape, R, calibration, seed=0)
    sampled = mask.clone()
    fourier.crop(sampled, calibration, (0, 1)).fill_(False)
    scale = torch.tensor([max(shape) / n for n in shape], dtype=torch.float64)
    gap = cKDTree(sampled.nonzero() * scale).query(sampled.nonzero() * scale, k=2)[0][:, 1]
    # The middle of the calibration region.
    middle = [n // 2 - (c + 1) % 2 / 2 for n, c in zip(shape, calibration, strict=True)]
    beyond = [
        (abs(torch.arange(n) - m) - (c - 1) / 2).clamp(min=0) / max((n - c) / 2, 1)
        for n, c, m in zip(shape, calibration, middle, strict=True)
    ]
    k = torch.hypot(beyond[0][:, None], beyond[1])
    slope = min((gap - 1) / k[sampled].numpy())
    nearest = cKDTree(mask.nonzero() * scale).query(torch.ones(shape).nonzero() * scale)[0]
    allowed = 1 + slope * k.flatten().numpy()
    assert slope > 1
    assert max(nearest / allowed) < 2.5  # a removed dart leaves a gap of two discs at most
    assert (nearest > 1.3 * allowed).mean() < 0.02


def test_outer_k_space_has_no_adjacent_samples_where_random_sampling_has_many():
    def adjacent(mask):
        outer = mask & (radius(mask.shape) > 0.5)
        return int((outer[1:] & outer[:-1]).sum() + (outer[:, 1:] & outer[:, :-1]).sum())

    scattered = torch.rand(80, 80, generator=torch.Generator().manual_seed(0)) < 1 / 12
    assert adjacent(masks.make("poisson_disc", (80, 80), 8, (12, 12), seed=5)) == 0
    assert adjacent(scattered) > 20


def test_density_falls_with_radius_like_sigpys():
    from sigpy.mri import poisson

    shape, calibration = (96, 96), (16, 16)
    ours = masks.make("poisson_disc", shape, 8, calibration, seed=1)
    # sigpy samples |k| < 1 only, so it takes a little more of each ring.
    theirs = torch.from_numpy(poisson(shape, 8, calib=calibration, seed=1)).abs() > 0
    rings = [
        (radius(shape) >= inner) & (radius(shape) < inner + 0.2)
        for inner in (0.0, 0.2, 0.4, 0.6, 0.8)
    ]
    density, reference = (
        torch.stack([mask[ring].double().mean() for ring in rings]) for mask in (ours, theirs)
    )
    torch.testing.assert_close(density, reference, rtol=0.3, atol=0)
    assert (density.diff() < 0).all()


def test_large_poisson_disc_mask_takes_seconds_not_minutes():
    start = time.perf_counter()
    mask = masks.make("poisson_disc", (320, 320), 48, (24, 24))
    assert mask.sum() == round(320 * 320 / 48)
    assert time.perf_counter() - start < 10  # 0.5 s on an idle core


def test_gaussian_masks_are_dense_at_the_centre_with_the_stated_width():
    mask = masks.make("gaussian_2d", (128, 96), 50)
    offsets = (mask.nonzero() - torch.tensor([64, 48])) / torch.tensor([128.0, 96.0])
    assert offsets.mean(0).abs().max() < 0.04
    torch.testing.assert_close(offsets.std(0), torch.full((2,), masks.SIGMA), rtol=0.15, atol=0)


def test_uniform_mask_is_a_grid_through_the_centre():
    mask = masks.make("uniform", (48, 60), 6)
    assert mask[24, 30] and mask.sum() == 48 * 60 / 6
    assert torch.equal(mask[:-3], mask[3:]) and torch.equal(mask[:, :-2], mask[:, 2:])
    assert masks.acceleration(masks.make("uniform", (48, 60), 6, (8, 8))) < 6
    assert masks.make("uniform", (64, 1), 4).sum() == 16


def test_uniform_lines_pass_through_the_centre():
    lines = masks.make("uniform_1d", (50, 3), 5)[:, 0].nonzero().flatten().tolist()
    assert lines == list(range(0, 50, 5)) and 25 in lines


@pytest.mark.parametrize(
    ("kind", "R", "calibration", "message"),
    [
        ("spiral", 4, (8, 8), "poisson_disc, gaussian_2d, uniform"),
        ("poisson_disc", 0.5, (8, 8), "R = 0.5"),
        ("poisson_disc", math.nan, (8, 8), "R = nan"),
        ("poisson_disc", 4, (80, 8), "does not fit"),
        ("poisson_disc", 4, (40, 40), "takes 1600 samples"),
        ("gaussian_1d", 4, (20, 1), "takes 1280 samples"),
        ("uniform", 4.5, (8, 8), "whole"),
        ("uniform", 67, (0, 0), "steps that fit"),
        ("uniform_1d", 4.5, (8, 8), "whole"),
    ],
)
def test_impossible_requests_are_refused_in_one_line(kind, R, calibration, message):
    with pytest.raises(ReconError, match=message) as error:
        masks.make(kind, (64, 64), R, calibration)
    assert "\n" not in str(error.value)
