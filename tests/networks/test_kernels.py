"""Kernels on pixels of other sizes."""

import pytest
import torch

from recon.mri.resample import crop_kspace
from recon.networks.kernels import convolved, places, resized, tap_weights, taps

HOW = ("bilinear", "fourier", "padding")


def smooth_kernel(k: int, width: float = 0.22):
    """An asymmetric, smooth kernel that has fallen to almost zero at its border."""
    at = places(k)
    bump = torch.exp(-((at - 0.4) ** 2) / (2 * (width * k) ** 2) * 2)
    other = torch.exp(-(at**2) / (2 * (width * k) ** 2) * 2) * (1 + 0.3 * at / k)
    return (bump[:, None] * other)[None, None].float()


def test_the_numbers_of_taps_are_those_of_the_paper():
    assert [taps(11, h / 128) for h in (80, 160, 320)] == [7, 13, 27]
    assert [taps(8, r) for r in (0.1, 1.0, 2.0)] == [2, 8, 16]
    assert taps(3, 0.1) == 1


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("k", [4, 7, 11])
def test_nothing_changes_at_the_pixels_of_the_training(k, how, generator):
    kernel = torch.randn(3, 1, k, k, generator=generator)
    assert torch.allclose(resized(kernel, (1.0, 1.0), how), kernel, atol=1e-6)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("k", [4, 7, 11])
@pytest.mark.parametrize("ratio", [0.5, 0.64, 1.5, 2.5])
def test_the_gain_is_kept_where_it_is_asked_for(k, how, ratio, generator):
    """That of kernels of noise too, of which bilinear samples know nothing."""
    kernel = torch.randn(3, 1, k, k, generator=generator)
    kept = resized(kernel, (ratio, 1.2 * ratio), how)
    assert torch.allclose(kept.sum((-2, -1)), kernel.sum((-2, -1)), atol=1e-4)


@pytest.mark.parametrize("how", ["bilinear", "fourier"])
@pytest.mark.parametrize("k", [10, 11])
@pytest.mark.parametrize("ratio", [0.64, 1.5, 2.5])
def test_the_gain_grows_with_the_pixels_where_it_is_not_kept(k, how, ratio):
    kernel = smooth_kernel(k)
    grown = resized(kernel, (ratio, ratio), how, gain=False)
    assert float(grown.sum() / kernel.sum()) == pytest.approx(ratio**2, rel=0.04)


def test_padding_changes_no_value(generator):
    kernel = torch.randn(2, 1, 5, 5, generator=generator)
    found = resized(kernel, (2.0, 2.0), "padding")
    border = (taps(5, 2.0) - 5) // 2
    assert torch.equal(found[..., border:-border, border:-border], kernel)
    assert float(found.abs().sum()) == pytest.approx(float(kernel.abs().sum()))


@pytest.mark.parametrize("old, ratio", [(9, 2.0), (8, 2.0), (9, 0.6), (8, 0.5)])
def test_fourier_weights_keep_what_both_grids_hold(old, ratio):
    """A slow wave over the taps is the same wave on the new ones."""
    weights = tap_weights(old, ratio, "fourier")
    wave = torch.cos(2 * torch.pi * places(old) / old + 0.3)
    expected = torch.cos(2 * torch.pi * places(weights.shape[1]) / ratio / old + 0.3)
    assert torch.allclose(wave @ weights, expected, atol=1e-9)


@pytest.mark.parametrize("k", [10, 11])
@pytest.mark.parametrize("how, tolerance", [("fourier", 0.01), ("bilinear", 0.05)])
@pytest.mark.parametrize("size", [(48, 48), (45, 50)])
def test_resizing_and_convolving_change_places(how, tolerance, size, k, generator):
    """A resized kernel on a resized band-limited image is the convolved image, resized."""
    shape = (32, 32) if size[0] % 2 == 0 else (30, 30)
    slow = crop_kspace(torch.randn(1, 10, 10, generator=generator), (1, *shape))
    window = torch.hann_window(shape[0])  # so that the border does not matter
    image = crop_kspace(slow * window[:, None] * window, (1, *shape))
    kernel, ratio = smooth_kernel(k), (size[0] / shape[0], size[1] / shape[1])
    before = crop_kspace(convolved(image[None], kernel)[0], (1, *size))
    after = convolved(crop_kspace(image, (1, *size))[None], resized(kernel, ratio, how))[0]
    assert float((before - after).norm() / before.norm()) < tolerance
