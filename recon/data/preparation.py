"""From a `Scan` to a prepared volume, stored once for all experiments.

A prepared volume has a reference, sensitivity maps, an object mask and a noise level. Arrays of the
size of k-space are written in parts, so that only the scan itself and one coil are in memory.
"""

import hashlib
import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import h5py
import torch
from jaxtyping import Complex
from torch import Tensor

from recon.errors import ReconError
from recon.files import partial, whole
from recon.mri import coils
from recon.mri.channels import centre, channels, mixed
from recon.mri.prepared import Prepared, support
from recon.mri.scan import Scan
from recon.phantoms import complex_noise

CHUNK = 2**20  # samples of an HDF5 chunk: a slab of one coil, whole phase-encode planes


def prepare(
    scan: Scan,
    path: str | Path,
    provenance: dict,
    virtual_coils: int | None = None,
    reference_only: bool = False,
    split_noise: bool = False,
) -> None:
    """Prepares a scan and stores the result at ``path``.

    The channels are whitened and compressed to ``virtual_coils``. Maps S are estimated with
    ESPIRiT, the reference is ``Σ conj(S) IFFT(k)``, and the object mask is the `support` of the
    truth or, where none is known, of the reference. ``provenance`` is stored as JSON. The file is
    HDF5 in chunks, written whole or not at all. With ``reference_only``, k-space, maps and truth
    are not stored, as training does not need them.

    A reference that shares the noise of the data rewards a method for keeping it. With
    ``split_noise``, fresh noise n of the same level is drawn. The data become y + n, and the
    reference is that of y − n. Their noises are uncorrelated, and so independent, both at √2 times
    the level (Pang et al. 2021, Recorrupted-to-Recorrupted). Raises ReconError for a scan whose
    truth is known, as it needs no such reference.
    """
    if split_noise and scan.truth is not None:
        known = "the noise-free truth of this scan is known"
        raise ReconError(f"{scan.name}: {known}; remove split_noise")
    path = Path(path)
    # one chunk of every coil, as each tile of the maps is written to all coils
    cache = 16 * CHUNK * scan.coils
    scratch = partial(path.with_name(f"{path.name}.scratch"))
    try:
        with (
            whole(path) as part,
            h5py.File(part, "w", rdcc_nbytes=cache) as file,
            h5py.File(scratch, "w", rdcc_nbytes=cache) as spare,
        ):
            arrays = spare if reference_only else file
            noise = _write_channels(arrays, scan, virtual_coils)
            other = arrays["kspace"]
            if split_noise:
                other, noise = _split(other, spare, scan, noise)
            reference = coils.mvue(_coils(other), _coils(arrays["maps"]))
            file["reference"], file["mask"] = reference.numpy(), scan.mask.numpy()
            target, level = (reference, noise) if scan.truth is None else (scan.truth, 0.0)
            file["support"] = support(target.abs(), level).numpy()
            if scan.truth is not None and not reference_only:
                file["truth"] = scan.truth.numpy()
            file.attrs.update(name=scan.name, origin=scan.origin, voxel=scan.voxel, noise=noise)
            file.attrs["hash"] = _digest(scan, arrays, reference, noise)
            file.attrs["provenance"] = json.dumps(provenance | {"scan": scan.meta}, default=str)
    finally:
        scratch.unlink(missing_ok=True)


def _write_channels(file: h5py.File, scan: Scan, virtual_coils: int | None) -> float:
    """Writes k-space and maps of the whitened, compressed channels; returns the noise level.

    K-space is written in slabs along x, maps in tiles.
    """
    matrix, noise = channels(scan, virtual_coils)
    (nx, ny, nz), count = scan.shape, scan.coils if matrix is None else len(matrix)
    slab = max(1, min(nx, CHUNK // (ny * nz)))
    kspace, maps = (
        file.create_dataset(n, (count, nx, ny, nz), "c8", chunks=(1, slab, ny, nz))
        for n in ("kspace", "maps")
    )
    for x in range(0, nx, slab):
        kspace[:, x : x + slab] = mixed(scan.kspace[:, x : x + slab], matrix).numpy()
    for where, tile in coils.espirit_tiles(mixed(centre(scan), matrix), scan.shape):
        maps[(slice(None), *where)] = tile[0].numpy()
    return noise


def _split(
    kspace: h5py.Dataset, spare: h5py.File, scan: Scan, noise: float
) -> tuple[h5py.Dataset, float]:
    """Adds noise to the measured samples of k-space; returns k-space less the same noise, and the
    noise level that both have then.
    """
    generator = torch.Generator().manual_seed(zlib.crc32(scan.name.encode()))
    other = spare.create_dataset("other", kspace.shape, "c8", chunks=kspace.chunks)
    for c in range(len(kspace)):
        fresh = scan.mask * complex_noise(scan.shape, noise, generator)
        measured = torch.from_numpy(kspace[c])
        kspace[c], other[c] = (measured + fresh).numpy(), (measured - fresh).numpy()
    return other, 2**0.5 * noise


def _coils(dataset: h5py.Dataset) -> Iterator[Complex[Tensor, "x y z"]]:
    """The coils of a stored array, read one at a time."""
    return (torch.from_numpy(dataset[c]) for c in range(len(dataset)))


def _digest(scan: Scan, file: h5py.File, reference: Complex[Tensor, "x y z"], noise: float) -> str:
    digest = hashlib.sha256(repr((noise, scan.voxel)).encode())
    for name in ("kspace", "maps"):
        for c in range(len(file[name])):
            digest.update(file[name][c])
    for array in (reference, scan.mask, scan.truth):
        digest.update(b"" if array is None else array.numpy())
    return digest.hexdigest()[:16]


def load_prepared(path: str | Path, reference_only: bool = False) -> Prepared:
    """Reads what `prepare` wrote.

    With ``reference_only``, k-space, maps and truth are not read, as training does not need them.
    """
    names, heavy = (
        ("kspace", "mask", "maps", "reference", "support", "truth"),
        ("kspace", "maps", "truth") if reference_only else (),
    )
    try:
        with h5py.File(path) as file:
            arrays = {
                k: torch.from_numpy(file[k][()]) if k in file and k not in heavy else None
                for k in names
            }
            scalars = {k: file.attrs[k] for k in ("noise", "name", "origin", "hash")}
            voxel = tuple(map(float, file.attrs["voxel"]))
            return Prepared(**arrays, **(scalars | {"noise": float(scalars["noise"])}), voxel=voxel)
    except (OSError, KeyError) as error:
        raise ReconError(
            f"{path}: not a prepared volume ({error}); delete it and run the preparation again"
        ) from error
