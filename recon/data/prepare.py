"""From a `Scan` to what experiments use: reference, sensitivity maps, object mask and noise level, stored once per volume.

Everything of the size of k-space goes to the file part by part, so that beside the scan itself one coil is in memory.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from recon import coils, fourier
from recon.data.scan import Scan
from recon.errors import ReconError
from recon.sense import Problem

CHUNK = 2**20  # samples of an HDF5 chunk: a slab of one coil, whole phase-encode planes


@dataclass(frozen=True)
class Prepared:
    """One volume, ready to be undersampled and reconstructed."""

    kspace: Complex[Tensor, "coil x y z"] | None  # all that was measured; None where only the reference is kept (training)
    mask: Bool[Tensor, "y z"]  # measured phase encodes
    maps: Complex[Tensor, "coil x y z"] | None  # ESPIRiT from all measured data
    reference: Complex[Tensor, "x y z"]  # MVUE of all measured data (paper A, section 5)
    support: Bool[Tensor, "x y z"]  # the object: where the reference exceeds 5 % of its maximum
    noise: float  # standard deviation of the k-space noise, per real component
    voxel: tuple[float, float, float]  # mm
    name: str
    origin: str  # "measured", "semi-synthetic" or "phantom"
    hash: str  # of the contents; identifies the volume in sidecars and case keys
    truth: Complex[Tensor, "x y z"] | None = None  # what the reference would be without noise, where the scan is simulated


def channels(scan: Scan, virtual_coils: int | None = None) -> tuple[Complex[Tensor, "virtual coil"] | None, float]:
    """The matrix that makes the channels independent and few (None: leave them), and the noise's standard deviation per real component.

    A measured scan that has a noise scan is whitened with it, which makes the noise of all coils independent and equal.
    Simulated coils are so already. Without a noise scan (or one of fewer than ten samples a coil) the level is that which the scan
    brings, or is estimated from the outskirts of k-space: its root mean square over the channels.
    ``virtual_coils`` keeps that many combinations, those of highest energy in the centre of k-space.
    """
    matrix, noise, levels = None, 2**-0.5, scan.levels
    if has_noise_scan(scan) and scan.origin == "measured":
        matrix = coils.whitening_matrix(coils.noise_covariance(scan.noise))
    elif has_noise_scan(scan):
        noise = float(torch.view_as_real(scan.noise).std())
    else:
        levels = coils.noise_levels(scan.kspace) if levels is None else levels
        noise = float(levels.square().mean().sqrt())
    if virtual_coils is not None:
        strongest = coils.compression_matrix(mixed(centre(scan), matrix), virtual_coils)
        if not has_noise_scan(scan):
            noise = float((strongest.abs() * levels).square().sum(1).mean().sqrt())
        matrix = strongest if matrix is None else strongest @ matrix
    return matrix, noise


def has_noise_scan(scan: Scan) -> bool:
    """Whether the scan's own noise measurement is long enough to tell the coils' covariance."""
    return scan.noise is not None and scan.noise.shape[1] > 10 * scan.coils


def mixed(kspace: Complex[Tensor, "coil *sample"], matrix: Complex[Tensor, "virtual coil"] | None) -> Complex[Tensor, "virtual *sample"]:
    """The channels that `channels` asks for."""
    return kspace if matrix is None else coils.mix(kspace, matrix)


def centre(scan: Scan) -> Complex[Tensor, "coil x y z"]:
    """As much of the centre of k-space as a calibration can use."""
    return fourier.crop(scan.kspace, [min(n, coils.LARGEST) for n in scan.shape])


def prepare(scan: Scan, path: str | Path, provenance: dict, virtual_coils: int | None = None, reference_only: bool = False) -> None:
    """Whitens and compresses the channels, estimates maps (ESPIRiT), reference ``Σ conj(S) IFFT(k)`` and object mask, and stores all.

    The file is HDF5 in chunks, written whole or not at all. ``reference_only`` leaves out what training does not need.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part, scratch = (path.with_name(f"{path.name}.{os.getpid()}.{end}") for end in ("part", "scratch"))
    try:
        cache = 16 * CHUNK * scan.coils  # one chunk of every coil: tiles of the maps touch them all, over and over
        with h5py.File(part, "w", rdcc_nbytes=cache) as file, h5py.File(scratch, "w", rdcc_nbytes=cache) as spare:
            arrays = spare if reference_only else file
            noise = _write_channels(arrays, scan, virtual_coils)
            reference = coils.mvue(_coils(arrays["kspace"]), _coils(arrays["maps"]))
            file["reference"], file["mask"] = reference.numpy(), scan.mask.numpy()
            file["support"] = (reference.abs() > 0.05 * reference.abs().max()).numpy()
            if scan.truth is not None and not reference_only:
                file["truth"] = scan.truth.numpy()
            file.attrs.update(name=scan.name, origin=scan.origin, voxel=scan.voxel, noise=noise)
            file.attrs["hash"] = _digest(scan, arrays, reference, noise)
            file.attrs["provenance"] = json.dumps(provenance | {"scan": scan.meta}, default=str)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
        scratch.unlink(missing_ok=True)


