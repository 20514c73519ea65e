"""What was measured on one side of k-space is completed on the other."""

import pytest
import torch

from recon import methods, phantoms
from recon.mri import fourier, masks
from recon.mri.partial_fourier import one_sided, pocs, predicts, reach
from recon.mri.problem import pose_scan
from recon.mri.scan import Scan

SHAPE = (48, 64, 24)


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    """A brain with a smooth phase."""
    size = phantoms.subject("brain", 3).render(SHAPE).abs()
    x, y, z = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    return torch.polar(size, 1.5 * x + 1.2 * y**2 - 0.8 * x * z)


def error(volume: torch.Tensor, image: torch.Tensor) -> float:
    return float((volume.abs() - image.abs()).norm() / image.abs().norm())


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("first", [True, False])
def test_pocs_completes_each_axis_on_either_side(axis, first, image):
    """Five eighths are measured. The error falls by more than a half, and the data are kept."""
    n = SHAPE[axis]
    along = torch.arange(n) < 5 * n // 8 if first else torch.arange(n) >= 3 * n // 8
    seen = [torch.ones(m, dtype=torch.bool) for m in SHAPE]
    seen[axis] = along
    assert one_sided(seen) == [axis]
    shape = [-1 if a == axis else 1 for a in range(3)]
    zero = fourier.ifft(fourier.fft(image) * along.view(shape))
    done = pocs(zero, seen, [axis])
    assert error(done, image) < 0.5 * error(zero, image)
    kept = along.view(shape) * (fourier.fft(done) - fourier.fft(zero))
    assert kept.norm() < 1e-4 * zero.norm()


def test_even_sampling_is_left_alone(image):
    seen = [torch.ones(m, dtype=torch.bool) for m in SHAPE]
    assert one_sided(seen) == [] and pocs(image, seen, []) is image
    for n in (15, 16):  # one sample fewer at either end is no partial Fourier
        for part in (slice(1, None), slice(None, -1), slice(2, -2)):
            along = torch.zeros(n, dtype=torch.bool)
            along[part] = True
            assert one_sided([along]) == []


def test_undersampled_partial_fourier(image, generator):
    """R = 2 along y, of which 38 of 64 lines were to be measured: every method gains."""
    maps = phantoms.coil_maps(8, SHAPE, phantoms.FOV["brain"], 4)
    maps = maps / maps.abs().square().sum(0).sqrt()
    noise = 0.005 * float(torch.view_as_real(image).std())
    kspace = fourier.fft(maps * image) + phantoms.complex_noise(maps.shape, noise, generator)
    mask = masks.make("uniform_1d", SHAPE[1:], 2, (20, 24), 0)
    mask[38:] = False
    scan = Scan(kspace * mask, (1.0, 1.0, 1.0), mask)
    seen = reach(scan.kspace, scan.mask)
    axes = one_sided(seen)
    assert axes == [1]
    problem = pose_scan(scan)
    for method in ("zero_filled", "cg_sense", "l1_wavelet"):
        zero = problem.unscale(methods.reconstruct(problem, method))
        assert error(pocs(zero, seen, axes), image) < error(zero, image)


def test_pocs_is_trusted_only_where_it_predicts(image):
    """A jump of the phase at every bright voxel cannot be predicted; a smooth phase can."""
    seen = [torch.ones(m, dtype=torch.bool) for m in SHAPE]
    seen[1] = torch.arange(64) < 52
    part = seen[1].view(1, -1, 1)
    rough = torch.where(image.abs() > 0.5 * image.abs().max(), -image, image)
    for volume, smooth in ((image, True), (rough, False)):
        zero = fourier.ifft(part * fourier.fft(volume))
        assert predicts(zero, seen, [1]) == smooth


@pytest.mark.parametrize("offset", range(5))
def test_a_regular_grid_is_not_one_sided(offset):
    along = torch.zeros(60, dtype=torch.bool)
    along[offset::5] = True
    assert one_sided([along]) == []
