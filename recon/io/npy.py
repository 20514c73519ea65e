"""K-space in NumPy files.

``.npy`` holds k-space alone. ``.npz`` holds ``kspace`` and, where known, ``mask``, ``voxel`` and
``noise``.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from recon.errors import ReconError
from recon.io.arrays import as_voxel, load_npy, load_npz
from recon.io.checks import check_kind
from recon.io.frames import COUNTERS, Selection
from recon.io.labelled import as_noise, scan_of
from recon.mri.scan import Scan

KNOWN = (*COUNTERS, "slice", "axes")


def read_npy(path: Path, selection: Selection = Selection()) -> Scan:
    """Complex k-space of shape (coil, x, y, z), (coil, x, y) or (x, y), or with other axes that
    ``selection`` names.
    """
    selection.only(*KNOWN, path=path, layout="a .npy file")
    return scan_of(load_npy(path), selection.axes, selection, path, {"format": "npy"})


def read_npz(path: Path, selection: Selection = Selection()) -> Scan:
    """``kspace`` and, where the file has them, ``mask``, ``voxel`` and ``noise``.

    ``kspace`` has a shape of `read_npy`; a file with a single array may give it any name. ``mask``
    is (y, z) or (y,), ``voxel`` (3,) in mm, and ``noise`` (coil, sample).
    """
    selection.only(*KNOWN, "variable", path=path, layout="a .npz file")
    key = selection.variable or "kspace"
    arrays = load_npz(path, key, ("mask", "voxel", "noise"), strict=bool(selection.variable))
    scan = scan_of(arrays[key], selection.axes, selection, path, {"format": "npz"})
    if "mask" in arrays:
        check_kind(arrays["mask"].dtype, path, "mask")
        if not np.isfinite(arrays["mask"]).all():
            raise ReconError(f"{path}: 'mask' holds NaN or infinite values; repair the file")
        stored = torch.from_numpy(np.ascontiguousarray(arrays["mask"] != 0))
        if stored.ndim == 1:  # the same for all slices of a stack
            stored = stored[:, None].expand(-1, scan.shape[2] if scan.stack else 1).clone()
        if stored.shape != scan.mask.shape:
            raise ReconError(
                f"{path}: 'mask' has shape {tuple(stored.shape)}; "
                f"expected {tuple(scan.mask.shape)}, the (y, z) of 'kspace'"
            )
        scan = replace(scan, kspace=scan.kspace * stored, mask=stored)
    if "noise" in arrays:
        scan = replace(scan, noise=as_noise(arrays["noise"], scan.coils, path))
    if "voxel" in arrays:
        meta = {key: value for key, value in scan.meta.items() if key != "voxel"}
        scan = replace(scan, voxel=as_voxel(arrays, path), meta=meta)
    return scan
