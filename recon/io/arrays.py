"""Arrays from ``.npy`` and ``.npz`` files.

Nothing is unpickled. The size that a header claims is compared with the file before any memory is
allocated.
"""

import math
import zipfile
from io import BufferedIOBase
from pathlib import Path

import numpy as np

from recon.errors import ReconError
from recon.io.checks import DEFLATE, UNKNOWN_VOXEL, check_size, reading

# bytes; a member that is smaller than its headers may expand a little beyond zlib's limit
ZIP_OVERHEAD = 4096


def load_npy(path: Path) -> np.ndarray:
    """The array of a ``.npy`` file.

    The file is mapped, not read: numpy then compares the header with the size of the file.
    """
    with reading(path):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def load_npz(
    path: Path, key: str, optional: tuple[str, ...], strict: bool = False
) -> dict[str, np.ndarray]:
    """The array ``key`` of a ``.npz`` file, and the arrays of ``optional`` that it holds.

    In a file with a single array, that array may have any name, unless ``strict``; it is returned
    as ``key``.
    """
    with reading(path), zipfile.ZipFile(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        main = names[0] if len(names) == 1 and not strict else key
        if main not in names:
            raise ReconError(
                f"{path}: has no array '{key}', only {names[:8]}; save it under that name"
            )
        wanted = {key: main} | {name: name for name in optional if name in names and name != main}
        for name in wanted.values():
            _check_member(archive, f"{name}.npy", path)
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[f"{stored}.npy"] for name, stored in wanted.items()}


def _check_member(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    """Refuses a pickle, and an array that is too large to come from its compressed bytes."""
    info = archive.getinfo(name)
    with archive.open(info) as stream:
        shape, dtype = _header(stream)
    if dtype.hasobject:
        raise ReconError(
            f"{path}: '{name}' holds Python objects (a pickle), which are not read; "
            "save plain numbers"
        )
    check_size(
        path,
        math.prod(shape),
        dtype.itemsize,
        min(info.file_size, DEFLATE * info.compress_size + ZIP_OVERHEAD),
    )


def npz_shapes(path: Path) -> dict[str, str]:
    """Type and shape of every array of a ``.npz`` file; no array is read."""
    found = {}
    with reading(path), zipfile.ZipFile(path) as archive:
        for name in (n for n in archive.namelist() if n.endswith(".npy")):
            with archive.open(name) as stream:
                shape, dtype = _header(stream)
            found[name.removesuffix(".npy")] = f"{dtype} {'×'.join(map(str, shape))}".strip()
    return found


def _header(stream: BufferedIOBase) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that a ``.npy`` file claims."""
    version = np.lib.format.read_magic(stream)
    header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = header(stream)
    return shape, dtype


def as_voxel(arrays: dict[str, np.ndarray], path: Path) -> tuple[float, float, float]:
    """The voxel size in mm; 1 mm where the file does not give it."""
    voxel = arrays.get("voxel", np.array(UNKNOWN_VOXEL))
    if voxel.shape != (3,) or voxel.dtype.kind not in "fiu":
        raise ReconError(
            f"{path}: 'voxel' is {voxel.dtype} of shape {voxel.shape}; expected three numbers in mm"
        )
    return tuple(float(v) for v in voxel)
