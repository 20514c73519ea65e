"""K-space in MATLAB files: ``.mat`` of version 5 to 7.2, and of version 7.3, which is HDF5.

The axes are those that MATLAB shows. By default they are (coil, x, y, z), (coil, x, y) or (x, y),
as of every array; ``--axes x,y,coil,slice,repetition`` names others, for example CMRxRecon's.
"""

from pathlib import Path

import h5py
import numpy as np
import scipy.io

from recon.errors import ReconError
from recon.io.checks import check_dataset, member, printable, reading
from recon.io.frames import COUNTERS, Selection
from recon.io.labelled import scan_of
from recon.mri.scan import Scan

PARTS = ("real", "imag")  # how version 7.3 stores complex numbers
NAMES = ("kspace", "kspace_full", "kdata_full", "kspace_sub", "kdata", "ksp")
KNOWN = (*COUNTERS, "slice", "axes", "variable")


def read_matlab(path: Path, selection: Selection = Selection()) -> Scan:
    """The k-space of a ``.mat`` file: the variable ``kspace``, or the only complex array."""
    with reading(path):
        if h5py.is_hdf5(path):
            with h5py.File(path, "r") as file:
                return read_matlab73(file, path, selection)
        selection.only(*KNOWN, path=path, layout="a MATLAB file")
        held = {name: shape for name, shape, _ in scipy.io.whosmat(path) if len(shape) > 1}
        name = variable(list(held), selection, path)
        array = scipy.io.loadmat(path, variable_names=[name])[name]
    if not isinstance(array, np.ndarray):
        raise ReconError(f"{path}: {name!r} is not an array of numbers; name another --variable")
    return scan_of(array, selection.axes, selection, path, {"format": "MATLAB", "variable": name})


def read_matlab73(file: h5py.File, path: Path, selection: Selection) -> Scan:
    """K-space of version 7.3, whose file holds the axes in reverse."""
    selection.only(*KNOWN, path=path, layout="a MATLAB file")
    complex_ones = [name for name in file if is_complex(member(file, name, path))]
    name = variable(complex_ones, selection, path)
    parts = check_dataset(file, path, name)[()]
    array = np.empty(parts.shape, np.complex64)
    with np.errstate(over="ignore", invalid="ignore"):  # too large for complex64: refused later
        array.real, array.imag = parts["real"], parts["imag"]
    meta = {"format": "MATLAB", "variable": name}
    return scan_of(array.T, selection.axes, selection, path, meta)


def is_complex(node: object) -> bool:
    """Whether an object of an HDF5 file is a complex array as MATLAB stores it."""
    return isinstance(node, h5py.Dataset) and node.dtype.names == PARTS


def variable(names: list[str], selection: Selection, path: Path) -> str:
    """The name of the array that holds k-space."""
    wanted = [selection.variable] if selection.variable else NAMES
    found = [name for name in wanted if name in names]
    if not found and not selection.variable and len(names) == 1:
        found = names
    if not found:
        held = printable(", ".join(names[:8])) or "no array"
        missing = f"has no variable {wanted[0]!r}" if names else "has no variable of numbers"
        raise ReconError(f"{path}: {missing}; it holds {held}: --variable NAME chooses one")
    return found[0]
