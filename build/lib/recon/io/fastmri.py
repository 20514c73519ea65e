"""fastMRI files (Zbontar et al., arXiv:1811.08839): slices of 2D k-space in HDF5."""

from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from recon import fourier
from recon.data.scan import Scan
from recon.errors import ReconError
from recon.io.checks import UNKNOWN_VOXEL, check_dataset, measured
from recon.io.header import parse_header, remove_oversampling


def read_fastmri(file: h5py.File, path: Path) -> Scan:
    """``kspace`` (slice, coil, row, column), or (slice, row, column) of one coil, as a 3D `Scan` fully sampled along kz.

    Rows are the readout, columns the phase encode. An ``ismrmrd_header`` gives the voxel size and the readout
    oversampling, which is removed; ``mask`` (column) restricts what counts as measured.
    """
    dataset = check_dataset(file["kspace"], path, "kspace")
    if dataset.dtype.kind != "c":
        raise ReconError(
            f"{path}: 'kspace' holds {dataset.dtype}, not complex numbers; store real and imaginary parts as one complex array"
        )
    if dataset.ndim not in (3, 4):
        raise ReconError(f"{path}: 'kspace' has shape {dataset.shape}; expected (slice, coil, row, column) or (slice, row, column)")
    array = torch.from_numpy(dataset[()].astype(np.complex64, copy=False))
    slices = array if array.ndim == 4 else array[:, None]
    columns = _columns(file, slices.permute(1, 2, 3, 0), path)
    kspace, voxel, meta = slices.permute(1, 2, 3, 0) * columns[:, None], UNKNOWN_VOXEL, {"format": "fastMRI"}
    if "ismrmrd_header" in file:
        header = parse_header(check_dataset(file["ismrmrd_header"], path, "ismrmrd_header")[()], path)
        voxel, meta = header.voxel, meta | header.facts()
        if header.matrix[0] != kspace.shape[1]:
            rows = f"{kspace.shape[1]} rows, the header's readout has {header.matrix[0]}"
            raise ReconError(f"{path}: 'kspace' has {rows}; store it in the order (slice, coil, row, column)")
        voxel = (voxel[0], header.fov[1] / kspace.shape[2], voxel[2])
        kspace = remove_oversampling(kspace, header.readout, -3)
    else:
        meta["voxel"] = "unknown"
    meta |= {key: _plain(value) for key, value in file.attrs.items()}
    kspace = fourier.fft(kspace, (-1,))
    return Scan(kspace.contiguous(), voxel, columns[:, None].expand(kspace.shape[2:]).clone(), name=path.name, meta=meta)


def _columns(file: h5py.File, kspace: Complex[Tensor, "coil x y slice"], path: Path) -> Bool[Tensor, "y"]:
    """The columns measured in every slice; the zero-padded edges of a fastMRI matrix are not."""
    mask = measured(kspace, path)
    if (mask != mask[:, :1]).any():
        raise ReconError(f"{path}: the slices are sampled differently, so they do not make one 3D scan; keep the slices of one mask")
    columns = mask[:, 0]
    if "mask" in file:
        stored = np.asarray(check_dataset(file["mask"], path, "mask")[()]).reshape(-1)
        if stored.size != len(columns):
            raise ReconError(f"{path}: 'mask' has {stored.size} entries for {len(columns)} columns; expected one per column")
        columns = columns & torch.from_numpy(stored != 0)
    return columns


def _plain(value: object) -> object:
    """An HDF5 attribute as JSON can hold it."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
