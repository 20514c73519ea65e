"""Scans are told from images, hybrid data and misordered arrays, and are not refused themselves."""

from dataclasses import replace

import pytest
import torch

from recon import phantoms
from recon.errors import ReconError
from recon.mri import fourier, masks
from recon.mri.channels import alive
from recon.mri.plausibility import check_maps, explained, plausible
from recon.mri.problem import pose_scan
from recon.mri.scan import Scan

SHAPES = [(32, 40, 36), (48, 64, 1), (32, 40, 6)]
UNKNOWN = {"voxel": "unknown"}


def coil_images(anatomy: str, shape: tuple, coils: int, noise: float, generator) -> torch.Tensor:
    """Coil images of a phantom; the middle slice where the shape has one."""
    full = shape if shape[2] > 1 else (*shape[:2], 8)
    image = phantoms.subject(anatomy, 5).render(full)
    maps = phantoms.coil_maps(coils, full, phantoms.FOV[anatomy], 3)
    images = maps / maps.abs().square().sum(0).sqrt() * image
    images = images if shape[2] > 1 else images[..., 4:5]
    level = noise * float(torch.view_as_real(image).std())
    return images + phantoms.complex_noise((coils, *shape), level, generator)


def scan(kspace: torch.Tensor, mask: torch.Tensor | None = None, **fields) -> Scan:
    full = torch.ones(kspace.shape[2:], dtype=torch.bool)
    mask = full if mask is None else mask
    return Scan(kspace * mask, (1.0, 1.0, 1.0), mask, meta=UNKNOWN, **fields)


