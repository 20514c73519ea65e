"""Receive coils: sensitivity maps by ESPIRiT, combination and compression.

ESPIRiT (Uecker et al. 2014, doi 10.1002/mrm.24751): small k-space patches of a multi-coil image lie
in a low-dimensional space. Projecting every patch of k-space onto that space and averaging is a
convolution. In the image this convolution is one Hermitian coil × coil matrix per voxel. The
eigenvector of its eigenvalue 1 is the vector of coil sensitivities.

ESPIRiT is written here because the libraries are too slow for 3D. On two CPU cores, for 8 coils of
64³ voxels, ``EspiritCalib`` of sigpy took 14.3 s and ``ecalib`` of BART took 17 s. For 8 coils of
320×320×256 voxels sigpy would need about 1.4 hours, and 13 GB for one array alone. The file
``figures/benchmarks.json`` has our time beside that of sigpy in the same run. The tests compare our
maps with those of both libraries.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from recon.errors import ReconError
from recon.mri import fourier

# Calibration samples along an axis. Fewer do not determine the maps; more cost time and change the
# maps little.
SMALLEST, LARGEST = 6, 24
PATCH, PATCH_2D = 5, 6  # samples along an axis; on slices 6 does 0.1 to 0.5 dB better than 5
# Leaves errors below 1e-6 where the eigenvalues are well apart, as they are inside an object.
CHEBYSHEV_STEPS = 10


class Unmeasured(ReconError):
    """The centre of k-space was not sampled as maps need it."""


def calibration_region(mask: Bool[Tensor, "y z"]) -> tuple[int, int]:
    """Size (y, z) of the largest fully sampled rectangle around the centre of k-space.

    The size is (0, 0) if the centre was not measured. The rectangle is centred as in
    `fourier.crop`. Of rectangles with equal area, the one closest to a square is chosen.
    """
    ny, nz = mask.shape
    table = torch.zeros(ny + 1, nz + 1, dtype=torch.int64)
    table[1:, 1:] = mask.cpu().long().cumsum(0).cumsum(1)
    sy, sz = torch.arange(1, ny + 1)[:, None], torch.arange(1, nz + 1)[None, :]
    y0, z0 = ny // 2 - sy // 2, nz // 2 - sz // 2
    measured = table[y0 + sy, z0 + sz] - table[y0, z0 + sz] - table[y0 + sy, z0] + table[y0, z0]
    score = (measured == sy * sz) * (sy * sz + torch.minimum(sy, sz) / (ny + nz))
    best = int(score.argmax())
    return (best // nz + 1, best % nz + 1) if score.flatten()[best] > 0 else (0, 0)


def espirit(
    kspace: Complex[Tensor, "coil x y z"],
    calibration: tuple[int, int, int] | None = None,
    shape: tuple[int, int, int] | None = None,
    kernel: int | None = None,
    threshold: float = 0.01,
    crop: float = 0.8,
    voxels_at_once: int | None = None,
    sets: int = 1,
    virtual: Complex[Tensor, "coil"] | None = None,
) -> Complex[Tensor, "coil nx ny nz"] | Complex[Tensor, "sets coil nx ny nz"]:
    """Coil sensitivity maps by ESPIRiT (Uecker et al. 2014), for 2D and 3D scans.

    A 2D scan has one axis of size 1. The maps have unit norm over the coils; outside the object
    they are 0.

    The phase of each voxel makes the first principal component of the coils real and positive
    there. So the maps are smooth wherever this virtual coil sees signal, and the image estimated
    with them has the phase of this coil. A single coil cannot be compared with others: its map is
    1 everywhere.

    Args:
        kspace: centred k-space. It may be undersampled or only its centre: no more than the
            calibration block is read.
        calibration: size of the block around the centre; by default the fully sampled centre, at
            most 24 along each axis.
        shape: voxels (x, y, z) of the maps over the same field of view; by default those of
            ``kspace``.
        kernel: largest patch size along an axis; by default 6 for a slice and 5 for a volume. A
            patch is at most a third of the calibration block.
        threshold: singular values of the calibration matrix below ``threshold`` times the largest
            are dropped, and so are those of the noise (see `significant`).
        crop: voxels with a lower eigenvalue are set to 0. The eigenvalue is 1 where the coils are
            consistent and 0 in noise.
        voxels_at_once: bounds the memory of the per-voxel matrices to 16·coils² bytes times this
            number, or to one row along z. The default is 2048 on a CPU, which stays in the cache,
            and 2¹⁸ on a GPU. It does not change the result.
        sets: how many maps a voxel gets. Two describe an object that is larger than the field of
            view, where two places fold onto one voxel; see `recon.mri.sense`. With more than one,
            the result has an axis for the sets before the coils.
        virtual: the combination of coils that sets the phase, instead of the first principal
            component of the block.

    Raises ReconError for a calibration block that is too small or not fully sampled.
    """
    shape = tuple(kspace.shape[1:]) if shape is None else shape
    maps = kspace.new_empty(sets, len(kspace), *shape)
    for part, tile in espirit_tiles(
        kspace, shape, calibration, kernel, threshold, crop, voxels_at_once, sets, virtual
    ):
        maps[:, :, *part] = tile
    return maps[0] if sets == 1 else maps


def espirit_tiles(
    kspace: Complex[Tensor, "coil x y z"],
    shape: tuple[int, int, int],
    calibration: tuple[int, int, int] | None = None,
    kernel: int | None = None,
    threshold: float = 0.01,
    crop: float = 0.8,
    voxels_at_once: int | None = None,
    sets: int = 1,
    virtual: Complex[Tensor, "coil"] | None = None,
) -> Iterator[tuple[tuple[slice, slice, slice], Complex[Tensor, "sets coil _x _y _z"]]]:
    """The maps of `espirit` tile by tile: the slices (x, y, z) of each tile, and its maps.

    So the whole maps need not be in memory.
    """
    voxels_at_once = voxels_at_once or (2**18 if kspace.is_cuda else 2048)
    if not 1 <= sets <= len(kspace):
        raise ReconError(
            f"espirit: {sets} sets of maps cannot be told apart by {len(kspace)} coils; "
            f"choose between 1 and {len(kspace)}"
        )
    if len(kspace) == 1:
        for part in tiles(shape, voxels_at_once):
            yield part, kspace.new_ones(1, 1, *(span.stop - span.start for span in part))
        return
    block = calibration_block(kspace, calibration)
    lags = patch_operator(block, kernel, threshold)
    virtual = compression_matrix(block, 1)[0] if virtual is None else virtual
    for part in tiles(shape, voxels_at_once):
        matrix = fourier_series(lags, shape, part)
        images = fourier_series(block, shape, part)
        found = []
        for _ in range(sets):
            vector, value = dominant_eigenvector(matrix, images, crop)
            phase = torch.einsum("c,cxyz->xyz", virtual, vector).angle()
            found.append(torch.where(value >= crop, vector * torch.exp(-1j * phase), 0))
            if len(found) < sets:  # the next vector is orthogonal to those found
                matrix = matrix - value * vector[:, None] * vector.conj()
                images = images - vector * (vector.conj() * images).sum(0)
        yield part, torch.stack(found)


def calibration_block(
    kspace: Complex[Tensor, "coil x y z"], size: tuple[int, int, int] | None
) -> Complex[Tensor, "coil cx cy cz"]:
    """The fully sampled centre of k-space, scaled to unit maximum.

    Without ``size`` it is as large as was sampled, up to `LARGEST` along each axis. Raises
    ReconError if it is too small or not fully sampled.
    """
    full = tuple(kspace.shape[1:])
    if size is None:
        measured = calibration_region((kspace != 0).any(0).any(0))
        size = tuple(min(n, LARGEST) for n in (full[0], *measured))
    needed = tuple(min(n, SMALLEST) for n in full)
    if any(not low <= c <= n for low, c, n in zip(needed, size, full, strict=True)):
        raise Unmeasured(
            f"espirit: the calibration block is {size} of k-space {full} "
            f"and must be at least {needed}; "
            "sample a larger centre fully, or estimate the maps from another scan"
        )
    block = fourier.crop(kspace, size)
    if not (block != 0).any(0).any(0).all():
        raise Unmeasured(
            f"espirit: the central {size} of k-space has unmeasured positions; "
            "give the size of its fully sampled part"
        )
    return block / block.abs().amax()


def patch_operator(
    block: Complex[Tensor, "coil cx cy cz"], kernel: int | None, threshold: float
) -> Complex[Tensor, "coil coil lx ly lz"]:
    """Convolution kernels, coil × coil, that project all k-space patches and average the results.

    Each patch is projected onto the space of the calibration patches. The lags run from 1 - k to
    k - 1 along each axis, for patches of size k. The eigenvalues of the kernels' Fourier series lie
    between 0 and 1. Patches are at most a third of the block: a small block holds too few wider
    patches to determine their space. An axis of two samples has patches of one: the only patch of
    two says nothing of the one that wraps around. Raises ReconError where nothing in the block
    rises above the noise.
    """
    kernel = kernel or (PATCH_2D if 1 in block.shape[1:] else PATCH)
    patch = tuple(max(1 + (n > 2), min(kernel, -(-n // 3))) for n in block.shape[1:])
    basis = patch_space(block, patch, threshold)
    if not len(basis):
        raise ReconError(
            f"espirit: nothing in the calibration block {tuple(block.shape[1:])} rises above the "
            "noise; check that this is not a noise scan, or give maps of another scan"
        )
    lags = [2 * k - 1 for k in patch]
    spectrum = basis.new_zeros(math.prod(lags), len(block), len(block))
    # The padded spectra of all vectors at once would need far more memory than the result.
    for vectors in basis.split(256):
        padded = torch.fft.fftn(vectors, s=lags, dim=(-3, -2, -1)).flatten(2).permute(2, 1, 0)
        spectrum += padded @ padded.mH
    kernels = torch.fft.ifftn(spectrum.permute(1, 2, 0).unflatten(-1, lags), dim=(-3, -2, -1))
    return torch.fft.fftshift(kernels, dim=(-3, -2, -1)) / math.prod(patch)


def patch_space(
    block: Complex[Tensor, "coil cx cy cz"], patch: tuple[int, ...], threshold: float
) -> Complex[Tensor, "vector coil kx ky kz"]:
    """Orthonormal basis of the space of the calibration patches, only its `significant` directions.

    It comes from the smaller of the two Gram matrices, patches × patches or samples × samples.
    """
    windows = block
    for axis, k in enumerate(patch, start=1):
        windows = windows.unfold(axis, k, 1)
    windows = windows.permute(1, 2, 3, 0, 4, 5, 6)  # a view: (wx, wy, wz, coil, kx, ky, kz)
    samples, count = windows[0, 0, 0].numel(), math.prod(windows.shape[:3])
    if count < samples:
        rows = windows.reshape(count, samples)
        values, vectors = torch.linalg.eigh(rows.conj() @ rows.T)
        keep = significant(values, count / samples, threshold)
        basis = (rows.T @ vectors[:, keep]) / values[keep].sqrt()
    else:
        gram = block.new_zeros(samples, samples)
        for plane in windows:
            rows = plane.reshape(-1, samples)
            gram += rows.T @ rows.conj()
        values, vectors = torch.linalg.eigh(gram)
        basis = vectors[:, significant(values, samples / count, threshold)]
    return basis.T.reshape(-1, *windows.shape[3:])


def significant(values: Float[Tensor, "n"], aspect: float, threshold: float) -> Bool[Tensor, "n"]:
    """Which eigenvalues of a Gram matrix (ascending) stand for signal.

    Their square roots, the singular values, exceed two limits: ``threshold`` times the largest one,
    and the noise.

    The noise limit is the optimal hard threshold ω(β)·median for a matrix of aspect ratio β ≤ 1 and
    unknown noise (Gavish and Donoho 2014, doi 10.1109/TIT.2014.2323359). Without it, directions of
    noise pass the fixed threshold when the scan is noisy or the block is large, and the maps turn
    to noise. The median is that of the noise only if the signal fills less than half of the space.
    It fills about 1 / coils of it, so the limit is stricter than necessary for two or three coils.
    """
    singular = values.clamp_min(0).sqrt()
    omega = 0.56 * aspect**3 - 0.95 * aspect**2 + 1.82 * aspect + 1.43
    return singular > torch.maximum(threshold * singular[-1], omega * singular.median())


def tiles(shape: Sequence[int], voxels: int) -> Iterator[tuple[slice, slice, slice]]:
    """Slices (x, y, z) that cut a volume into tiles of about ``voxels`` voxels.

    The rows along z stay whole.
    """
    nx, ny, nz = shape
    rows = max(1, voxels // nz)
    dx, dy = max(1, rows // ny), min(rows, ny)
    for x in range(0, nx, dx):
        for y in range(0, ny, dy):
            yield slice(x, min(x + dx, nx)), slice(y, min(y + dy, ny)), slice(0, nz)


def fourier_series(
    coefficients: Complex[Tensor, "*batch lx ly lz"], shape: Sequence[int], part: Sequence[slice]
) -> Complex[Tensor, "*batch x y z"]:
    """The centred Fourier series of the coefficients at the voxels ``part`` of a volume.

    It is Σ_l c_l exp(2πi l·(r - n//2)/n), computed exactly by one small matrix product per axis.
    """
    # The axis y comes last, as its product is the largest.
    for axis, (n, span) in zip((-3, -1, -2), [(shape[i], part[i]) for i in (0, 2, 1)], strict=True):
        count = coefficients.shape[axis]
        r = (
            torch.arange(span.start, span.stop, device=coefficients.device, dtype=torch.float64)
            - n // 2
        )
        lag = torch.arange(count, device=coefficients.device, dtype=torch.float64) - count // 2
        angle = 2 * torch.pi * r[:, None] * lag / n
        waves = torch.polar(torch.ones_like(angle), angle).to(coefficients.dtype)
        coefficients = torch.movedim(
            torch.tensordot(waves, coefficients, dims=([1], [coefficients.ndim + axis])), 0, axis
        )
    return coefficients


def dominant_eigenvector(
    matrix: Complex[Tensor, "coil coil x y z"], start: Complex[Tensor, "coil x y z"], floor: float
) -> tuple[Complex[Tensor, "coil x y z"], Float[Tensor, "x y z"]]:
    """Largest eigenvalue of each voxel's Hermitian matrix, and its unit eigenvector.

    Returns the eigenvector first, then a lower bound of the eigenvalue.

    The method is power iteration with Chebyshev polynomials. They stay below 1 on the unwanted
    eigenvalues [0, floor] and grow fastest above.
    """
    interval = max(0.9 * floor, 0.3)

    def multiply(vector: Complex[Tensor, "coil x y z"]) -> Complex[Tensor, "coil x y z"]:
        product = matrix[:, 0] * vector[0]
        for d in range(1, len(vector)):
            product.addcmul_(matrix[:, d], vector[d])
        return product

    before = start / torch.linalg.vector_norm(start, dim=0).clamp_min(1e-20)
    vector = multiply(before) * (2 / interval) - before
    for _ in range(CHEBYSHEV_STEPS - 1):
        before, vector = (
            vector,
            multiply(vector).mul_(4 / interval).sub_(vector, alpha=2).sub_(before),
        )
    vector = vector / torch.linalg.vector_norm(vector, dim=0).clamp_min(1e-20)
    return vector, (vector.conj() * multiply(vector)).real.sum(0)


def mvue(
    kspace: Iterable[Complex[Tensor, "x y z"]], maps: Iterable[Complex[Tensor, "x y z"]]
) -> Complex[Tensor, "x y z"]:
    """Minimum-variance unbiased combination of the coil images, for white noise.

    It is Σ_c conj(S_c)·IFFT3(k_c) / Σ_c |S_c|², and 0 where all maps are 0.

    The coils are read one at a time, so only one coil image is in memory. ``kspace`` and ``maps``
    may be arrays (coil, x, y, z), or iterators that read a file coil by coil.
    """
    image, energy = 0, 0
    for samples, sensitivity in zip(kspace, maps, strict=True):
        image = image + sensitivity.conj() * fourier.ifft(samples)
        energy = energy + sensitivity.abs().square()
    return torch.where(energy > 0, image / energy.clamp_min(torch.finfo(energy.dtype).tiny), 0)


def mix(
    kspace: Complex[Tensor, "coil *sample"], matrix: Complex[Tensor, "virtual coil"]
) -> Complex[Tensor, "virtual *sample"]:
    """New channels: linear combinations of the given ones, one for each row of ``matrix``."""
    return (matrix @ kspace.flatten(1)).unflatten(1, kspace.shape[1:])


def compression_matrix(
    kspace: Complex[Tensor, "coil *sample"], coils: int
) -> Complex[Tensor, "virtual coil"]:
    """Coil compression: orthonormal rows that give the ``coils`` combinations of highest energy.

    The strongest comes first. The largest entry of each row is positive. White noise stays white.
    Raises ReconError for more combinations than channels, or fewer than one. Source: Buehrer et al.
    2007, doi 10.1002/mrm.21237.
    """
    if not 1 <= coils <= len(kspace):
        raise ReconError(
            f"compress: {coils} virtual coils cannot be made of {len(kspace)} channels; "
            f"choose between 1 and {len(kspace)}"
        )
    samples = kspace.flatten(1)
    values, vectors = torch.linalg.eigh(samples @ samples.mH)
    rows = vectors.mH.flip(0)[:coils]
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return rows * torch.exp(-1j * largest.angle())
