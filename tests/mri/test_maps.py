"""Maps of stacks and of folded objects, and the problems that are posed with them."""

from dataclasses import replace

import pytest
import torch

from recon import methods, phantoms
from recon.errors import ReconError
from recon.mri import fourier, masks
from recon.mri.maps import Espirit, estimate
from recon.mri.problem import Problem, maps_of_scan, pose_scan
from recon.mri.scan import Scan
from recon.mri.sense import Sense
from tests.conftest import complex_normal

SHAPE = (32, 40, 12)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Coil images (8) of a brain."""
    image = phantoms.subject("brain", 4).render(SHAPE)
    maps = phantoms.coil_maps(8, SHAPE, phantoms.FOV["brain"], 4)
    return maps / maps.abs().square().sum(0).sqrt() * image


def error(volume: torch.Tensor, images: torch.Tensor) -> float:
    size = torch.linalg.vector_norm(images, dim=0)
    return float((volume.abs() - size).norm() / size.norm())


def noisy(images: torch.Tensor, axes: tuple[int, ...], generator, level: float = 0.01):
    return fourier.fft(images, axes) + phantoms.complex_noise(images.shape, level, generator)


@pytest.mark.parametrize("stack", [False, True])
@pytest.mark.parametrize("sets", [1, 2])
def test_sense_with_sets_and_stacks_has_its_adjoint_and_normal(stack, sets, generator):
    maps = complex_normal(sets, 3, 6, 7, 5, generator=generator)
    mask = torch.rand(7, 5, generator=generator) < 0.6
    operator = Sense(maps if sets > 1 else maps[0], mask, stack=stack)
    x = complex_normal(6, 7, sets * 5, generator=generator)
    y = complex_normal(3, 6, 7, 5, generator=generator)
    forward, adjoint = operator.forward(x), operator.adjoint(y)
    left, right = (forward.conj() * y).sum(), (x.conj() * adjoint).sum()
    assert torch.allclose(left, right, rtol=1e-3)
    assert torch.allclose(operator.normal(x), operator.adjoint(forward), atol=1e-3)
    each = [maps[s] * x[..., 5 * s : 5 * s + 5] for s in range(sets)]
    axes = (-3, -2) if stack else (-3, -2, -1)
    assert torch.allclose(forward, mask * fourier.fft(sum(each), axes), atol=1e-3)
    assert operator.shape == x.shape == operator.support.shape
    assert torch.allclose(operator.maps, maps if sets > 1 else maps[0], atol=1e-5)


def test_every_slice_of_a_stack_is_reconstructed_as_if_alone(images, generator):
    """Each has its own mask; so the first and last are as good as the others."""
    kspace = noisy(images, (-3, -2), generator)
    columns = [masks.make("uniform_1d", (40, 1), 2, (12, 1), s) for s in range(SHAPE[2])]
    mask = torch.cat(columns, 1)
    mask[3, ::2] = True
    scan = Scan(kspace * mask, (1.0, 1.0, 3.0), mask, stack=True)
    problem = pose_scan(scan)
    for method in ("cg_sense", "l1_wavelet"):
        volume = problem.unscale(methods.reconstruct(problem, method))
        errors = [error(volume[..., z], images[..., z]) for z in range(3, SHAPE[2] - 3)]
        assert max(errors) < 0.08
    one = replace(scan, kspace=scan.kspace[..., 5:6], mask=mask[:, 5:6], stack=False)
    alone = pose_scan(one)
    alone = alone.unscale(methods.reconstruct(alone, "cg_sense"))
    whole = problem.unscale(methods.reconstruct(problem, "cg_sense"))
    assert (alone.abs()[..., 0] - whole.abs()[..., 5]).norm() < 0.01 * alone.norm()


def test_empty_slices_of_a_stack_stay_empty(images, generator):
    kspace = fourier.fft(images, (-3, -2)) + phantoms.complex_noise(images.shape, 1e-3, generator)
    kspace[..., :2] = 0
    maps = estimate(kspace, stack=True)
    assert not maps[..., :2].any() and maps[..., 6].any()
    with pytest.raises(ReconError, match="calibration"):
        estimate(kspace[..., :2], stack=True)


@pytest.mark.parametrize("shape", [(32, 36, 2), (32, 2, 36), (2, 32, 36), (24, 3, 30), (30, 28, 4)])
def test_short_axes_have_maps(shape, generator):
    """An axis of two once halved the eigenvalues, and the maps were zero."""
    image = phantoms.subject("knee", 2).render(shape)
    maps = phantoms.coil_maps(4, shape, phantoms.FOV["knee"], 2)
    images = maps * image
    found = estimate(noisy(images, (-3, -2, -1), generator, 0.002 * float(image.abs().max())))
    combined = (found.conj() * images).sum(0)
    assert error(combined, images) < 0.02


@pytest.mark.parametrize("axis", [1, 2])
def test_two_sets_describe_an_object_larger_than_the_field_of_view(axis, generator):
    """R = 2, the field of view 0.7 of the object: one set leaves errors of several percent."""
    shape = (32, 48, 40)
    image = phantoms.subject("brain", 4).render(shape)
    maps = phantoms.coil_maps(8, shape, phantoms.FOV["brain"], 4)
    images = maps / maps.abs().square().sum(0).sqrt() * image
    size = 34 if axis == 1 else 26
    n = shape[axis]
    folded = torch.zeros(
        8, *(size if a == axis else m for a, m in enumerate(shape)), dtype=image.dtype
    )
    for index in range(n):
        place = (index - n // 2 + size // 2) % size
        folded.select(axis + 1, place).add_(images.select(axis + 1, index))
    kspace = noisy(folded, (-3, -2, -1), generator, 1e-3 * float(image.abs().max()))
    mask = masks.make("uniform", tuple(kspace.shape[2:]), 2, (20, 20), 0)
    scan = Scan(kspace * mask, (1.0, 1.0, 1.0), mask)
    found = {}
    for sets in (1, 2):
        problem = pose_scan(scan, settings=Espirit(sets=sets))
        volume = problem.unscale(methods.reconstruct(problem, "cg_sense", weight=1e-4))
        found[sets] = error(volume, folded)
        assert volume.shape == folded.shape[1:]
    assert found[2] < 0.02 and found[2] < 0.4 * found[1]


def test_sets_are_no_more_than_coils(images):
    with pytest.raises(ReconError, match="sets is 9; choose 1 to 8"):
        Espirit(sets=9)
    with pytest.raises(ReconError, match="3 sets .* 2 coils"):
        estimate(fourier.fft(images[:2]), settings=Espirit(sets=3))


def test_maps_of_a_user_and_of_a_calibration_scan(images, generator):
    """R = 4 without a calibration region: maps must come from elsewhere, at any scale."""
    kspace = noisy(images, (-3, -2, -1), generator, 1e-3)
    mask = masks.make("uniform", SHAPE[1:], 4, (0, 0), 0)
    scan = Scan(kspace * mask, (1.0, 1.0, 1.0), mask)
    with pytest.raises(ReconError, match="estimate the maps from another scan"):
        pose_scan(scan)
    known = estimate(kspace)
    separate = replace(scan, calibration=7 * fourier.crop(kspace, (32, 16, 12)))
    separated = pose_scan(separate)
    for problem in (pose_scan(scan, known=3 * known), separated):
        volume = problem.unscale(methods.reconstruct(problem, "cg_sense"))
        assert error(volume, images) < 0.1
    folded = error(separated.unscale(separated.rhs), images)
    assert error(separated.unscale(methods.reconstruct(separated, "grappa")), images) < folded / 2
    compressed = pose_scan(scan, virtual_coils=6, known=known)
    assert len(compressed.kspace) == 6
    volume = compressed.unscale(methods.reconstruct(compressed, "cg_sense"))
    assert error(volume, images) < 0.12
    with pytest.raises(ReconError, match="they must agree in"):
        pose_scan(scan, known=known[:4])


def test_the_scale_of_a_stack_does_not_depend_on_its_mask(images):
    kspace = fourier.fft(images, (-3, -2))
    maps, whole = estimate(kspace, stack=True), torch.ones(SHAPE[1:], dtype=torch.bool)
    part = masks.make("uniform_1d", (40, 1), 3, (8, 1), 0).expand(SHAPE[1:]).clone()
    scales = [Problem.build(kspace, m, maps, stack=True).scale for m in (whole, part)]
    assert scales[0] == pytest.approx(scales[1], rel=0.03)


def test_a_slice_without_a_centre_is_refused(images, generator):
    """It once became an empty slice, without a word."""
    kspace = fourier.fft(images, (-3, -2)) + phantoms.complex_noise(images.shape, 1e-3, generator)
    kspace[:, :, 14:26, 6] = 0
    with pytest.raises(ReconError, match="slice 6: espirit"):
        estimate(kspace, stack=True)


def test_saved_maps_belong_to_the_channels_of_the_scan(images, generator):
    """Whitening mixes channels; the maps that are saved are mixed again where they are read."""
    kspace = noisy(images, (-3, -2, -1), generator)
    mixing = torch.eye(8) + 0.3 * complex_normal(8, 8, generator=generator)
    noise = 0.01 * mixing @ complex_normal(8, 500, generator=generator)
    whole = torch.ones(SHAPE[1:], dtype=torch.bool)
    scan = Scan(kspace, (1.0, 1.0, 1.0), whole, noise=noise)
    first = pose_scan(scan)
    second = pose_scan(scan, known=maps_of_scan(first, scan))
    assert torch.allclose(first.operator.maps, second.operator.maps, atol=1e-3)
    with pytest.raises(ReconError, match="virtual coils"):
        maps_of_scan(pose_scan(scan, virtual_coils=4), scan)
