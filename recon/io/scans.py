"""`read_scan`: k-space from a file of any known format.

A new format gets its reader in a file of its own, and a branch in `read_scan`.
"""

from collections.abc import Callable
from pathlib import Path

import h5py

from recon.errors import ReconError
from recon.io.bart import read_bart
from recon.io.checks import existing, member, reading
from recon.io.fastmri import read_fastmri
from recon.io.mrd import read_ismrmrd
from recon.io.npy import read_npy, read_npz
from recon.mri.scan import Scan


def read_scan(path: str | Path) -> Scan:
    """K-space of one volume; the name and the content of the file tell its format.

    Formats are ISMRMRD and fastMRI (``.h5``, ``.hdf5``, ``.mrd``), BART (``.cfl``, ``.hdr``, or the
    name without either), ``.npy`` and ``.npz``. Readout oversampling that the header states is
    removed. Slices of a 2D stack are transformed to kz. Repeated lines are averaged. ``meta`` tells
    what was done. Where the file gives no voxel size, it is 1 mm and ``meta["voxel"]`` is
    ``"unknown"``. Raises `ReconError` for a missing, damaged or unsupported file.
    """
    path = Path(path)
    if path.suffix in (".cfl", ".hdr") or Path(f"{path}.cfl").is_file():
        return read_bart(path)
    existing(path)
    if path.suffix in (".h5", ".hdf5", ".mrd"):
        return _read_hdf5(
            path, {"dataset": (h5py.Group, read_ismrmrd), "kspace": (h5py.Dataset, read_fastmri)}
        )
    if path.suffix not in (".npy", ".npz"):
        raise ReconError(f"{path}: unknown kind of k-space file; expected .h5, .cfl, .npy or .npz")
    return read_npy(path) if path.suffix == ".npy" else read_npz(path)


def _read_hdf5(path: Path, layouts: dict[str, tuple[type, Callable]]) -> Scan:
    with reading(path):
        if not h5py.is_hdf5(path):
            raise ReconError(f"{path}: is not an HDF5 file; check that the download is complete")
        with h5py.File(path, "r") as file:
            for key, (kind, read) in layouts.items():
                if isinstance(member(file, key, path), kind):
                    return read(file, path)
            raise ReconError(
                f"{path}: neither ISMRMRD (group 'dataset') nor fastMRI (dataset 'kspace'); "
                f"the file holds {sorted(file)[:8]}"
            )
