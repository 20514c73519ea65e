"""Checks that every reader makes before it trusts a file."""

import itertools
import lzma
import math
import re
import struct
import tokenize
import xml.etree.ElementTree as ET
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Bool, Complex
from nibabel.filebasedimages import ImageFileError
from nibabel.orientations import OrientationError
from nibabel.spatialimages import HeaderDataError
from safetensors import SafetensorError
from scipy.io.matlab import MatReadError
from torch import Tensor

from recon.errors import ReconError

LIMIT = 10**10  # elements; a header that claims more is damaged
DEFLATE = 1032  # the most that one byte of a zlib stream can expand to
# how HDF5 refers to data of variable length
REFERENCE = np.dtype([("length", "<u4"), ("heap", "<u8"), ("object", "<u4")])
UNKNOWN_VOXEL = (1.0, 1.0, 1.0)  # mm, where a file does not give it

# What h5py, numpy, nibabel and the standard library raise on damaged files. OSError covers gzip;
# RuntimeError and ValueError cover most of h5py. Any other error is a mistake of ours and is not
# hidden.
LIBRARY_ERRORS = (
    OSError, LookupError, ValueError, RuntimeError, TypeError, EOFError, MemoryError, OverflowError,
    SyntaxError, ET.ParseError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    tokenize.TokenError, HeaderDataError, ImageFileError, OrientationError, MatReadError,
    SafetensorError,
)  # fmt: skip


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns an error of a library on a damaged file into one line that names the file."""
    try:
        yield
    except LIBRARY_ERRORS as error:
        reason = printable(str(error)) or type(error).__name__
        raise ReconError(
            f"{path}: cannot be read ({reason}); "
            "the file is damaged or incomplete, fetch or export it again"
        ) from error


def printable(text: str) -> str:
    """``text`` from a file as one short line that is safe to print on a terminal.

    Line breaks and control characters are removed, and at most 160 characters are kept.
    """
    return "".join(c for c in " ".join(text.split())[:160] if c.isprintable())


def existing(path: Path, empty: bool = False) -> None:
    """Refuses a path without a file and, unless ``empty`` is allowed, an empty file."""
    if not path.is_file():
        raise ReconError(f"{path}: no such file; check the path")
    if path.stat().st_size == 0 and not empty:
        raise ReconError(f"{path}: the file is empty; fetch or export it again")


def check_size(path: Path, elements: int, itemsize: int, stored: int) -> None:
    """Refuses an array that ``stored`` bytes cannot hold, before anything is allocated."""
    if elements == 0:
        raise ReconError(f"{path}: the array holds no elements; fetch or export it again")
    if elements > LIMIT or elements * itemsize > stored:
        claim = f"{elements} elements of {itemsize} bytes"
        raise ReconError(
            f"{path}: the header claims {claim}, more than the file can hold; "
            "fetch or export it again"
        )


def check_kind(dtype: np.dtype, path: Path, name: str) -> None:
    """Refuses a type that is not plain numbers."""
    if dtype.kind not in "biufc":
        raise ReconError(
            f"{path}: '{name}' is of type {printable(str(dtype))}; expected real or complex numbers"
        )


def member(group: h5py.Group, name: str, path: Path) -> h5py.Group | h5py.Dataset | None:
    """The object stored as ``name``; None where there is none.

    A link is refused and not opened: HDF5 would follow it to any file, or wait for a pipe.
    """
    if not isinstance(group.get(name, h5py.HardLink(), getlink=True), h5py.HardLink):
        raise ReconError(
            f"{path}: '{name}' is a link, which is not followed; "
            "copy what it leads to into the file"
        )
    return group.get(name)


def check_dataset(group: h5py.Group, path: Path, name: str) -> h5py.Dataset:
    """The HDF5 dataset ``name``, after a check that its size and its chunks fit into the file.

    HDF5 itself trusts the chunk sizes of a damaged file and reads past its buffers.
    """
    node = member(group, name, path)
    if not isinstance(node, h5py.Dataset) or (not _elsewhere(node) and node.shape is None):
        raise ReconError(f"{path}: has no dataset '{name}'; export the file again")
    if _elsewhere(node):
        raise ReconError(
            f"{path}: '{name}' is stored in other files, which are not read; copy it into one file"
        )
    size, itemsize = path.stat().st_size, node.id.get_type().get_size()
    compressed = node.id.get_create_plist().get_nfilters() > 0
    check_size(
        path,
        math.prod(node.shape),
        itemsize,
        min(node.id.get_storage_size(), size) * (DEFLATE if compressed else 1),
    )
    if node.chunks is not None:
        full, chunks = math.prod(node.chunks) * itemsize, []
        node.id.chunk_iter(chunks.append)
        starts = [range(0, n, step) for n, step in zip(node.shape, node.chunks, strict=True)]
        inside = all(
            c.byte_offset + c.size <= size and (compressed or c.size == full) for c in chunks
        )
        # counted before they are listed, as a header can claim billions of chunks
        counted = math.prod(map(len, starts)) == len(chunks)
        if (
            full > DEFLATE * size
            or not inside
            or not counted
            or sorted(c.chunk_offset for c in chunks) != list(itertools.product(*starts))
        ):
            raise ReconError(
                f"{path}: the chunks of '{name}' are not all there; fetch or export the file again"
            )
    return node


def _elsewhere(dataset: h5py.Dataset) -> bool:
    """Whether the numbers lie in other files; HDF5 would read any file that is named."""
    return dataset.is_virtual or dataset.id.get_create_plist().get_external_count() > 0


def check_text(dataset: h5py.Dataset, path: Path, name: str) -> None:
    """Refuses a dataset that is not text, and text that is longer than the file."""
    kind = h5py.check_string_dtype(dataset.dtype)
    if kind is None:
        raise ReconError(
            f"{path}: '{name}' is of type {printable(str(dataset.dtype))}, not text; "
            "export the file again"
        )
    if kind.length is None:
        check_lengths(dataset, path, name)


def check_lengths(table: h5py.Dataset, path: Path, name: str, offset: int = 0) -> None:
    """Refuses rows of variable length that claim more bytes than the file has.

    At byte ``offset`` a row holds the length, which HDF5 allocates whatever it says, and the
    address of the heap with the content. Those heaps are checked with `check_heaps`. A table that
    is filtered, or that is not a list, is refused, too.
    """
    stored, rows = _stored(table), table.chunks[0] if table.chunks else table.size
    if table.ndim > 1 or table.id.get_create_plist().get_nfilters() > 0 or not stored:
        raise ReconError(
            f"{path}: '{name}' is stored with a filter or not as a list; "
            "export the file again with a current converter"
        )
    itemsize = stored[0][1] // rows
    places = (
        np.add.outer([start for start, _ in stored], itemsize * np.arange(rows)).ravel()[:, None]
        + offset
        + np.arange(REFERENCE.itemsize)
    )
    raw = np.memmap(path, np.uint8, "r")
    references = raw[places].view(REFERENCE)
    if references["length"].sum(dtype=np.uint64) > raw.size:
        raise ReconError(
            f"{path}: the rows of '{name}' claim more than the file holds; "
            "fetch or export the file again"
        )
    heaps = np.unique(references["heap"][references["length"] > 0]).tolist()
    check_heaps(raw, [heap + table.file.userblock_size for heap in heaps], path)


def check_heaps(raw: np.ndarray, heaps: list[int], path: Path) -> None:
    """Refuses damaged global heaps, which HDF5 would read in an endless loop.

    In a valid heap the objects follow one another up to its end.
    """
    for heap in heaps:
        magic, length = struct.unpack_from("<4s4xQ", raw, heap)
        at, end = heap + 16, heap + length
        whole = magic == b"GCOL" and end <= raw.size
        while whole and at + 16 <= end:
            index, size = struct.unpack_from("<H6xQ", raw, at)
            # object 0 is the free space, with its own header
            step = 16 + -(-size // 8) * 8 if index else size
            whole, at = 16 <= step <= end - at, at + step
        if not whole:
            raise ReconError(
                f"{path}: data of variable length is damaged; fetch or export the file again"
            )


def check_attributes(file: h5py.File, dataset: h5py.Dataset, path: Path) -> None:
    """Checks all heaps of the file that lie outside ``dataset``.

    Some of them hold the attributes; h5py does not tell which.
    """
    raw, at = np.memmap(path, np.uint8, "r"), 0
    for start, size in [*sorted(_stored(dataset)), (raw.size, 0)]:
        check_heaps(
            raw, [at + found.start() for found in re.finditer(b"GCOL\1", raw[at:start])], path
        )
        at = max(at, start + size)


def _stored(dataset: h5py.Dataset) -> list[tuple[int, int]]:
    """The start and the size in bytes of every part of the file that holds the dataset.

    The list is empty where the data lie in the dataset's own header.
    """
    chunks, start = [], dataset.id.get_offset()
    if dataset.chunks is not None:
        dataset.id.chunk_iter(lambda chunk: chunks.append((chunk.byte_offset, chunk.size)))
    return chunks if start is None else [(start, dataset.id.get_storage_size())]


def check_finite(array: Tensor, path: Path, what: str) -> None:
    """Refuses NaN and infinite values."""
    parts = torch.view_as_real(array) if array.is_complex() else array
    if not torch.isfinite(parts).all():
        raise ReconError(
            f"{path}: {what} holds NaN or infinite values; repair the file or export it again"
        )


def measured(kspace: Complex[Tensor, "coil x y z"], path: Path) -> Bool[Tensor, "y z"]:
    """The phase encodes at which at least one coil has a non-zero sample.

    Raises `ReconError` where x is not the readout: where more than half of the samples at these
    phase encodes are zero, or where x has gaps. Single zeros are allowed, as they occur in
    simulated data. Zeros at the ends of the readout are not counted: they are an asymmetric echo.
    """
    samples = (kspace != 0).any(dim=0)
    mask, reached = samples.any(dim=0), samples.flatten(1).any(dim=1)
    inside = torch.nonzero(reached).flatten()
    gaps = len(inside) and int(inside[-1] - inside[0]) + 1 - len(inside)
    if gaps or 2 * samples.sum() < mask.sum() * reached.sum():
        raise ReconError(
            f"{path}: the sampling varies along x, which must be the fully sampled readout; "
            "reorder the axes to (readout, y, z)"
        )
    return mask
