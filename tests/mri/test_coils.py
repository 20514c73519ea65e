"""Coil maps against the truth, sigpy and BART; all other functions against their definitions.

These are the coil combination and the compression.
"""

import math
import shutil
import subprocess

import numpy as np
import pytest
import torch

from recon.errors import ReconError
from recon.mri import coils, fourier


def axes(shape):
    """Coordinates in [-1, 1) along each axis, the origin at n // 2, as a stacked mesh grid."""
    return torch.stack(
        torch.meshgrid(*[2 * (torch.arange(n) - n // 2) / max(n, 2) for n in shape], indexing="ij")
    )


def true_maps(shape, count):
    """Complex transverse fields of small loops on a cylinder around the object.

    They have unit norm over the coils.
    """
    r, out = axes(shape), []
    for c in range(count):
        turn = 2 * math.pi * c / count
        across = (0, 1) if shape[2] == 1 else (1, 2)
        centre = torch.zeros(3)
        centre[across[0]], centre[across[1]] = 1.3 * math.cos(turn), 1.3 * math.sin(turn)
        d = r - centre[:, None, None, None]
        out.append(torch.complex(d[across[0]], d[across[1]]) / (d.square().sum(0) + 0.1) ** 1.25)
    maps = torch.stack(out)
    return maps / torch.linalg.vector_norm(maps, dim=0)


def simulate(shape, count=8, noise=0.01, seed=0, grain=0.2):
    """K-space, true maps, object and support of a textured ellipsoid with a phase.

    ``count`` coils see it.
    """
    generator = torch.Generator().manual_seed(seed)
    x, y, z = axes(shape)
    inside = (x / 0.75) ** 2 + (y / 0.8) ** 2 + (z / 0.7) ** 2 < 1
    texture = (
        1
        + 0.5 * torch.sin(9 * x + 1) * torch.sin(7 * y + 3 * z)
        + grain * torch.randn(shape, generator=generator)
    )
    image = torch.polar(texture.abs() * inside, 1.5 * x * y + z)
    maps = true_maps(shape, count)
    kspace = fourier.fft(maps * image)
    return (
        kspace
        + noise
        * math.sqrt(2)
        * torch.randn(kspace.shape, generator=generator, dtype=torch.complex64),
        maps,
        image,
        inside,
    )


def misfit(estimate, reference, inside):
    """Mean of 1 - |<S, S_ref>| over the object; a phase in each voxel makes no difference."""
    return float((1 - (estimate.conj() * reference).sum(0).abs())[inside].mean())


@pytest.mark.parametrize(
    ("shape", "calibration", "bound"),
    [
        ((32, 40, 44), (24, 12, 12), 1e-4),
        ((33, 41, 37), (24, 13, 11), 1e-4),
        ((32, 40, 44), (24, 8, 8), 3e-4),
        ((64, 72, 1), (24, 24, 1), 1e-4),
        ((64, 72, 1), (64, 12, 1), 1e-4),
        ((1, 63, 65), (1, 24, 24), 1e-4),
    ],
)
def test_maps_are_the_true_ones_inside_the_object(shape, calibration, bound):
    kspace, truth, _, inside = simulate(shape)
    maps = coils.espirit(kspace, calibration)
    norm = torch.linalg.vector_norm(maps, dim=0)
    assert torch.allclose(norm[inside], torch.ones(int(inside.sum())), atol=1e-4)
    assert misfit(maps, truth, inside) < bound


def test_maps_survive_a_noisy_scan():
    kspace, truth, _, inside = simulate((32, 40, 44), noise=0.2)
    maps = coils.espirit(kspace, (24, 16, 16))
    assert misfit(maps, truth, inside) < 3e-3
    # A fixed threshold of 0.01 would keep the noise, and every voxel with it.
    assert (maps[:, ~inside] == 0).float().mean() > 0.5


def test_phase_makes_the_virtual_coil_real_and_positive():
    kspace, _, _, inside = simulate((32, 40, 44))
    maps = coils.espirit(kspace, (24, 12, 12))
    block = fourier.crop(kspace, (24, 12, 12)).flatten(1)
    virtual = torch.einsum(
        "c,cxyz->xyz", torch.linalg.svd(block, full_matrices=False).U[:, 0].conj(), maps
    )[inside]
    # The component itself is defined up to one phase only.
    rotated = virtual * torch.exp(-1j * virtual.sum().angle())
    assert rotated.angle().abs().max() < 1e-3


def test_default_calibration_is_the_fully_sampled_centre():
    kspace = simulate((32, 40, 44))[0]
    maps = coils.espirit(kspace, (24, 12, 14))
    mask = torch.rand(40, 44, generator=torch.Generator().manual_seed(3)) < 0.2
    mask[14:26, 15:29] = True  # 12 × 14, centred
    mask[13, 20] = mask[26, 20] = mask[20, 14] = mask[20, 29] = False
    assert coils.calibration_region(mask) == (12, 14)
    assert torch.equal(coils.espirit(kspace * mask), maps)


def test_only_the_calibration_block_is_needed():
    kspace = simulate((32, 40, 44))[0]
    maps = coils.espirit(kspace, (24, 12, 14))
    assert torch.equal(coils.espirit(fourier.crop(kspace, (24, 12, 14)), shape=(32, 40, 44)), maps)


def test_maps_of_another_matrix_size_show_the_same_field():
    kspace, _, _, inside = simulate((32, 40, 44))
    fine = coils.espirit(kspace, (24, 12, 12), shape=(64, 80, 88))
    assert torch.allclose(fine[:, ::2, ::2, ::2], coils.espirit(kspace, (24, 12, 12)), atol=1e-3)


def test_result_does_not_depend_on_the_tiles():
    kspace = simulate((20, 31, 24))[0]
    whole = coils.espirit(kspace, (20, 12, 12), voxels_at_once=10**6)
    for voxels in (1, 100, 3000):
        assert torch.allclose(
            coils.espirit(kspace, (20, 12, 12), voxels_at_once=voxels), whole, atol=1e-4
        )


def test_dominant_eigenvector_matches_eigh():
    kspace, _, _, inside = simulate((16, 24, 20), noise=0.05)
    block = coils.calibration_block(kspace, (16, 12, 12))
    shape, whole = (16, 24, 20), (slice(0, 16), slice(0, 24), slice(0, 20))
    matrix = coils.fourier_series(coils.patch_operator(block, 5, 0.01), shape, whole)
    vector, value = coils.dominant_eigenvector(
        matrix, coils.fourier_series(block, shape, whole), 0.8
    )
    values, vectors = torch.linalg.eigh(matrix.permute(2, 3, 4, 0, 1))
    assert -1e-4 < values.min() and values.max() < 1 + 1e-4  # an average of projections
    assert torch.allclose(value[inside], values[..., -1][inside], atol=1e-5)
    assert misfit(vector, vectors[..., -1].permute(3, 0, 1, 2), inside) < 1e-6


def test_fourier_series_is_the_centred_inverse_transform():
    block = torch.randn(
        2, 5, 4, 3, dtype=torch.complex64, generator=torch.Generator().manual_seed(0)
    )
    shape = (8, 9, 7)
    expected = fourier.ifft(fourier.pad(block, shape)) * math.sqrt(math.prod(shape))
    assert torch.allclose(
        coils.fourier_series(block, shape, [slice(0, n) for n in shape]), expected, atol=1e-4
    )


def test_agrees_with_sigpy():
    mri = pytest.importorskip("sigpy.mri")
    kspace, _, _, inside = simulate((64, 64, 1), count=6)
    reference = mri.app.EspiritCalib(
        kspace[..., 0].numpy(),
        calib_width=24,
        thresh=0.02,
        kernel_width=5,
        crop=0.0,
        show_pbar=False,
    ).run()
    reference = torch.from_numpy(np.asarray(reference)).to(torch.complex64)[..., None]
    maps = coils.espirit(kspace, (24, 24, 1), kernel=5, threshold=0.02)
    assert (maps.abs() - reference.abs())[:, inside].abs().max() < 1e-2
    assert misfit(maps, reference, inside) < 1e-4


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
def test_agrees_with_bart(tmp_path):
    kspace, _, _, inside = simulate((24, 32, 28), count=4)
    write_cfl(tmp_path / "kspace", kspace.permute(1, 2, 3, 0).numpy())
    subprocess.run(
        ["bart", "ecalib", "-m1", "-r16", "-k5", "-c0", "kspace", "maps"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    reference = (
        torch.from_numpy(read_cfl(tmp_path / "maps")).reshape(24, 32, 28, 4).permute(3, 0, 1, 2)
    )
    reference = reference / torch.linalg.vector_norm(reference, dim=0)
    maps = coils.espirit(kspace, (16, 16, 16))
    difference = (maps.abs() - reference.abs())[:, inside].abs()
    # BART interpolates its maps, so the worst voxel differs by 0.018.
    assert difference.mean() < 2e-3 and difference.quantile(0.99) < 1e-2
    assert misfit(maps, reference, inside) < 1e-3


def write_cfl(path, array):
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, array.shape)) + "\n")
    array.astype(np.complex64).ravel(order="F").tofile(path.with_suffix(".cfl"))


def read_cfl(path):
    shape = [int(n) for n in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    return (
        np.fromfile(path.with_suffix(".cfl"), dtype=np.complex64)
        .reshape(shape, order="F")
        .squeeze()
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_gives_the_same_maps():
    kspace, _, _, inside = simulate((32, 40, 44))
    maps = coils.espirit(kspace.cuda(), (24, 12, 12))
    assert maps.is_cuda and misfit(maps.cpu(), coils.espirit(kspace, (24, 12, 12)), inside) < 1e-5


def test_too_small_a_calibration_block_is_refused_with_both_sizes():
    kspace = simulate((32, 40, 44))[0]
    mask = torch.zeros(40, 44, dtype=torch.bool)
    mask[::3, ::2] = True  # nowhere fully sampled, so there is no centre
    with pytest.raises(ReconError, match=r"\(24, 0, 0\).*at least \(6, 6, 6\)"):
        coils.espirit(kspace * mask)
    with pytest.raises(ReconError, match=r"\(24, 5, 12\).*at least \(6, 6, 6\)"):
        coils.espirit(kspace, (24, 5, 12))


def test_unmeasured_positions_in_the_calibration_block_are_refused():
    kspace = simulate((32, 40, 44))[0]
    kspace[..., 20, 21] = 0
    with pytest.raises(ReconError, match="unmeasured"):
        coils.espirit(kspace, (24, 12, 12))


def test_single_coil_map_is_one():
    kspace = simulate((16, 20, 20))[0][:1]
    assert torch.equal(coils.espirit(kspace, (16, 12, 12)), torch.ones_like(kspace))


@pytest.mark.parametrize("shape", [(40, 44), (41, 37), (1, 30)])
def test_calibration_region_finds_a_centred_rectangle(shape):
    size = (min(7, shape[0]), 10)
    mask = fourier.pad(torch.ones(size), shape, (0, 1)).bool()
    assert coils.calibration_region(mask) == size
    assert coils.calibration_region(torch.ones(shape, dtype=torch.bool)) == shape
    mask[shape[0] // 2, shape[1] // 2] = False
    assert coils.calibration_region(mask) == (0, 0)


def test_mvue_of_noise_free_data_is_the_object():
    kspace, maps, image, _ = simulate((20, 24, 22), noise=0)
    # This holds for any norm of the maps.
    assert torch.allclose(coils.mvue(kspace, 3 * maps) * 3, image, atol=1e-5)
    estimated = coils.mvue(kspace, coils.espirit(kspace, (20, 12, 12)))
    assert torch.linalg.vector_norm(
        estimated.abs() - image.abs()
    ) < 0.01 * torch.linalg.vector_norm(image)


def test_mvue_is_zero_where_the_maps_are():
    kspace, maps, image, inside = simulate((20, 24, 22), noise=0)
    combined = coils.mvue(kspace, maps * inside)
    assert (combined[~inside] == 0).all() and torch.allclose(
        combined[inside], image[inside], atol=1e-5
    )


def test_compression_keeps_the_most_energy():
    kspace = simulate((16, 20, 22))[0]
    matrix = coils.compression_matrix(kspace, 5)
    reduced = coils.mix(kspace, matrix)
    singular = torch.linalg.svdvals(kspace.flatten(1))
    assert torch.allclose(matrix @ matrix.mH, torch.eye(5, dtype=torch.complex64), atol=1e-5)
    assert float(reduced.abs().square().sum()) == pytest.approx(
        float(singular[:5].square().sum()), rel=1e-4
    )
    assert torch.allclose(
        torch.linalg.vector_norm(reduced.flatten(1), dim=1), singular[:5], rtol=1e-3
    )
    everything = coils.mix(kspace, coils.compression_matrix(kspace, 8))
    assert torch.allclose(
        torch.linalg.vector_norm(everything, dim=0),
        torch.linalg.vector_norm(kspace, dim=0),
        rtol=1e-3,
        atol=1e-5,
    )
    with pytest.raises(ReconError, match="between 1 and 8"):
        coils.compression_matrix(kspace, 9)
