"""Phantoms are continuous in position, reproducible and individual, and errors name the choices.

The coil maps have the field of a loop that textbooks give.
"""

import math

import pytest
import torch

from recon.errors import ReconError
from recon.phantoms import ANATOMIES, FOV, TISSUES, coil_maps, complex_noise, smooth_phase, subject
from recon.phantoms.coils import _loop_field
from recon.phantoms.fields import Noise, Points, ellipsoid, tube

SHAPE = (32, 40, 40)


def nrmse(a, b):
    return ((a - b).abs().square().sum() / b.abs().square().sum()).sqrt().item()


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_half_the_voxel_size_shows_the_same_subject(anatomy):
    person = subject(anatomy, 3)
    coarse, fine = person.render(SHAPE).abs(), person.render(tuple(2 * n for n in SHAPE)).abs()
    averaged = torch.nn.functional.avg_pool3d(fine[None], 2)[0]
    # The bound for roots is larger, as most roots are far thinner than a sample.
    assert nrmse(coarse, averaged) < (0.08 if anatomy == "roots" else 0.05)


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_image_is_complex64_finite_peaks_near_one_and_leaves_air_dark(anatomy):
    image = subject(anatomy, 5).render(SHAPE)
    assert image.shape == SHAPE and image.dtype == torch.complex64
    assert torch.isfinite(torch.view_as_real(image)).all()
    assert 0.6 < image.abs().max() < 1.25
    assert image[0, 0].abs().max() < 0.02


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_a_seed_is_one_individual_bit_for_bit_and_another_seed_another(anatomy):
    torch.manual_seed(0)
    first = subject(anatomy, 6).render(SHAPE, 1)
    torch.manual_seed(1)  # the global state has no influence
    assert torch.equal(
        torch.view_as_real(first), torch.view_as_real(subject(anatomy, 6).render(SHAPE, 1))
    )
    assert nrmse(subject(anatomy, 7).render(SHAPE, 1).abs(), first.abs()) > 0.15


@pytest.mark.parametrize("anatomy", ANATOMIES)
def test_labels_agree_with_the_image_and_most_tissues_occur(anatomy):
    person = subject(anatomy, 8)
    label, image = person.tissue((64, 80, 80)), person.render((64, 80, 80), 1).abs()
    assert label.min() == 0 and label.max() < len(TISSUES[anatomy])
    assert len(label.unique()) >= len(TISSUES[anatomy]) - 3
    assert image[label == 0].mean() < 0.03 < image[label > 0].mean()


def test_brain_contrast_is_t1_weighted():
    person = subject("brain", 9)
    label, image = person.tissue((64, 80, 80)), person.render((64, 80, 80), 1).abs()
    white, grey, csf = (
        image[label == TISSUES["brain"].index(name)].median()
        for name in ("white matter", "grey matter", "csf")
    )
    assert white > 1.2 * grey > 1.2 * 1.5 * csf


def test_unknown_anatomy_is_refused_with_the_known_ones():
    with pytest.raises(ReconError, match="brain, knee, roots"):
        subject("liver", 0)


def test_on_the_axis_of_a_loop_the_field_is_that_of_the_textbook():
    around = torch.arange(129, dtype=torch.float64) * (2 * math.pi / 128)
    # A loop with a radius of 100 mm around the x axis.
    wire = 100 * torch.stack([torch.zeros_like(around), around.cos(), around.sin()], 1)
    x = torch.tensor([150.0, 200.0, 300.0], dtype=torch.float64)
    field = _loop_field(
        (wire[1:] + wire[:-1]) / 2,
        wire[1:] - wire[:-1],
        [x, torch.zeros(1).double(), torch.zeros(1).double()],
    )[:, 0, 0]
    expected = 2 * math.pi * 100**2 / (100**2 + x**2) ** 1.5
    assert (
        torch.allclose(field.real.double(), expected, rtol=0.01) and field.imag.abs().max() < 1e-6
    )


@pytest.mark.parametrize("coils", [1, 3, 8, 15])
def test_coil_maps_are_normalised_distinct_and_independent_of_the_grid(coils):
    maps = coil_maps(coils, SHAPE, FOV["knee"], seed=2)
    assert maps.shape == (coils, *SHAPE) and maps.dtype == torch.complex64
    assert maps.abs().square().sum(0).sqrt().mean() == pytest.approx(1, abs=1e-4)
    finer = coil_maps(coils, tuple(2 * n for n in SHAPE), FOV["knee"], seed=2)
    averaged = torch.nn.functional.avg_pool3d(torch.view_as_real(finer).movedim(-1, 1), 2)
    averaged = torch.complex(averaged[:, 0], averaged[:, 1])
    assert nrmse(maps, averaged) < 0.02
    singular = torch.linalg.svdvals(maps.flatten(1))
    assert singular[-1] / singular[0] > 0.02


def test_coil_maps_need_a_coil():
    with pytest.raises(ReconError, match="at least 1"):
        coil_maps(0, SHAPE, FOV["brain"])


def test_smooth_phase_turns_slowly_and_is_independent_of_the_grid():
    phase = smooth_phase((64, 80, 80), FOV["brain"], 3)
    assert 0.3 < phase.std() < 4
    assert max(phase.diff(dim=d).abs().max() for d in range(3)) < 0.5
    finer = torch.nn.functional.avg_pool3d(smooth_phase((128, 160, 160), FOV["brain"], 3)[None], 2)[
        0
    ]
    assert (finer - phase).abs().max() < 0.01


def test_noise_has_the_asked_deviation_in_both_parts():
    noise = complex_noise((4, 50, 50, 50), 0.3, torch.Generator().manual_seed(0))
    assert noise.real.std().item() == pytest.approx(
        0.3, rel=0.01
    ) and noise.imag.std().item() == pytest.approx(0.3, rel=0.01)
    assert abs((noise.real * noise.imag).mean().item()) < 1e-3


def test_depth_is_the_distance_to_the_surface():
    p = Points(torch.tensor([0.0, 4, 12]), torch.zeros(3), torch.zeros(3))
    assert torch.allclose(
        ellipsoid(p, (0, 0, 0), (10, 10, 10))[1:], torch.tensor([6.0, -2]), atol=2.5
    )
    assert torch.allclose(tube(p, ((0, -50, 0), (0, 50, 0)), (10, 10)), torch.tensor([10.0, 6, -2]))


def test_noise_field_has_unit_variance_its_period_and_its_slopes():
    field = Noise(12, torch.Generator().manual_seed(1), size=48, slopes=True)
    x, y, z = 50 * torch.rand(3, 20000, generator=torch.Generator().manual_seed(2))
    value = field(x[:, None, None], y[:, None, None], z[:, None, None])
    assert value[0].std().item() == pytest.approx(1, abs=0.2)  # interpolation lowers it a little
    again = field(x[:, None, None] + field.period, y[:, None, None], z[:, None, None])
    assert torch.allclose(value, again, atol=1e-3)
    h = 0.5
    for axis in range(3):
        steps = [torch.full_like(x, h * (axis == k)) for k in range(3)]
        ahead, behind = (
            field(*((c + s * d)[:, None, None] for c, d in zip((x, y, z), steps, strict=True)))[0]
            for s in (1, -1)
        )
        slope = (ahead - behind) / (2 * h)
        assert nrmse(value[1 + axis], slope) < 0.25
