import math

import pytest
import torch

from recon.errors import ReconError
from recon.mri import fourier
from recon.mri.resample import crop_kspace, trilinear

METHODS = [crop_kspace, trilinear]


def grid(shape):
    """Voxel centres in fractions of the field of view."""
    return torch.meshgrid(
        *((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in shape), indexing="ij"
    )


def blob(shape, centre=(0.47, 0.52, 0.55), width=0.11):
    """A complex Gaussian rendered at voxel centres.

    It is narrow enough to vanish at the border and wide enough for the coarse grids.
    """
    square = sum((x - c) ** 2 for x, c in zip(grid(shape), centre, strict=True))
    return torch.polar(torch.exp(-square / (2 * width**2)), 2 * grid(shape)[1])


def centroid(volume):
    weight = volume.abs() ** 2
    return torch.stack([(weight * x).sum() / weight.sum() for x in grid(volume.shape)])


@pytest.mark.parametrize("resample", METHODS)
@pytest.mark.parametrize("shape", [(10, 9, 8), (40, 33, 27), (11, 40, 1), (20, 18, 15)])
def test_constants_are_kept(resample, shape):
    constant = torch.full((20, 18, 15), 2 - 3j, dtype=torch.complex128)
    torch.testing.assert_close(
        resample(constant, shape),
        torch.full(shape, 2 - 3j, dtype=torch.complex128),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("shape", [(24, 20, 25), (31, 24, 23), (64, 55, 61), (40, 40, 41)])
def test_fourier_crop_of_a_smooth_object_is_its_rendering_on_the_new_grid(shape):
    """Sizes are odd and even, smaller and larger; a shift of a hundredth of a voxel would fail.

    The reference is the analytic object.
    """
    torch.testing.assert_close(
        crop_kspace(blob((40, 40, 41)), shape), blob(shape), rtol=0, atol=2e-4
    )


@pytest.mark.parametrize(("shape", "error"), [((40, 48, 45), 0.06), ((120, 128, 130), 0.01)])
def test_trilinear_approaches_the_rendering_of_a_smooth_object(shape, error):
    assert (trilinear(blob((80, 81, 80)), shape) - blob(shape)).abs().max() < error


@pytest.mark.parametrize("resample", METHODS)
@pytest.mark.parametrize("shape", [(20, 27, 19), (40, 40, 40), (63, 80, 50)])
def test_a_structure_stays_where_it_is_in_millimetres(resample, shape):
    volume = blob((40, 40, 41), width=0.08)
    torch.testing.assert_close(
        centroid(resample(volume, shape)), centroid(volume), rtol=0, atol=5e-4
    )


def test_bare_cropping_would_shift_by_half_the_change_in_voxel_size():
    volume = blob((40, 40, 40))
    bare = fourier.ifft(fourier.crop(fourier.fft(volume), (20, 20, 20)))
    moved = centroid(bare) - centroid(volume)
    torch.testing.assert_close(
        moved, torch.full((3,), 0.5 * (1 / 20 - 1 / 40), dtype=torch.float64), rtol=0.02, atol=0
    )


@pytest.mark.parametrize(
    ("resample", "cycles", "left"),
    [(crop_kspace, 11, 1e-10), (trilinear, 16, 0.08), (trilinear, 20, 0.02)],
)
def test_frequencies_above_the_new_nyquist_are_removed_not_aliased(resample, cycles, left):
    """A grid of 20 voxels holds at most 10 cycles, so the waves tested here must vanish.

    Subsampling by nearest neighbour would return them at full amplitude.
    """
    x = grid((60, 4, 4))[0]
    wave = torch.cos(2 * math.pi * cycles * x)
    assert resample(wave, (20, 4, 4)).abs()[2:-2].max() < left
    assert wave[1::3].abs().max() > 0.9


def test_trilinear_equals_torch_antialiased_interpolation():
    volume = torch.rand(30, 24, 1, generator=torch.Generator().manual_seed(0))
    for shape in ((13, 24, 1), (17, 9, 1), (45, 50, 1)):
        reference = torch.nn.functional.interpolate(
            volume[None, None, ..., 0], shape[:2], mode="bilinear", antialias=True
        )
        torch.testing.assert_close(
            trilinear(volume, shape)[..., 0], reference[0, 0], rtol=0, atol=1e-5
        )


def test_enlarging_and_cropping_in_k_space_comes_back():
    volume = blob((20, 17, 12)).to(torch.complex64)
    torch.testing.assert_close(
        crop_kspace(crop_kspace(volume, (33, 30, 12)), (20, 17, 12)), volume, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("resample", METHODS)
def test_empty_shapes_are_refused(resample):
    with pytest.raises(ReconError, match="at least 1"):
        resample(torch.ones(8, 8, 8), (4, 0, 4))
