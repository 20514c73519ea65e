"""K-space in NumPy files.

``.npy`` holds k-space alone. ``.npz`` holds ``kspace`` and, where known, ``mask``, ``voxel`` and
``noise``.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Complex
from torch import Tensor

from recon.errors import ReconError
from recon.io.arrays import as_voxel, load_npy, load_npz
from recon.io.checks import UNKNOWN_VOXEL, check_finite, check_kind, measured
from recon.mri.scan import Scan


def read_npy(path: Path) -> Scan:
    """Complex k-space of shape (coil, x, y, z), (coil, x, y) or (x, y)."""
    kspace = as_kspace(load_npy(path), path)
    return Scan(
        kspace,
        UNKNOWN_VOXEL,
        measured(kspace, path),
        name=path.name,
        meta={"format": "npy", "voxel": "unknown"},
    )


def read_npz(path: Path) -> Scan:
    """``kspace`` and, where the file has them, ``mask``, ``voxel`` and ``noise``.

    ``kspace`` has a shape of `read_npy`; a file with a single array may give it any name. ``mask``
    is (y, z) or (y,), ``voxel`` (3,) in mm, and ``noise`` (coil, sample).
    """
    arrays = load_npz(path, "kspace", ("mask", "voxel", "noise"))
    kspace = as_kspace(arrays["kspace"], path)
    mask, meta = measured(kspace, path), {"format": "npz"}
    if "mask" in arrays:
        check_kind(arrays["mask"].dtype, path, "mask")
        stored = torch.from_numpy(np.ascontiguousarray(arrays["mask"] != 0))
        stored = stored[:, None] if stored.ndim == 1 else stored
        if stored.shape != mask.shape:
            raise ReconError(
                f"{path}: 'mask' has shape {tuple(stored.shape)}; "
                f"expected {tuple(mask.shape)}, the (y, z) of 'kspace'"
            )
        kspace, mask = kspace * stored, stored
    noise = as_noise(arrays["noise"], len(kspace), path) if "noise" in arrays else None
    if "voxel" not in arrays:
        meta["voxel"] = "unknown"
    return Scan(kspace, as_voxel(arrays, path), mask, name=path.name, noise=noise, meta=meta)


def as_kspace(array: np.ndarray, path: Path) -> Complex[Tensor, "coil x y z"]:
    """Complex64 k-space; missing coil and z axes are added."""
    if array.dtype.kind != "c":
        raise ReconError(
            f"{path}: k-space holds {array.dtype}, not complex numbers; "
            "save real and imaginary parts as one complex array"
        )
    if array.ndim not in (2, 3, 4):
        raise ReconError(
            f"{path}: k-space has shape {array.shape}; "
            "expected (coil, x, y, z), (coil, x, y) or (x, y)"
        )
    kspace = torch.from_numpy(np.array(array, dtype=np.complex64, order="C"))
    kspace = kspace[None] if kspace.ndim == 2 else kspace
    return kspace[..., None] if kspace.ndim == 3 else kspace


def as_noise(array: np.ndarray, coils: int, path: Path) -> Complex[Tensor, "coil sample"]:
    """A noise scan with one row per coil."""
    if array.dtype.kind != "c" or array.ndim != 2 or len(array) != coils:
        raise ReconError(
            f"{path}: 'noise' is {array.dtype} of shape {array.shape}; "
            f"expected complex (coil, sample) with {coils} coils"
        )
    noise = torch.from_numpy(np.array(array, dtype=np.complex64, order="C"))
    check_finite(noise, path, "'noise'")
    return noise
