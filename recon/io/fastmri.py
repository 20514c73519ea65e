"""fastMRI files (Zbontar et al., arXiv:1811.08839): HDF5 with the k-space of 2D slices.

One slice is read at a time.
"""

from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from recon.errors import ReconError
from recon.io.checks import (
    UNKNOWN_VOXEL,
    check_attributes,
    check_dataset,
    check_kind,
    check_text,
    measured,
    member,
)
from recon.io.frames import Selection, chosen
from recon.io.header import Header, parse_header, remove_oversampling
from recon.mri.scan import Scan


def read_fastmri(file: h5py.File, path: Path, selection: Selection = Selection()) -> Scan:
    """``kspace`` (slice, coil, row, column), or (slice, row, column) of one coil.

    The slices are a stack; each may have a mask of its own. With ``selection.slice``, which counts
    from 0 as in the file, only that slice is read. Rows are the readout, columns the phase encodes.
    Where there is an ``ismrmrd_header``, it gives the voxel size and the readout oversampling,
    which is removed. Where there is a ``mask`` (column), columns outside it do not count as
    measured.
    """
    selection.only("slice", path=path, layout="a fastMRI file")
    dataset, number = _check_layout(check_dataset(file, path, "kspace"), path), selection.slice
    if number is not None:
        chosen(path, "slice", number, list(range(len(dataset))))
    numbers = range(len(dataset)) if number is None else [number]
    header = _header(file, dataset.shape[-2], path)
    columns = _mask(file, dataset.shape[-1], path)
    readout = header.readout if header else dataset.shape[-2]
    slices, masks = [], []
    for i in numbers:
        kept = _slice(dataset, i)
        masks.append(measured(kept[..., None], path)[:, 0] & columns)
        slices.append(remove_oversampling(kept * masks[-1], readout, -2))
    kspace, mask = torch.stack(slices, -1), torch.stack(masks, -1)
    check_attributes(file, dataset, path)
    meta = (
        _attributes(file)
        | {"format": "fastMRI"}
        | (header.facts() if header else {"voxel": "unknown"})
    )
    meta |= {} if number is None else {"slice": number}
    name = path.name if number is None else f"{path.name}:{number}"
    shape, stack = tuple(kspace.shape[1:]), len(numbers) > 1
    field_of_view = header.field_of_view(shape, stack=True) if header else None
    return Scan(
        kspace,
        _voxel(header, dataset.shape[-1]),
        mask,
        name=name,
        meta=meta,
        stack=stack,
        field_of_view=field_of_view,
    )


def _check_layout(dataset: h5py.Dataset, path: Path) -> h5py.Dataset:
    if dataset.dtype.kind != "c":
        raise ReconError(
            f"{path}: 'kspace' holds {dataset.dtype}, not complex numbers; "
            "store real and imaginary parts as one complex array"
        )
    if dataset.ndim not in (3, 4):
        raise ReconError(
            f"{path}: 'kspace' has shape {dataset.shape}; "
            "expected (slice, coil, row, column) or (slice, row, column)"
        )
    return dataset


def _slice(dataset: h5py.Dataset, number: int) -> Complex[Tensor, "coil x y"]:
    """One slice as stored, with a coil axis."""
    array = torch.from_numpy(dataset[number].astype(np.complex64, copy=False))
    return array if array.ndim == 3 else array[None]


def _header(file: h5py.File, rows: int, path: Path) -> Header | None:
    if member(file, "ismrmrd_header", path) is None:
        return None
    dataset = check_dataset(file, path, "ismrmrd_header")
    check_text(dataset, path, "ismrmrd_header")
    header = parse_header(dataset[()], path)
    if header.matrix[0] != rows:
        sizes = f"{rows} rows, the header's readout has {header.matrix[0]}"
        raise ReconError(
            f"{path}: 'kspace' has {sizes}; store it in the order (slice, coil, row, column)"
        )
    return header


def _voxel(header: Header | None, columns: int) -> tuple[float, float, float]:
    """The voxel size in mm.

    Across slices it comes from the reconstructed space: in fastMRI's headers the encoded space is
    1.5 times the slice thickness.
    """
    if header is None:
        return UNKNOWN_VOXEL
    return header.voxel[0], header.fov[1] / columns, header.recon_fov[2] / header.recon_matrix[2]


def _mask(file: h5py.File, columns: int, path: Path) -> Bool[Tensor, "y"]:
    """The file's ``mask``, which only test files have; else all columns."""
    if member(file, "mask", path) is None:
        return torch.ones(columns, dtype=torch.bool)
    dataset = check_dataset(file, path, "mask")
    check_kind(dataset.dtype, path, "mask")
    stored = np.asarray(dataset[()]).reshape(-1)
    if stored.size != columns:
        raise ReconError(
            f"{path}: 'mask' has {stored.size} entries for {columns} columns; "
            "expected one per column"
        )
    return torch.from_numpy(stored != 0)


def _attributes(file: h5py.File) -> dict:
    """The attributes of the file, as values that JSON can hold."""
    named = (  # h5py gives a name that is not UTF-8 as bytes
        (key if isinstance(key, str) else key.decode(errors="replace"), value)
        for key, value in file.attrs.items()
    )
    # it identifies the person and describes nothing of the scan
    kept = ((key, value) for key, value in named if key != "patient_id")
    return {
        key: value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
        for key, value in kept
    }
