import pytest
import torch

from recon.mri import fourier
from tests.conftest import complex_normal

SHAPES = [(6, 8, 10), (5, 8, 7), (4, 9, 1)]


@pytest.mark.parametrize("shape", SHAPES)
def test_inverse_and_energy(shape, generator):
    image = complex_normal(*shape, generator=generator)
    kspace = fourier.fft(image)
    assert torch.allclose(fourier.ifft(kspace), image, atol=1e-6)
    assert torch.allclose(kspace.norm(), image.norm())


@pytest.mark.parametrize("shape", SHAPES)
def test_origin_is_the_centre(shape):
    """A point at n // 2 has a flat, real spectrum; the energy of a constant is at n // 2."""
    centre = tuple(n // 2 for n in shape)
    point = torch.zeros(shape, dtype=torch.complex64)
    point[centre] = 1
    size = point.numel()
    assert torch.allclose(
        fourier.fft(point), torch.full(shape, size**-0.5, dtype=torch.complex64), atol=1e-6
    )
    spectrum = fourier.fft(torch.ones(shape, dtype=torch.complex64))
    assert (
        torch.allclose(spectrum[centre].real, torch.tensor(size**0.5))
        and spectrum.abs().sum() < 1.001 * size**0.5
    )


def test_sign_of_the_exponent():
    """An object moved by one voxel along y multiplies its k-space by exp(-2πi ky / n)."""
    image = torch.zeros(4, 8, 6, dtype=torch.complex64)
    image[2, 4, 3] = 1
    ky = torch.arange(8) - 4
    ramp = torch.polar(torch.ones(8), -2 * torch.pi * ky / 8)
    assert torch.allclose(
        fourier.fft(image.roll(1, 1)), fourier.fft(image) * ramp[:, None], atol=1e-6
    )


@pytest.mark.parametrize("size", [1, 7, 8, 9])
def test_modulation_replaces_the_shifts(size, generator):
    signal = complex_normal(size, generator=generator)
    m = fourier.modulation(size)
    constant = torch.polar(torch.tensor(1.0), torch.tensor(-2 * torch.pi * (size // 2) ** 2 / size))
    assert torch.allclose(
        constant * m * torch.fft.fft(m * signal, norm="ortho"),
        fourier.fft(signal, (-1,)),
        atol=1e-6,
    )


@pytest.mark.parametrize(("small", "large"), [((3, 4, 5), (7, 8, 6)), ((2, 5, 4), (5, 9, 9))])
def test_pad_is_the_adjoint_of_crop(small, large, generator):
    a, b = complex_normal(*small, generator=generator), complex_normal(*large, generator=generator)
    assert fourier.pad(a, large).shape == large
    left, right = (
        torch.vdot(fourier.pad(a, large).flatten(), b.flatten()),
        torch.vdot(a.flatten(), fourier.crop(b, small).flatten()),
    )
    assert torch.allclose(left, right)
    assert fourier.pad(torch.ones(1, 1, 1), large)[tuple(n // 2 for n in large)] == 1
