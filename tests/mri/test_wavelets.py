import pytest
import pywt
import torch

from recon.errors import ReconError
from recon.mri.wavelets import (
    approximation,
    axis_levels,
    dwt,
    idwt,
    padded_shape,
    shrink_details,
    soft,
)


def noise(shape, dtype=torch.complex128, seed=0):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def details(volume, wavelet, levels):
    coefficients = dwt(volume, wavelet, levels).clone()
    approximation(coefficients, volume.shape, wavelet, levels).zero_()
    return coefficients


@pytest.mark.parametrize("wavelet", ["haar", "db2", "db3", "db4", "db10", "sym5", "coif2"])
def test_coefficients_equal_those_of_pywavelets(wavelet):
    volume = noise((64, 80, 48))
    levels = min(axis_levels(volume.shape, wavelet, 3))
    reference, _ = pywt.coeffs_to_array(
        pywt.wavedecn(volume.numpy(), wavelet, mode="periodization", level=levels)
    )
    assert levels >= 1
    torch.testing.assert_close(
        dwt(volume, wavelet, levels), torch.from_numpy(reference), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_every_dtype_is_kept_and_agrees_with_double_precision(dtype):
    volume = noise((16, 32, 24), dtype)
    coefficients = dwt(volume)
    wide = torch.complex128 if dtype.is_complex else torch.float64
    assert coefficients.dtype == dtype and idwt(coefficients, volume.shape).dtype == dtype
    torch.testing.assert_close(coefficients.to(wide), dwt(volume.to(wide)), rtol=0, atol=1e-5)


def test_two_dimensional_scan_equals_wavedec2():
    volume = noise((48, 64, 1))
    reference, _ = pywt.coeffs_to_array(
        pywt.wavedec2(volume[..., 0].numpy(), "db2", mode="periodization", level=3)
    )
    torch.testing.assert_close(
        dwt(volume, "db2", 3)[..., 0], torch.from_numpy(reference), rtol=0, atol=1e-9
    )


@pytest.mark.parametrize(
    "shape", [(64, 80, 80), (45, 37, 50), (33, 20, 1), (2, 20, 38, 17), (5, 7, 3), (1, 1, 1)]
)
@pytest.mark.parametrize("wavelet", ["db2", "db3"])
def test_any_size_is_an_isometry_and_comes_back(shape, wavelet):
    volume = noise(shape)
    coefficients = dwt(volume, wavelet, 4)
    assert tuple(coefficients.shape[-3:]) == padded_shape(shape, wavelet, 4)
    torch.testing.assert_close(coefficients.norm(), volume.norm(), rtol=1e-12, atol=0)
    torch.testing.assert_close(idwt(coefficients, shape, wavelet, 4), volume, rtol=0, atol=1e-12)


def test_inverse_is_the_adjoint_for_sizes_that_need_padding():
    volume = noise((21, 18, 30))
    coefficients = noise(padded_shape(volume.shape), seed=1)
    left = torch.vdot(dwt(volume).flatten(), coefficients.flatten())
    right = torch.vdot(volume.flatten(), idwt(coefficients, volume.shape).flatten())
    torch.testing.assert_close(left, right, rtol=1e-12, atol=0)


def test_short_axes_are_split_less_often_and_single_ones_not_at_all():
    assert axis_levels((64, 12, 1), "db2", 3) == (3, 2, 0)
    assert padded_shape((65, 11, 1), "db2", 3) == (72, 12, 1)


def test_constant_volume_has_no_details():
    assert (
        details(torch.full((32, 32, 32), 2 - 1j, dtype=torch.complex128), "db2", 3).abs().max()
        < 1e-12
    )


def test_gradient_of_half_the_energy_is_the_volume_itself():
    volume = noise((16, 16, 10)).requires_grad_()
    coefficients = dwt(volume)
    (0.5 * coefficients.abs().square().sum()).backward()
    torch.testing.assert_close(volume.grad, volume.detach(), rtol=0, atol=1e-10)
    assert torch.autograd.gradcheck(
        lambda v: dwt(v, "db2", 1), noise((4, 6, 3), torch.float64).requires_grad_()
    )
    assert torch.autograd.gradcheck(
        lambda c: idwt(c, (4, 6, 3), "haar", 1), noise((4, 6, 4), torch.float64).requires_grad_()
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_soft_equals_pywt_threshold_and_keeps_zero(dtype):
    values = noise((500,), dtype)
    values[0] = 0
    torch.testing.assert_close(
        soft(values, 0.7),
        torch.from_numpy(pywt.threshold(values.numpy(), 0.7, "soft")),
        rtol=0,
        atol=1e-12,
    )
    assert torch.equal(soft(values, 0.0), values)


def test_shrinking_minimises_the_proximal_objective():
    volume, threshold = noise((16, 24, 16)), 0.8
    result = shrink_details(volume, threshold, "db2", 2)

    def objective(x):
        return (
            0.5 * (x - volume).abs().square().sum() + threshold * details(x, "db2", 2).abs().sum()
        )

    best = objective(result)
    for seed in range(10):
        for step in (1e-3, 1e-1):
            assert objective(result + step * noise(volume.shape, seed=seed)) > best
    assert best < objective(volume) and best < objective(torch.zeros_like(volume))


def test_shrinking_meets_the_optimality_condition():
    """``W(volume - result)`` is a subgradient of threshold·‖details‖₁.

    It is 0 on the approximation, threshold·phase where a detail survives, and at most threshold
    elsewhere.
    """
    volume, threshold = noise((16, 24, 16)), 0.8
    result = shrink_details(volume, threshold, "db2", 2)
    slope, kept = dwt(volume - result, "db2", 2), details(result, "db2", 2)
    alive = kept.abs() > 1e-9
    assert approximation(slope, volume.shape, "db2", 2).abs().max() < 1e-12
    assert 0.1 < alive.double().mean() < 0.9
    torch.testing.assert_close(
        slope[alive], threshold * kept[alive] / kept[alive].abs(), rtol=0, atol=1e-9
    )
    assert slope.abs().max() <= threshold + 1e-12


def test_shifted_shrinking_is_shrinking_of_the_shifted_volume():
    volume, shift = noise((16, 16, 8)), (3, -1, 2)
    rolled = shrink_details(torch.roll(volume, shift, (0, 1, 2)), 0.5)
    torch.testing.assert_close(
        shrink_details(volume, 0.5, shift=shift), torch.roll(rolled, [-s for s in shift], (0, 1, 2))
    )


def test_threshold_zero_changes_nothing_and_a_huge_one_leaves_the_approximation():
    volume = noise((20, 17, 1))
    torch.testing.assert_close(shrink_details(volume, 0.0), volume, rtol=0, atol=1e-12)
    smooth = shrink_details(noise((16, 16, 16)), 1e9)
    assert details(smooth, "db2", 3).abs().max() < 1e-9 < smooth.norm()


@pytest.mark.parametrize("wavelet", ["nonsense", "bior2.2", "dmey"])
def test_wavelets_that_are_not_orthogonal_are_refused(wavelet):
    with pytest.raises(ReconError, match="wavelet"):
        dwt(noise((16, 16, 16)), wavelet)


def test_coefficients_of_another_volume_are_refused():
    with pytest.raises(ReconError, match=r"expected \(16, 24, 16\)"):
        idwt(noise((16, 16, 16)), (16, 24, 16))
