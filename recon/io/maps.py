"""Sensitivity maps in files: NumPy, HDF5 and BART pairs."""

from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import torch

from recon.errors import ReconError
from recon.files import whole, write_bytes, write_text
from recon.io.arrays import load_npy, load_npz
from recon.io.bart import load_cfl
from recon.io.checks import check_dataset, check_finite, existing, reading
from recon.mri.maps import Maps

SUFFIXES = (".npy", ".npz", ".h5", ".cfl", ".hdr")
DATASET = "maps"  # in a .h5 file


def read_maps(path: Path) -> Maps:
    """Maps (coil, x, y, z), or (set, coil, x, y, z) where a voxel has several.

    ``.npy``, ``.npz`` (``maps``, or a single array) and ``.h5`` (``maps``) have these axes, or lack
    z. BART's pair has its own: x, y, z, coil, set.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ReconError(f"{path}: maps are read from {', '.join(SUFFIXES)}; save them so")
    if path.suffix in (".cfl", ".hdr"):
        array, path = load_cfl(path)
        if any(n > 1 for n in array.shape[5:]):
            raise ReconError(f"{path}: dimensions {list(array.shape)} are not those of maps")
        array = array.reshape(array.shape[:5], order="F").transpose(4, 3, 0, 1, 2)
        array = array[0] if len(array) == 1 else array
    else:
        existing(path)
        if path.suffix == ".h5":
            with reading(path), h5py.File(path, "r") as file:
                array = check_dataset(file, path, DATASET)[()]
        else:
            array = (
                load_npy(path) if path.suffix == ".npy" else load_npz(path, DATASET, ())[DATASET]
            )
        array = array[..., None] if array.ndim == 3 else array
    if array.dtype.kind != "c" or array.ndim not in (4, 5):
        raise ReconError(
            f"{path}: maps are {array.dtype} of shape {array.shape}; "
            "expected complex (coil, x, y, z) or (set, coil, x, y, z)"
        )
    maps = torch.from_numpy(np.array(array, dtype=np.complex64, order="C"))
    check_finite(maps, path, "maps")
    return maps


def write_maps(path: Path, maps: Maps) -> None:
    """Writes maps in a form that `read_maps` reads: ``.npy``, ``.h5``, or BART's (``.cfl``)."""
    check_maps_output(path)
    array = maps.detach().cpu().numpy()
    if path.suffix == ".npy":
        with whole(path) as part, part.open("wb") as file:
            np.save(file, array)
        return
    if path.suffix == ".h5":
        buffer = BytesIO()  # HDF5 dies of a disk that refuses; see `recon.files.reserve`
        with h5py.File(buffer, "w") as file:
            file[DATASET] = array
        write_bytes(path, buffer.getvalue())
        return
    array = array[None] if array.ndim == 4 else array
    array = array.transpose(2, 3, 4, 1, 0)
    sizes = " ".join(map(str, (*array.shape, *(11 * [1]))))
    write_bytes(path, array.astype("<c8").tobytes(order="F"))
    write_text(path.with_suffix(".hdr"), f"# Dimensions\n{sizes}\n")


def check_maps_output(path: Path) -> None:
    """Refuses a path that `write_maps` could not write."""
    if path.suffix not in (".npy", ".h5", ".cfl") or not path.stem:
        raise ReconError(f"{path}: maps are written as .npy, .h5 or .cfl; end the name so")
    if not path.parent.is_dir():
        raise ReconError(f"{path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise ReconError(f"{path}: there is a folder of this name; choose another name")
