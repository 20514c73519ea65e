"""Larger voxels: same field of view, same place, same noise in k-space."""

from dataclasses import replace

import pytest
import torch

from recon import ReconError, phantoms
from recon.data.resolution import coarser
from recon.data.simulate import simulate
from recon.mri import coils, fourier
from recon.mri.channels import channels
from recon.mri.noise import noise_covariance
from recon.mri.scan import Scan
from tests.conftest import complex_normal

SHAPE, HALF = (40, 48, 44), (20, 24, 22)
METHODS = ("kspace", "trilinear")


@pytest.fixture(scope="module")
def subject():
    return phantoms.subject("knee", 5)


@pytest.fixture(scope="module")
def scan(subject) -> Scan:
    voxel = tuple(f / n for f, n in zip(subject.fov, SHAPE, strict=True))
    return simulate(subject.render(SHAPE), voxel, 4, 0.02, seed=5, name="k5", origin="phantom")


def images(scan: Scan) -> torch.Tensor:
    return fourier.ifft(scan.kspace)


@pytest.mark.parametrize("method", METHODS)
def test_the_field_of_view_is_kept_and_nothing_moves(scan, subject, method):
    """The coarse scan shows what the subject looks like when it is rendered at that voxel size.

    A shift by one voxel makes the agreement worse.
    """
    coarse = coarser(scan, 2, method)
    assert coarse.shape == HALF and coarse.mask.shape == HALF[1:]
    assert all(
        v * n == pytest.approx(w * m)
        for v, n, w, m in zip(coarse.voxel, HALF, scan.voxel, SHAPE, strict=True)
    )
    rendered = subject.render(HALF).abs()
    seen = coarse.truth.abs() / 8**0.5
    similar = torch.corrcoef(torch.stack([rendered.flatten(), seen.flatten()]))[0, 1]
    for axis in range(3):
        for way in (-1, 1):
            moved = torch.corrcoef(
                torch.stack([rendered.roll(way, axis).flatten(), seen.flatten()])
            )[0, 1]
            assert moved < similar - 0.02
    assert similar > 0.95
    assert float(seen.mean()) == pytest.approx(float(scan.truth.abs().mean()), rel=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_coil_images_and_truth_agree(scan, method):
    """The root sum of squares of the coil images has the amplitude of the truth, up to noise."""
    coarse = coarser(scan, 2, method)
    combined = images(coarse).abs().square().sum(0).sqrt()
    bright = coarse.truth.abs() > 0.3 * coarse.truth.abs().max()
    assert float((combined[bright] / coarse.truth.abs()[bright]).median()) == pytest.approx(
        1, abs=0.02
    )


@pytest.mark.parametrize("factor", [2, 2.5, (1, 1, 3)])
@pytest.mark.parametrize("method", METHODS)
def test_noise_stays_white_at_its_level(generator, method, factor):
    """The scan is only noise, correlated between two coils; its covariance does not change.

    This holds in the middle of k-space and over all of it.
    """
    mixing = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.complex64)
    noise = coils.mix(complex_normal(2, *SHAPE, generator=generator), mixing)
    samples = coils.mix(complex_normal(2, 20000, generator=generator), mixing)
    coarse = coarser(
        Scan(noise, (1.0, 1.0, 1.0), torch.ones(SHAPE[1:], dtype=torch.bool), noise=samples),
        factor,
        method,
    )
    middle = fourier.crop(coarse.kspace, [max(1, n // 2) for n in coarse.shape])
    for part in (coarse.kspace, middle):
        assert torch.allclose(noise_covariance(part.flatten(1)), mixing @ mixing.mH, atol=0.06)


@pytest.mark.parametrize("method", METHODS)
def test_the_noise_level_is_told_before_the_outskirts_are_cut_off(scan, method):
    """Without a noise scan, the level is estimated from the full k-space and stored.

    The outskirts of a coarse k-space are anatomy.
    """
    true = scan.meta["noise_std"]
    quiet = replace(scan, noise=None)
    fine, coarse = channels(quiet)[1], channels(coarser(quiet, 2, method))[1]
    # at this size, the knee has some signal in the outskirts, too
    assert coarse == fine == pytest.approx(true, rel=0.6)
    if method == "kspace":  # an estimate from the coarse k-space takes anatomy for noise
        assert channels(replace(coarser(scan, 2, method), noise=None))[1] > 1.2 * fine


def test_every_subject_gets_noise_of_its_own(generator):
    """Interpolation replaces lost noise; the noise it adds to two subjects is not correlated."""

    def added(name):
        noise = complex_normal(1, *SHAPE, generator=generator)
        scan = Scan(
            noise,
            (1.0, 1.0, 1.0),
            torch.ones(SHAPE[1:], dtype=torch.bool),
            name=name,
            levels=torch.full((1,), 0.7),
        )
        return coarser(scan, 2, "trilinear").kspace.flatten()

    one, other = added("a"), added("b")
    assert float(torch.vdot(one, other).abs() / one.norm() / other.norm()) < 0.05


def test_a_simulation_without_noise_stays_without(subject):
    scan = simulate(
        subject.render((12, 16, 14)), (2.0, 2.0, 2.0), 2, 0.0, seed=5, name="k5", origin="phantom"
    )
    coarse = coarser(scan, 2, "trilinear")
    assert channels(coarse)[1] == 0 and torch.isfinite(torch.view_as_real(coarse.kspace)).all()


def test_axes_are_coarsened_one_by_one_and_unmeasured_samples_stay_so(scan):
    mask = torch.rand(SHAPE[1:], generator=torch.Generator().manual_seed(1)) < 0.7
    partial = replace(scan, kspace=scan.kspace * mask, mask=mask)
    for method in METHODS:
        coarse = coarser(partial, (1, 1, 2), method)
        assert coarse.shape == (40, 48, 22) and (coarse.kspace[:, :, ~coarse.mask] == 0).all()
        assert torch.equal(coarse.mask, mask[:, 11:33])
    assert coarser(scan, 1) is scan


def test_smaller_voxels_are_refused(scan):
    with pytest.raises(ReconError, match="voxel factor 0.5"):
        coarser(scan, 0.5)
