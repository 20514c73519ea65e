"""K-space from an array whose axes are named: NumPy, MATLAB and BART files share it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Complex
from torch import Tensor

from recon.errors import ReconError
from recon.io.checks import UNKNOWN_VOXEL, check_finite, check_size, measured
from recon.io.frames import COUNTERS, Selection, chosen, first_of
from recon.mri.scan import Scan

# What an axis may be; "one" is an axis of length 1.
NAMES = ("coil", "x", "y", "z", "slice", *COUNTERS, "average", "one")
USUAL = {2: ("x", "y"), 3: ("coil", "x", "y"), 4: ("coil", "x", "y", "z")}


def scan_of(
    array: np.ndarray, axes: Sequence[str] | None, selection: Selection, path: Path, meta: dict
) -> Scan:
    """The scan in an array with these axes; by default they are those of `USUAL`.

    One contrast, phase, repetition and set is read, averages are averaged, and slices make a stack.
    The voxel size is not known.
    """
    if array.dtype.kind != "c":
        raise ReconError(
            f"{path}: k-space holds {array.dtype}, not complex numbers; "
            "save real and imaginary parts as one complex array"
        )
    axes = checked_axes(array.shape, axes, path)
    check_size(path, array.size, 1, array.size)
    array, frames, notes = selected(array, axes, selection, path)
    array, stack = ordered(averaged(array, axes), axes, path)
    with np.errstate(over="ignore", invalid="ignore"):  # too large for complex64: refused later
        kspace = torch.from_numpy(np.array(array, dtype=np.complex64, order="C"))
    return Scan(
        kspace,
        UNKNOWN_VOXEL,
        measured(kspace, path),
        name=path.name,
        meta=meta | {"voxel": "unknown", "frames": frames},
        stack=stack,
        notes=tuple(notes),
    )


def selected(
    array: np.ndarray, axes: tuple[str, ...], selection: Selection, path: Path
) -> tuple[np.ndarray, dict[str, list[int]], list[str]]:
    """The array with one entry along each counter, and a slice where one was asked for.

    Beside it stand the entries that each counter has, and a note for each that nobody chose.
    """
    frames, notes = {}, []
    for name in (*COUNTERS, "slice"):
        wanted = getattr(selection, name)
        if name not in axes:
            if wanted is not None:
                raise ReconError(f"{path}: has no {name} to choose: its axes are {', '.join(axes)}")
            continue
        axis = axes.index(name)
        count = array.shape[axis]
        if name in COUNTERS:
            frames[name] = list(range(count))
        if name == "slice" and wanted is None:
            continue
        if wanted is not None:
            chosen(path, name, wanted, list(range(count)))
        elif count > 1:
            notes.append(first_of(name, count))
        array = np.take(array, [wanted or 0], axis=axis)
    return array, frames, notes


def averaged(array: np.ndarray, axes: tuple[str, ...]) -> np.ndarray:
    """The mean over averages, of those that measured a sample."""
    if "average" not in axes or array.shape[axes.index("average")] == 1:
        return array
    axis = axes.index("average")
    seen = (array != 0).sum(axis, keepdims=True).clip(1)
    return (array.sum(axis, keepdims=True) / seen).astype(array.dtype)


def ordered(array: np.ndarray, axes: tuple[str, ...], path: Path) -> tuple[np.ndarray, bool]:
    """The array as (coil, x, y, z), and whether z counts slices."""
    size = dict(zip(axes, array.shape, strict=True))
    stack = size.get("slice", 1) > 1
    if stack and size.get("z", 1) > 1:
        raise ReconError(f"{path}: holds slabs of a 3D scan; choose one with --slice N")
    order = [axes.index(n) for n in ("coil", "x", "y", "slice" if stack else "z") if n in axes]
    rest = [a for a in range(array.ndim) if a not in order]
    array = array.transpose(*rest, *order).reshape([array.shape[a] for a in order])
    array = array if "coil" in axes else array[None]
    return (array if array.ndim == 4 else array[..., None]), stack


def checked_axes(shape: tuple[int, ...], axes: Sequence[str] | None, path: Path) -> tuple[str, ...]:
    """The names of the axes of an array of ``shape``; names that do not fit are refused."""
    if axes is None:
        if len(shape) not in USUAL:
            raise ReconError(
                f"{path}: k-space has shape {shape}; expected (coil, x, y, z), (coil, x, y) or "
                "(x, y): name other axes, as in --axes x,y,coil,slice"
            )
        return USUAL[len(shape)]
    axes = tuple(axes)
    unknown = [name for name in axes if name not in NAMES]
    twice = [name for name in axes if axes.count(name) > 1 and name != "one"]
    if unknown or twice or not {"x", "y"} <= set(axes):
        wrong = f"{unknown[0]!r} is none" if unknown else "x and y are needed"
        wrong = f"{twice[0]!r} stands there twice" if twice else wrong
        raise ReconError(f"--axes {','.join(axes)}: {wrong}; axes are {', '.join(NAMES)}")
    if len(axes) != len(shape):
        raise ReconError(
            f"{path}: --axes names {len(axes)} axes, the array has {len(shape)}: {shape}"
        )
    for name, size in zip(axes, shape, strict=True):
        if name == "one" and size > 1:
            raise ReconError(f"{path}: an axis called 'one' has {size} entries; name it")
    return axes


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
