"""Coil images become k-space whose transform they are, with the noise that they have."""

import numpy as np
import pytest
import scipy.io
import torch

from recon.data import source
from recon.data.section import Dataset
from recon.errors import ReconError
from recon.mri import fourier

SHAPE, COILS, LEVEL = (48, 40), 4, 0.01


@pytest.fixture
def images(generator) -> torch.Tensor:
    """A bright square seen by four coils, with complex noise, at most 1."""
    y, z = (torch.linspace(-1, 1, n) for n in SHAPE)
    square = ((y[:, None].abs() < 0.5) & (z.abs() < 0.5)).to(torch.complex64)
    maps = torch.polar(torch.rand(COILS, 1, 1, generator=generator) + 0.5, torch.zeros(COILS, 1, 1))
    noise = LEVEL * torch.randn(COILS, *SHAPE, generator=generator, dtype=torch.complex64) * 2**0.5
    found = maps * square + noise
    return found / found.abs().max()


def scanned(folder, subject, **changes):
    splits = {"train": [], "validation": [], "test": [subject]}
    section = Dataset(kind="coil_images", label="", path=str(folder), **splits, **changes)
    return source.lookup("coil_images").scan(section, subject)


def test_measured_images_come_back_and_their_corners_are_noise(images, tmp_path):
    np.savez(tmp_path / "a.npz", images.permute(1, 2, 0).numpy())
    found = scanned(tmp_path, "a")
    assert found.shape == (1, *SHAPE) and found.coils == COILS and found.origin == "measured"
    assert torch.allclose(fourier.ifft(found.kspace, (2, 3))[:, 0], images, atol=1e-5)
    level = float(torch.view_as_real(found.noise).std())
    outside = images[:, :10].flatten()
    assert level == pytest.approx(float(torch.view_as_real(outside).std()), rel=0.15)


def test_maps_and_an_image_are_multiplied_and_given_noise(images, tmp_path):
    maps = images.permute(1, 2, 0).numpy()
    image = np.full(SHAPE, 2 + 1j, np.complex64)
    scipy.io.savemat(tmp_path / "b.mat", {"S": maps[:, :, None, :], "x": image})
    clean = scanned(tmp_path, "b", noise=0.0)
    seen = torch.from_numpy(image) * images
    back = fourier.ifft(clean.kspace, (2, 3))[:, 0]
    assert torch.allclose(back, seen / seen.abs().max(), atol=1e-5)
    noisy = scanned(tmp_path, "b", noise=0.1)
    assert noisy.origin == clean.origin == "semi-synthetic"
    added = float(torch.view_as_real(noisy.kspace - clean.kspace).std())
    assert added == pytest.approx(float(torch.view_as_real(noisy.noise).std()), rel=0.05)
    combined = float(clean.kspace.abs().square().sum(0).mean().sqrt()) / 2**0.5
    assert added == pytest.approx(0.1 * combined, rel=0.05)
    assert torch.equal(noisy.kspace, scanned(tmp_path, "b", noise=0.1).kspace)


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("c.npy", np.ones((8, 8), np.complex64), "expected one complex array"),
        ("c.npy", np.ones((8, 8, 4), np.float32), "expected one complex array"),
        ("c.npy", np.full((8, 8, 4), np.nan, np.complex64), "NaN"),
        ("c.npy", np.zeros((8, 8, 4), np.complex64), "zero"),
        ("c.txt", None, ".npy, .npz and .mat"),
    ],
)
def test_other_files_are_refused_in_one_line(name, array, words, tmp_path):
    if array is None:
        (tmp_path / name).write_text("no array")
    else:
        np.save(tmp_path / name, array)
    with pytest.raises(ReconError, match=words) as error:
        scanned(tmp_path, "c")
    assert "\n" not in str(error.value)


def test_the_measured_slices_are_read(real_data):
    for subject, coils in (("brain_axial_7coil_images", 7), ("brain_axial_32coil_maps", 32)):
        found = scanned(real_data / "multicoil", subject)
        assert found.coils == coils and found.shape[0] == 1