@pytest.mark.parametrize("anatomy", ["knee", "brain"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("coils", [1, 4])
def test_a_scan_is_left_alone(anatomy, shape, coils, generator):
    """Whatever its size, its noise and its undersampling."""
    for noise in (0.01, 0.3, 1.5):
        kspace = fourier.fft(coil_images(anatomy, shape, coils, noise, generator))
        for R in (1, 2, 8) if shape[2] > 8 else (1, 2):
            kind, centre = ("poisson_disc", (8, 8)) if shape[2] > 8 else ("gaussian_1d", (6, 1))
            mask = None if R == 1 else masks.make(kind, shape[1:], R, centre, 1)
            found = plausible(scan(kspace, mask))
            assert found.notes == ()


@pytest.mark.parametrize("anatomy", ["knee", "brain"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("coils", [1, 4])
def test_what_is_not_kspace_is_refused(anatomy, shape, coils, generator):
    for noise in (0.01, 0.3):
        images = coil_images(anatomy, shape, coils, noise, generator)
        kspace = fourier.fft(images)
        hybrid = [fourier.ifft(kspace, (a - 3,)) for a in range(3) if shape[a] >= 16]
        for wrong in [images, *hybrid]:
            with pytest.raises(ReconError, match="no centre along .*--force"):
                plausible(scan(wrong))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_misplaced_centre_is_moved(shape, generator):
    """To the last digit where nothing is lost, as where the zero frequency lay at the ends."""
    kspace = fourier.fft(coil_images("brain", shape, 4, 0.05, generator))
    size = fourier.ifft(kspace).abs()
    for axis in (a for a in range(3) if shape[a] >= 16):
        found = plausible(scan(torch.fft.ifftshift(kspace, dim=axis - 3)))
        assert torch.equal(found.kspace, kspace) and "lay at the ends" in found.notes[0]
        for by in (2, 3, -4):
            found = plausible(scan(kspace.roll(by, axis - 3)))
            assert f"{abs(by)} samples off the middle along {'xyz'[axis]}" in found.notes[0]
            error = torch.linalg.norm(fourier.ifft(found.kspace).abs() - size)
            assert error < 0.1 * torch.linalg.norm(size)
            assert found.mask.all() == (axis == 0)  # what was not measured is not


@pytest.mark.parametrize("coils", [2, 4, 12])
def test_coils_along_the_last_axis_are_noticed(coils, generator):
    """In 3D; in 2D, where the last axis is taken for y; and more coils than voxels are fine."""
    kspace = fourier.fft(coil_images("knee", (32, 40, 36), coils, 0.05, generator))
    with pytest.raises(ReconError, match="--axes x,y,z,coil"):
        plausible(scan(kspace.movedim(0, -1)))
    flat = fourier.fft(coil_images("knee", (48, 64, 1), coils, 0.05, generator))
    with pytest.raises(ReconError, match="--axes x,y,z,coil|no centre"):
        plausible(scan(flat[..., 0].movedim(0, -1)[..., None]))
    many = fourier.fft(coil_images("knee", (32, 24, 20), 40, 0.05, generator))
    assert plausible(scan(many)).notes == ()


@pytest.mark.parametrize(
    "voxel", [(1e-3, 1e-3, 1e-3), (200.0, 1.0, 1.0), (1.0, 1e-4, 1.0), (90.0, 90.0, 90.0)]
)
def test_sizes_that_no_scanner_has_are_refused(voxel, generator):
    """Metres, micrometres, and one axis of another unit."""
    kspace = fourier.fft(coil_images("knee", (32, 40, 36), 2, 0.05, generator))
    good = replace(scan(kspace), meta={})
    assert plausible(good) == good
    for small in ((0.05, 0.05, 0.1), (0.5, 0.5, 5.0), (3.0, 3.0, 3.0)):
        plausible(replace(good, voxel=small))
    with pytest.raises(ReconError, match="not those of a scanner.*--voxel X Y Z"):
        plausible(replace(good, voxel=voxel))


def test_slices_of_a_stack_are_no_kspace_and_need_none(generator):
    images = coil_images("brain", (32, 40, 36), 4, 0.05, generator)
    stack = fourier.fft(images, (-3, -2))
    assert plausible(scan(stack, stack=True)).notes == ()
    with pytest.raises(ReconError, match="no centre along z"):
        plausible(scan(stack))


def test_maps_explain_the_signal_of_their_scan_only(generator):
    """Nearly all of it whatever the noise; those of other coils do not."""
    for noise in (0.01, 0.3, 1.0):
        kspace = fourier.fft(coil_images("knee", (32, 40, 36), 4, noise, generator))
        assert explained(pose_scan(scan(kspace))) > 0.9
        known = pose_scan(scan(kspace)).operator.maps
        assert explained(pose_scan(scan(kspace), known=known)) > 0.9
        assert explained(pose_scan(scan(kspace), known=known.flip(0))) < 0.8
    stack = fourier.ifft(kspace, (-1,))
    assert explained(pose_scan(scan(stack, stack=True))) > 0.9


def test_axes_of_coils_and_slices_that_are_kspace_are_refused(generator):
    """(x, coil, y), one coil (x, y, z) without a coil axis, and a volume given as slices."""
    kspace = fourier.fft(coil_images("knee", (32, 40, 36), 4, 0.05, generator))
    flat = fourier.fft(coil_images("knee", (48, 64, 1), 4, 0.05, generator))
    for wrong in (flat.movedim(0, 1), kspace.movedim(0, 1), kspace[0][..., None]):
        with pytest.raises(ReconError, match="--axes|no centre"):
            plausible(scan(wrong))
    for volume in (kspace, kspace[..., 10:26]):
        with pytest.raises(ReconError, match="slices look like an axis of k-space"):
            plausible(scan(volume, stack=True))


def test_amplitudes_out_of_range_are_refused(generator):
    kspace = fourier.fft(coil_images("knee", (32, 40, 36), 2, 0.05, generator))
    for factor in (1e-25, 1e20):
        with pytest.raises(ReconError, match="amplitudes reach"):
            plausible(scan(factor * kspace))


def test_given_maps_of_other_coils_are_refused(generator):
    kspace = fourier.fft(coil_images("knee", (32, 40, 36), 4, 0.05, generator))
    known = pose_scan(scan(kspace)).operator.maps
    check_maps(scan(kspace), pose_scan(scan(kspace), known=known), given=True)
    for wrong in (known.flip(0), known.conj(), known.flip(2)):
        with pytest.raises(ReconError, match="maps explain"):
            check_maps(scan(kspace), pose_scan(scan(kspace), known=wrong), given=True)


def test_a_broken_channel_is_left_out(generator):
    """It holds strong noise alone. Weak channels and noisy scans keep theirs."""
    images = coil_images("knee", (32, 40, 36), 4, 0.05, generator)
    kspace = fourier.fft(images)
    kspace[1] = phantoms.complex_noise(kspace.shape[1:], float(kspace.abs().std()), generator)
    found = alive(scan(kspace))
    assert found.coils == 3 and "Channel 1 holds noise alone" in found.notes[0]
    for noise in (0.05, 1.5):
        kspace = fourier.fft(coil_images("knee", (32, 40, 36), 4, noise, generator))
        assert alive(scan(kspace)).coils == 4


def test_noise_that_hides_the_signal_is_refused(generator):
    kspace = fourier.fft(coil_images("knee", (32, 40, 36), 2, 0.05, generator))
    strong = 1e3 * phantoms.complex_noise((2, 500), float(kspace.abs().std()), generator)
    with pytest.raises(ReconError, match="rises above the noise"):
        pose_scan(scan(kspace, noise=strong))


def test_kspace_that_alternates_in_sign_is_noted(generator):
    """The image is rolled by half of the field of view, which nobody can know for certain."""
    kspace = fourier.fft(coil_images("brain", (48, 64, 1), 4, 0.05, generator))
    found = plausible(scan(kspace * (-1.0) ** torch.arange(64)[:, None]))
    assert "across the border of the field of view along y" in found.notes[0]
