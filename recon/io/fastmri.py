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
from recon.io.header import Header, parse_header, remove_oversampling
from recon.mri import fourier
from recon.mri.scan import Scan


def read_fastmri(file: h5py.File, path: Path, number: int | None = None) -> Scan:
    """``kspace`` (slice, coil, row, column), or (slice, row, column) of one coil.

    All slices together become a 3D `Scan` that is fully sampled along kz. With ``number``, which
    counts from 0 as in the file, only that slice is read and becomes a 2D scan. Rows are the
    readout, columns the phase encodes. Where there is an ``ismrmrd_header``, it gives the voxel
    size and the readout oversampling, which is removed. Where there is a ``mask`` (column), columns
    outside it do not count as measured.
    """
    dataset = _check_layout(check_dataset(file, path, "kspace"), path)
    if number is not None and not 0 <= number < len(dataset):
        raise ReconError(f"{path}: has no slice {number}; choose one of 0 to {len(dataset) - 1}")
    numbers = range(len(dataset)) if number is None else [number]
    header = _header(file, dataset.shape[-2], path)
    columns = _columns(dataset, numbers, _mask(file, dataset.shape[-1], path), path)
    readout = header.readout if header else dataset.shape[-2]
    slices = [remove_oversampling(_slice(dataset, i) * columns, readout, -2) for i in numbers]
    kspace = fourier.fft(torch.stack(slices, -1), (-1,))
    mask = columns[:, None].expand(-1, len(numbers)).clone()
    check_attributes(file, dataset, path)
    meta = (
        _attributes(file)
        | {"format": "fastMRI"}
        | (header.facts() if header else {"voxel": "unknown"})
    )
    meta |= {} if number is None else {"slice": number}
    name = path.name if number is None else f"{path.name}:{number}"
    return Scan(kspace.contiguous(), _voxel(header, dataset.shape[-1]), mask, name=name, meta=meta)


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


def _columns(
    dataset: h5py.Dataset, numbers: range | list[int], mask: Bool[Tensor, "y"], path: Path
) -> Bool[Tensor, "y"]:
    """The columns that were measured, which must be the same in all slices.

    The zero-padded edges of a fastMRI matrix are not measured.
    """
    sampled = torch.cat([measured(_slice(dataset, i)[..., None], path) for i in numbers], 1)
    # a slice of zeros does not show the mask
    sampled = sampled[:, sampled.any(0)] if sampled.any() else sampled
    if (sampled != sampled[:, :1]).any():
        raise ReconError(
            f"{path}: the slices are sampled differently, so they do not make one 3D scan; "
            "keep the slices of one mask"
        )
    return sampled[:, 0] & mask


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
