"""BART's pair of files.

``.hdr`` holds the dimensions as text. ``.cfl`` holds complex64 samples; the first dimension runs
fastest.
"""

import math
from pathlib import Path

import numpy as np
import torch

from recon.errors import ReconError
from recon.io.checks import LIMIT, UNKNOWN_VOXEL, existing, measured, reading
from recon.mri.scan import Scan

# read at most; after the dimensions BART writes its command line and file names, which are not used
HEADER_BYTES = 65536


def read_bart(path: Path) -> Scan:
    """K-space with BART's dimensions (readout, phase 1, phase 2, coil); the others must be 1."""
    base = path.with_suffix("") if path.suffix in (".cfl", ".hdr") else path
    header, data = Path(f"{base}.hdr"), Path(f"{base}.cfl")
    existing(header)
    existing(data)
    with reading(header):
        dims = _dimensions(header)
    elements, size = math.prod(dims), data.stat().st_size
    if elements > LIMIT or 8 * elements != size:
        raise ReconError(
            f"{data}: holds {size} bytes, but {header.name} gives dimensions {dims} "
            f"({8 * elements} bytes); write the pair again"
        )
    with reading(data):
        array = np.fromfile(data, dtype="<c8").reshape(dims[:4], order="F")
        kspace = torch.from_numpy(
            np.ascontiguousarray(array.transpose(3, 0, 1, 2)).astype(np.complex64, copy=False)
        )
    return Scan(
        kspace,
        UNKNOWN_VOXEL,
        measured(kspace, data),
        name=data.name,
        meta={"format": "BART", "voxel": "unknown"},
    )


def _dimensions(header: Path) -> list[int]:
    with header.open("rb") as file:
        lines = file.read(HEADER_BYTES).decode(errors="replace").splitlines()
    if "# Dimensions" not in lines[:-1]:
        raise ReconError(
            f"{header}: has no line '# Dimensions' followed by the sizes; "
            "write the file with BART again"
        )
    sizes = lines[lines.index("# Dimensions") + 1].split()
    if (
        not sizes
        or len(sizes) > 16
        or not all(s.isascii() and s.isdigit() and len(s) < 12 and int(s) > 0 for s in sizes)
    ):
        raise ReconError(
            f"{header}: dimensions read {' '.join(sizes)[:80]!r}; "
            "expected up to 16 positive integers"
        )
    dims = [int(s) for s in sizes] + [1] * (4 - len(sizes))
    if any(n > 1 for n in dims[4:]):
        raise ReconError(
            f"{header}: dimensions {dims} hold a set of scans; take one with 'bart slice' "
            "(dimensions after the coils must be 1)"
        )
    return dims
