"""Settings are chosen on the scan itself: what is held out, what it estimates, what is chosen."""

from dataclasses import replace

import pytest
import torch

from recon import methods
from recon.errors import ReconError
from recon.methods import prediction
from recon.mri import fourier
from recon.mri.coils import calibration_region
from recon.mri.problem import Problem
from recon.mri.sense import Sense


def test_samples_kept_back_are_measured_and_outside_the_calibration_region(calibrated):
    held = prediction.hold_out(calibrated)
    mask, used = calibrated.operator.mask, held.problem.operator.mask
    kept = mask & ~used
    assert int(kept.sum()) >= prediction.FEWEST and not (used & ~mask).any()
    assert not (kept & _centre(mask)).any()
    assert not held.problem.kspace[:, :, ~used].any()
    assert torch.equal(held.samples[:, :, kept], calibrated.kspace[:, :, kept])
    again = prediction.hold_out(calibrated)
    assert torch.equal(held.samples, again.samples)
    other = prediction.hold_out(calibrated, seed=1)
    assert not torch.equal(other.problem.operator.mask, used)


def test_the_slices_of_a_stack_keep_back_lines_together(calibrated):
    """Three slices with 30 lines each outside the centre, of which one alone has too few."""
    mask = calibrated.operator.mask
    outside = (mask.flatten() & ~_centre(mask).flatten()).nonzero().flatten()
    few = _centre(mask).flatten()
    few[outside[:30]] = True
    problem = replace(calibrated, operator=calibrated.operator.masked(few.view(mask.shape)))
    with pytest.raises(ReconError, match="nothing to hold out: 30 phase encodes"):
        prediction.hold_out(problem)
    for held in prediction.held_out([problem] * 3):
        assert int((problem.operator.mask & ~held.problem.operator.mask).sum()) == 6


def _centre(mask):
    return fourier.pad(torch.ones(calibration_region(mask), dtype=torch.bool), mask.shape, (0, 1))


def test_samples_kept_back_stand_for_those_that_were_not_measured(calibrated):
    held, mask = prediction.hold_out(calibrated), calibrated.operator.mask
    kept = mask & ~held.problem.operator.mask
    assert (held.weight[mask & ~kept] == 1).all() and not held.weight[~mask].any()
    assert (held.weight[kept] >= 1).all()
    within = int(held.weight[kept].sum() - kept.sum())
    assert 0.5 * int((~mask).sum()) < within <= int((~mask).sum())


def test_the_estimated_error_tells_good_settings_from_bad_ones(calibrated, scene):
    """It is within a factor of four of the truth, which needs a reference."""
    truth = scene[0] * calibrated.scale * calibrated.operator.support
    pieces = [prediction.hold_out(calibrated)]
    found = {}
    for weight in (1e-4, 1e-2, 10.0):
        volume = methods.reconstruct(calibrated, "cg_sense", weight=weight, iterations=30)
        known = float((volume - truth).norm() / truth.norm()) ** 2
        found[weight] = prediction.estimated_error(
            pieces, "cg_sense", {}, weight=weight, iterations=30
        )
        assert 0.25 < found[weight] / known < 4
    assert found[10.0] == max(found.values())


def test_a_slab_across_the_readout_is_a_problem_of_its_own(calibrated):
    """Its adjoint data are the slices of those of the volume."""
    for depth in (1, 4):
        found = prediction.parts(calibrated, depth)
        assert len(found) == (prediction.SLICES if depth == 1 else 1)
        for part in found:
            assert part.operator.shape[0] == depth
            starts = range(calibrated.operator.shape[0] - depth + 1)
            slabs = [calibrated.rhs[s : s + depth] for s in starts]
            assert min(float((part.rhs - s).norm() / s.norm()) for s in slabs) < 1e-4
    whole = prediction.parts(calibrated, 100)
    assert len(whole) == 1 and whole[0] is calibrated


def test_slices_of_a_stack_are_parts(scene, generator):
    image, maps = scene
    mask = torch.rand(maps.shape[-2:], generator=generator) < 0.5
    kspace = Sense(maps, mask, stack=True).forward(image)
    stack = Problem.build(kspace, mask, maps, stack=True)
    for part in prediction.parts(stack, 1):
        assert part.operator.stack and part.operator.shape[2] == 1
        slices = stack.rhs.split(1, dim=2)
        assert min(float((part.rhs - s).norm()) for s in slices) < 1e-4


