"""`read_scan`: k-space from a file of any known format.

A new format gets its reader in a file of its own, and a branch in `read_scan`.
"""

from pathlib import Path

import h5py

from recon.errors import ReconError
from recon.io.bart import read_bart
from recon.io.checks import existing, member, reading
from recon.io.fastmri import read_fastmri
from recon.io.frames import Selection
from recon.io.matlab import is_complex, read_matlab, read_matlab73
from recon.io.mrd import read_ismrmrd
from recon.io.npy import read_npy, read_npz
from recon.mri.scan import Scan

BY_SUFFIX = {".npy": read_npy, ".npz": read_npz, ".mat": read_matlab}
HDF5 = (".h5", ".hdf5", ".mrd")


def read_scan(path: str | Path, selection: Selection = Selection()) -> Scan:
    """K-space of one frame; the name and the content of the file tell its format.

    Formats are ISMRMRD and fastMRI (``.h5``, ``.hdf5``, ``.mrd``), BART (``.cfl``, ``.hdr``, or the
    name without either), MATLAB (``.mat``), ``.npy`` and ``.npz``. Readout oversampling that the
    header states is removed. Repeated lines are averaged. ``meta`` and ``notes`` tell what was
    done. Where the file gives no voxel size, it is 1 mm and ``meta["voxel"]`` is ``"unknown"``.
    Raises `ReconError` for a missing, damaged or unsupported file, and for a selection that the
    format does not have.
    """
    path = Path(path)
    if is_bart(path):
        return read_bart(path, selection)
    existing(path)
    if path.suffix in HDF5:
        return _read_hdf5(path, selection)
    if path.suffix not in BY_SUFFIX:
        known = ", ".join((*HDF5, ".cfl", *BY_SUFFIX))
        raise ReconError(f"{path}: unknown kind of k-space file; expected one of {known}")
    return BY_SUFFIX[path.suffix](path, selection)


def is_bart(path: Path) -> bool:
    """Whether a path names a pair of BART's files."""
    return path.suffix in (".cfl", ".hdr") or Path(f"{path}.cfl").is_file()


def samples_file(path: Path) -> Path:
    """The file that holds the samples: of BART's pair that without the header."""
    if not is_bart(path):
        return path
    return path.with_suffix(".cfl") if path.suffix in (".cfl", ".hdr") else Path(f"{path}.cfl")


def _read_hdf5(path: Path, selection: Selection) -> Scan:
    with reading(path):
        if not h5py.is_hdf5(path):
            raise ReconError(f"{path}: is not an HDF5 file; check that the download is complete")
        with h5py.File(path, "r") as file:
            if isinstance(member(file, "dataset", path), h5py.Group):
                return read_ismrmrd(file, path, selection)
            kspace = member(file, "kspace", path)
            if is_complex(kspace):
                return read_matlab73(file, path, selection)
            if isinstance(kspace, h5py.Dataset):
                return read_fastmri(file, path, selection)
            raise ReconError(
                f"{path}: neither ISMRMRD (group 'dataset') nor fastMRI or MATLAB (dataset "
                f"'kspace'); the file holds {sorted(file)[:8]}"
            )
