"""BART's pair of files.

``.hdr`` holds the dimensions as text. ``.cfl`` holds complex64 samples; the first dimension runs
fastest.
"""

import math
from pathlib import Path

import numpy as np

from recon.errors import ReconError
from recon.io.checks import LIMIT, existing, reading
from recon.io.frames import Selection
from recon.io.labelled import scan_of
from recon.mri.scan import Scan

# read at most; after the dimensions BART writes its command line and file names, which are not used
HEADER_BYTES = 65536
NAMED = {
    0: "x", 1: "y", 2: "z", 3: "coil", 5: "contrast", 10: "repetition", 11: "phase", 13: "slice",
    14: "average",
}  # fmt: skip
AXES = tuple(NAMED.get(axis, "one") for axis in range(16))


def read_bart(path: Path, selection: Selection = Selection()) -> Scan:
    """K-space with BART's dimensions: readout, phase 1, phase 2, coil; 5 counts contrasts, 10
    repetitions, 11 phases, 13 slices and 14 averages. The others must be 1.
    """
    array, data = load_cfl(path)
    known = ("contrast", "repetition", "phase", "slice")
    selection.only(*known, path=data, layout="a BART file")
    if any(n > 1 for n, name in zip(array.shape, AXES, strict=True) if name == "one"):
        raise ReconError(
            f"{data}: dimensions {list(array.shape)} hold a set of scans; take one with "
            f"'bart slice' (only {', '.join(map(str, NAMED))} are known)"
        )
    return scan_of(array, AXES, selection, data, {"format": "BART"})


def load_cfl(path: Path) -> tuple[np.ndarray, Path]:
    """The array of a pair, with all of BART's 16 dimensions, and the path of its ``.cfl``."""
    base = path.with_suffix("") if path.suffix in (".cfl", ".hdr") else path
    header, data = Path(f"{base}.hdr"), Path(f"{base}.cfl")
    existing(header)
    existing(data)
    with reading(header):
        dims = read_dimensions(header)
    elements, size = math.prod(dims), data.stat().st_size
    if elements > LIMIT or 8 * elements != size:
        raise ReconError(
            f"{data}: holds {size} bytes, but {header.name} gives dimensions {dims} "
            f"({8 * elements} bytes); write the pair again"
        )
    with reading(data):
        return np.memmap(data, dtype="<c8", mode="r", shape=tuple(dims), order="F"), data


def read_dimensions(header: Path) -> list[int]:
    """The 16 dimensions of a pair."""
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
    return [int(s) for s in sizes] + [1] * (16 - len(sizes))