def test_a_twin_is_the_scan_of_what_was_reconstructed(calibrated):
    volume = methods.reconstruct(calibrated, "cg_sense")
    twin = prediction.twin_of(calibrated, volume)
    level = float(
        torch.view_as_real(twin.problem.kspace - calibrated.operator.forward(volume)).std()
    )
    share = float(calibrated.operator.mask.float().mean()) ** 0.5
    assert level == pytest.approx(calibrated.noise * share, rel=0.1)
    assert twin.missed(volume) == 0
    assert twin.missed(2 * volume) > 0.5 * float(volume[twin.inside].abs().square().sum())


def test_what_is_chosen_is_close_to_the_best(calibrated, scene):
    truth = scene[0].abs() * calibrated.scale

    def error(weight: float) -> float:
        volume = methods.reconstruct(calibrated, "l1_wavelet", weight=weight)
        return float((volume.abs() - truth).norm() / truth.norm())

    found = prediction.choose(calibrated, "l1_wavelet", {}, trials=8)
    best = min(map(error, (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)))
    assert error(**found.settings) < 1.1 * best and found.trials == 8
    again = prediction.choose(calibrated, "l1_wavelet", {}, trials=8)
    assert again.settings == found.settings
    fixed = prediction.choose(calibrated, "cg_sense", {}, trials=4, fixed={"iterations": 7})
    assert set(fixed.settings) == {"weight"}


def test_where_nothing_can_be_held_out_one_line_says_so(scene):
    image, maps = scene
    everything = torch.ones(maps.shape[-2:], dtype=torch.bool)
    full = Problem.build(Sense(maps, everything).forward(image), everything, maps)
    with pytest.raises(ReconError, match="nothing to hold out.*--no-tune"):
        prediction.choose(full, "l1_wavelet", {})


def test_trials_that_nobody_asked_for_take_no_hours(calibrated):
    with pytest.raises(ReconError, match="12 trials would take .* minutes, which --tune waits for"):
        prediction.choose(calibrated, "l1_wavelet", {}, longest=0)


def test_parts_keep_the_calibration_scan_of_their_slices(calibrated, scene, generator):
    """A slab is a scan of its own with a calibration scan of its own, and so is a slice."""
    image, maps = scene
    whole = Sense(maps, torch.ones(maps.shape[-2:], dtype=torch.bool)).forward(image)
    scan = replace(calibrated, calibration=fourier.crop(whole, (whole.shape[1], 8, 8)))
    slices = fourier.ifft(scan.calibration, (1,))
    for part in prediction.parts(scan, 4):
        found = fourier.ifft(part.calibration, (1,))
        slabs = [slices[:, s : s + 4] for s in range(slices.shape[1] - 3)]
        assert min(float((found - s).norm() / s.norm()) for s in slabs) < 1e-5
    mask = torch.rand(maps.shape[-2:], generator=generator) < 0.5
    images = Sense(maps, torch.ones_like(mask), stack=True).forward(image)
    stack = replace(Problem.build(images * mask, mask, maps, stack=True), calibration=images)
    for part in prediction.parts(stack, 1):
        measured = [images[..., z : z + 1] for z in range(images.shape[-1])]
        assert any(torch.equal(part.calibration, one) for one in measured)


def test_in_a_stack_samples_stand_for_those_at_their_distance_along_ky(generator):
    mask = torch.zeros(40, 6, dtype=torch.bool)
    mask[::2] = True
    kept = mask & (torch.rand(mask.shape, generator=generator) < 0.5)
    found = prediction.stands_for(kept, mask, stack=True)
    for rows in (slice(0, 8), slice(16, 24)):  # at the edge and in the centre
        unmeasured = int((~mask[rows]).sum())
        assert float(found[rows].sum() - kept[rows].sum()) == pytest.approx(unmeasured, rel=0.5)
    first, middle = (float(found[rows][kept[rows]].mean()) for rows in (slice(0, 8), slice(16, 24)))
    assert first == pytest.approx(middle, rel=0.4)  # the same share is measured everywhere


def test_a_2d_scan_with_two_sets_of_maps_is_not_cut(generator):
    maps = torch.ones(2, 3, 12, 10, 1) + 0j
    mask = torch.rand(10, 1, generator=generator) < 0.7
    problem = Problem.build(torch.ones(3, 12, 10, 1) + 0j, mask, maps)
    assert prediction.parts(problem, 1) == [problem]


@pytest.mark.parametrize(
    ("method", "slices"),
    [("annealed", 1), ("l1_wavelet", 16), ("dds", 16), ("inr", 16), ("infusion", 16)],
)
def test_methods_that_couple_slices_are_tried_on_slabs(method, slices):
    """The hybrid network of INFusion is another network on a single slice."""
    assert prediction.depth_of(method) == slices
