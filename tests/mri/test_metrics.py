import math

import numpy as np
import pytest
import torch
from skimage.metrics import normalized_root_mse, peak_signal_noise_ratio, structural_similarity

from recon.errors import ReconError
from recon.mri.metrics import all_metrics, nrmse, psnr, ssim, ssim_3d
from tests.conftest import complex_normal


def pair(shape=(21, 30, 27)):
    """A smooth complex reference with structure, and a noisy version of it."""
    generator = torch.Generator().manual_seed(0)
    x, y, z = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in shape), indexing="ij")
    reference = torch.polar(
        3 * torch.exp(-2 * (x**2 + y**2 + z**2)) * (1 + 0.3 * torch.sin(9 * y)), 2 * x
    )
    return reference + 0.2 * torch.randn(
        shape, dtype=torch.complex64, generator=generator
    ), reference


def magnitudes(*volumes):
    """The magnitudes as NumPy arrays in double precision."""
    return [v.abs().double().numpy() for v in volumes]


def test_psnr_and_nrmse_equal_skimage_on_magnitudes():
    volume, reference = pair()
    a, b = magnitudes(volume, reference)
    assert psnr(volume, reference) == pytest.approx(
        peak_signal_noise_ratio(b, a, data_range=b.max()), abs=1e-4
    )
    assert nrmse(volume, reference) == pytest.approx(
        normalized_root_mse(b, a, normalization="euclidean"), abs=1e-6
    )


def test_psnr_equals_torchmetrics_on_magnitudes(scene, generator):
    """One phantom volume with noise; the SSIM of torchmetrics has another definition."""
    from torchmetrics.functional.image import peak_signal_noise_ratio as peer

    reference, _ = scene
    volume = reference + 0.05 * complex_normal(*reference.shape, generator=generator)
    a, b = volume.abs(), reference.abs()
    expected = float(peer(a, b, data_range=float(b.max())))
    assert psnr(volume, reference) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("shape", [(21, 30, 27), (8, 7, 12)])
def test_ssim_equals_skimage_slice_by_slice(shape):
    a, b = magnitudes(*pair(shape))
    reference = np.mean(
        [structural_similarity(p, q, data_range=b.max()) for p, q in zip(a, b, strict=True)]
    )
    assert ssim(*pair(shape)) == pytest.approx(reference, abs=1e-5)
    assert 0.05 < reference < 0.99


@pytest.mark.parametrize("shape", [(21, 30, 27), (7, 8, 9)])
def test_ssim_3d_equals_skimage(shape):
    a, b = magnitudes(*pair(shape))
    assert ssim_3d(*pair(shape)) == pytest.approx(
        structural_similarity(a, b, data_range=b.max()), abs=1e-5
    )


def test_a_two_dimensional_scan_is_one_slice():
    volume, reference = pair((30, 28, 1))
    a, b = magnitudes(volume[..., 0], reference[..., 0])
    expected = structural_similarity(a, b, data_range=b.max())
    assert ssim(volume, reference) == pytest.approx(expected, abs=1e-5)
    assert ssim_3d(volume, reference) == pytest.approx(expected, abs=1e-5)


def test_phase_does_not_matter_and_equal_volumes_are_perfect():
    volume, reference = pair()
    turned = reference * torch.polar(torch.ones(()), torch.tensor(1.3))
    assert nrmse(turned, reference) < 1e-6 and ssim(turned, reference) == pytest.approx(1, abs=1e-6)
    assert psnr(reference, reference) == math.inf and ssim_3d(
        reference, reference
    ) == pytest.approx(1, abs=1e-6)


def test_every_metric_is_the_same_in_other_units():
    volume, reference = pair()
    assert all_metrics(1e-6 * volume, 1e-6 * reference) == pytest.approx(
        all_metrics(volume, reference), rel=1e-4
    )


def test_support_restricts_psnr_and_nrmse():
    volume, reference = pair()
    support = reference.abs() > 1.5
    a, b = magnitudes(volume, reference)
    inside = support.numpy()
    expected = 10 * np.log10(b.max() ** 2 / np.mean((a - b)[inside] ** 2))
    assert psnr(volume, reference, support) == pytest.approx(expected, abs=1e-4)
    assert nrmse(volume, reference, support) == pytest.approx(
        np.linalg.norm((a - b)[inside]) / np.linalg.norm(b[inside]), abs=1e-6
    )
    assert abs(psnr(volume, reference) - expected) > 0.1
    outside = torch.where(support, reference, reference + 1)
    assert psnr(outside, reference, support) == math.inf


def test_all_metrics_are_plain_numbers_under_their_names():
    volume, reference = pair()
    result = all_metrics(volume, reference, reference.abs() > 0.5)
    assert list(result) == ["psnr", "ssim", "ssim_3d", "nrmse"] and all(
        type(v) is float for v in result.values()
    )
    assert result["ssim"] == ssim(volume, reference) and result["psnr"] == psnr(
        volume, reference, reference.abs() > 0.5
    )


def test_impossible_comparisons_are_refused():
    volume, reference = pair()
    with pytest.raises(ReconError, match="differ in shape"):
        psnr(volume[1:], reference)
    with pytest.raises(ReconError, match="empty"):
        ssim(volume, torch.zeros_like(reference))
    with pytest.raises(ReconError, match="support"):
        nrmse(volume, reference, torch.zeros(reference.shape, dtype=torch.bool))
    with pytest.raises(ReconError, match="window"):
        ssim(volume[:, :5], reference[:, :5])