def _write_channels(file: h5py.File, scan: Scan, virtual_coils: int | None) -> float:
    """Writes k-space and maps of the whitened, compressed channels, slab by slab along x; returns the noise level."""
    matrix, noise = channels(scan, virtual_coils)
    (nx, ny, nz), count = scan.shape, scan.coils if matrix is None else len(matrix)
    slab = max(1, min(nx, CHUNK // (ny * nz)))
    kspace, maps = (file.create_dataset(n, (count, nx, ny, nz), "c8", chunks=(1, slab, ny, nz)) for n in ("kspace", "maps"))
    for x in range(0, nx, slab):
        kspace[:, x : x + slab] = mixed(scan.kspace[:, x : x + slab], matrix).numpy()
    for where, tile in coils.espirit_tiles(mixed(centre(scan), matrix), scan.shape):
        maps[(slice(None), *where)] = tile.numpy()
    return noise


def _coils(dataset: h5py.Dataset) -> Iterator[Complex[Tensor, "x y z"]]:
    """One coil after the other."""
    return (torch.from_numpy(dataset[c]) for c in range(len(dataset)))


def _digest(scan: Scan, file: h5py.File, reference: Complex[Tensor, "x y z"], noise: float) -> str:
    digest = hashlib.sha256(repr((noise, scan.voxel)).encode())
    for name in ("kspace", "maps"):
        for c in range(len(file[name])):
            digest.update(file[name][c])
    for array in (reference, scan.mask, scan.truth):
        digest.update(b"" if array is None else array.numpy())
    return digest.hexdigest()[:16]


def problem(prepared: Prepared, mask: Bool[Tensor, "y z"], maps: str = "calibration") -> Problem:
    """The reconstruction problem that remains when only ``mask`` is measured.

    ``maps`` is "calibration" (ESPIRiT from the fully sampled centre of the masked data, as at the scanner) or "full"
    (from all data, as in paper A).
    """
    if prepared.kspace is None or prepared.maps is None:
        raise ReconError(f"{prepared.name}: only the reference of this training volume is stored; reconstruct a validation or test volume")
    kept = mask & prepared.mask
    kspace = prepared.kspace * kept
    sensitivities = prepared.maps if maps == "full" else coils.espirit(kspace)
    return Problem.build(kspace, kept, sensitivities, prepared.noise, prepared.voxel)


def load(path: str | Path, reference_only: bool = False) -> Prepared:
    """Reads what `prepare` wrote; ``reference_only`` leaves k-space and maps on disk, as training has no use for them."""
    names, heavy = ("kspace", "mask", "maps", "reference", "support", "truth"), ("kspace", "maps", "truth") if reference_only else ()
    try:
        with h5py.File(path) as file:
            arrays = {k: torch.from_numpy(file[k][()]) if k in file and k not in heavy else None for k in names}
            scalars = {k: file.attrs[k] for k in ("noise", "name", "origin", "hash")}
            voxel = tuple(map(float, file.attrs["voxel"]))
            return Prepared(**arrays, **(scalars | {"noise": float(scalars["noise"])}), voxel=voxel)
    except (OSError, KeyError) as error:
        raise ReconError(f"{path}: not a prepared volume ({error}); delete it and run the preparation again") from error
