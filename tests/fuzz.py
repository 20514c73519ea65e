"""Damaged files for every loader of k-space and volumes.

Files are drawn from seeds and so are the same on every machine. `make fuzz` runs each loader in a
process of its own, with limits on time and memory; `tests.io.test_io_damage` runs a few of the same
cases. To repeat a failure, run ``python -m tests.fuzz --loader NAME --seed SEED --files 1``.
"""

import argparse
import gzip
import json
import math
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import h5py
import nibabel
import numpy as np
import scipy.io
import torch

from recon.errors import ReconError
from recon.io import read_scan, read_volume, write_volume
from recon.mri.scan import Scan
from tests.data import writers, writers_gated
from tests.io import io_files

SHAPE, COILS = (8, 6, 8), 2
MEMORY = 3 * 2**30  # bytes beyond what the process uses before its first file
SECONDS = 10  # for one file
FAILURES = 5  # a loader's run ends after this many
EXTREMES = (0, 1, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1)
ODD_FLOATS = (np.nan, np.inf, -np.inf, 3e38, 1e-45, -0.0)

# Valid files of every kind


def kspace_files(kind: str, folder: Path) -> Path:
    """A file that `read_scan` reads."""
    kspace = writers.centred(writers.coil_images(SHAPE, COILS), (1, 2, 3))
    if kind == "ismrmrd":
        noise = io_files.acquisition(
            kspace[:, :, 0, 0], flags=[io_files.ismrmrd.ACQ_IS_NOISE_MEASUREMENT]
        )
        return io_files.write_mrd(
            folder / "scan.h5",
            [noise, *io_files.lines(kspace[:, :, :4, :3])],
            io_files.header((8, 4, 3), None, 1),
        )
    if kind == "fastmri":
        slices = kspace.transpose(3, 0, 1, 2)[:2]
        return io_files.write_fastmri(
            folder / "scan.h5", slices, io_files.header((8, 6, 1), None, 1), mask=np.ones(6)
        )
    if kind in ("hdr", "cfl"):
        return (
            folder
            / f"{io_files.write_cfl(folder / 'scan', kspace.transpose(1, 2, 3, 0)).name}.{kind}"
        )
    if kind == "mat5":
        scipy.io.savemat(folder / "scan.mat", {"kspace": kspace}, do_compression=True)
        return folder / "scan.mat"
    if kind == "mat73":
        parts = np.empty(kspace.T.shape, [("real", "<f8"), ("imag", "<f8")])
        parts["real"], parts["imag"] = kspace.T.real, kspace.T.imag
        with h5py.File(folder / "scan.mat", "w", userblock_size=512) as file:
            file["kspace"] = parts
        return folder / "scan.mat"
    if kind == "npy":
        np.save(folder / "scan.npy", kspace)
        return folder / "scan.npy"
    save = np.savez_compressed if kind == "packed" else np.savez
    save(
        folder / "scan.npz",
        kspace=kspace,
        mask=np.ones(SHAPE[1:]),
        voxel=[1, 2, 3],
        noise=kspace[:, 0, 0],
    )
    return folder / "scan.npz"


def volume_file(ending: str, folder: Path) -> Path:
    """A file that `read_volume` reads."""
    write_volume(
        folder / f"scan{ending}",
        torch.from_numpy(writers.coil_images(SHAPE, 1)[0]),
        (1.0, 1.0, 1.0),
        complex=True,
    )
    return folder / f"scan{ending}"


def dataset_file(kind: str, options: dict, folder: Path) -> Path:
    """A file in the layout of a dataset; its subject is called ``scan``."""
    images = writers.coil_images(SHAPE, COILS)
    # no slice is empty
    images += np.random.default_rng(0).normal(0, 0.01, images.shape).astype(np.float32)
    if kind == "stanford":
        return writers.write_stanford(folder, "scan", images)
    if kind == "calgary":
        return writers.write_calgary(folder, "scan", writers.hybrid(images, 7), **options)
    if kind == "ahead":
        return writers.write_ahead(folder, "mp2rageme_scan_inv1", images, noise=images[:, 0, 0])
    if kind == "fastmri":
        return writers_gated.write_fastmri(
            folder, "multicoil_test", "scan", images, mask=np.ones(SHAPE[1])
        )
    if kind == "skm_tea":
        return writers_gated.write_skm_tea(folder, "scan", [images, images], **options)
    if kind == "brats":
        return next(
            writers_gated.write_brats(
                folder, "scan", {"_t2": 50 * abs(images[0])}, **options
            ).iterdir()
        )
    return writers_gated.write_roots(
        folder / f"scan{options['ending']}", abs(images[0]), (1.0, 1.0, 2.0)
    )


def dataset_loader(
    kind: str, variants: list[dict], subject: str = "scan"
) -> tuple[Callable, list[Callable]]:
    """The reader of one dataset, and the writers of its files."""
    module = import_module(f"recon.data.{kind}")
    read = getattr(module, f"{kind}_volume", None) or getattr(module, f"{kind}_scan")
    return lambda path: read(next(p for p in path.parents if p.name == "good"), subject), [
        (lambda folder, options=options: dataset_file(kind, options, folder))
        for options in variants
    ]


CHUNKED = [{}, {"chunks": (1, 3, 4, 2)}, {"chunks": (4, 6, 8, 2), "compression": "gzip"}]
QDESS = [{}, {"chunks": (4, 6, 8, 1, 2)}, {"chunks": (1, 3, 4, 2, 1), "compression": "lzf"}]
# For each loader: a function that reads the file at a path, and functions that write a valid file
# into a folder.
LOADERS: dict[str, tuple[Callable, list[Callable]]] = {
    **{
        kind: (read_scan, [lambda folder, kind=kind: kspace_files(kind, folder)])
        for kind in ("ismrmrd", "fastmri", "hdr", "cfl", "npy", "npz", "packed", "mat5", "mat73")
    },
    **{
        ending: (read_volume, [lambda folder, ending=ending: volume_file(f".{ending}", folder)])
        for ending in ("nii", "nii.gz")
    },
    "stanford_scan": dataset_loader("stanford", [{}]),
    "calgary_scan": dataset_loader("calgary", CHUNKED),
    "ahead_scan": dataset_loader("ahead", [{}]),
    "fastmri_scan": dataset_loader("fastmri", [{}]),
    "fastmri_scan slice": dataset_loader("fastmri", [{}], "scan:3"),
    "skm_tea_scan": dataset_loader("skm_tea", QDESS),
    "brats_volume": dataset_loader("brats", [{"ending": ".nii.gz"}, {"ending": ".nii"}]),
    "roots_volume": dataset_loader(
        "roots", [{"ending": e} for e in (".npz", ".npy", ".nii.gz", ".nii")]
    ),
}

# Damage to bytes


def place(raw: bytearray, rng: random.Random) -> int:
    """A position in the file; in half of the cases near the start, where the headers are."""
    return int(rng.random() * rng.choice((1, 0.05)) * len(raw))


def block(raw: bytearray, rng: random.Random) -> slice:
    """A part of the file."""
    start = place(raw, rng)
    return slice(start, start + rng.choice((1, 4, 8, 16, 64, 512, len(raw) // 4)))


def overwrite(raw: bytearray, rng: random.Random) -> None:
    """Changes one byte."""
    raw[place(raw, rng)] = rng.randrange(256)


def flip(raw: bytearray, rng: random.Random) -> None:
    """Flips one bit."""
    raw[place(raw, rng)] ^= 1 << rng.randrange(8)


def truncate(raw: bytearray, rng: random.Random) -> None:
    """Cuts off the end."""
    del raw[max(1, place(raw, rng)) :]


def insert(raw: bytearray, rng: random.Random) -> None:
    """Inserts a few bytes."""
    at = place(raw, rng)
    raw[at:at] = rng.randbytes(rng.choice((1, 8, 64)))


def delete(raw: bytearray, rng: random.Random) -> None:
    """Deletes a part."""
    if len(raw) > 8:
        del raw[block(raw[:-8], rng)]


def zero(raw: bytearray, rng: random.Random) -> None:
    """Sets a part to zeros."""
    part = block(raw, rng)
    raw[part] = bytes(len(raw[part]))


def swap(raw: bytearray, rng: random.Random) -> None:
    """Exchanges two parts."""
    one, other = sorted((block(raw, rng), block(raw, rng)), key=lambda part: part.start)
    size = min(len(raw[one]), len(raw[other]), other.start - one.start)
    first, second = slice(one.start, one.start + size), slice(other.start, other.start + size)
    raw[first], raw[second] = raw[second], raw[first]


def duplicate(raw: bytearray, rng: random.Random) -> None:
    """Copies a part to another place: over what was there, or inserted."""
    part, at = block(raw, rng), place(raw, rng)
    copy = raw[part]
    raw[at : at + rng.choice((0, len(copy)))] = copy


def extreme(raw: bytearray, rng: random.Random) -> None:
    """Writes an extreme integer of 4 or 8 bytes, aligned to 4 bytes as integers of the formats."""
    size = rng.choice((4, 8))
    at = place(raw, rng) // 4 * 4
    raw[at : at + size] = (rng.choice(EXTREMES) % 2 ** (8 * size)).to_bytes(
        size, rng.choice(("little", "little", "big"))
    )


BYTES = (
    overwrite,
    overwrite,
    flip,
    flip,
    extreme,
    extreme,
    extreme,
    truncate,
    insert,
    delete,
    zero,
    swap,
    duplicate,
)


def mangled(raw: bytes, rng: random.Random) -> bytes:
    """The bytes after one to four kinds of damage."""
    out = bytearray(raw)
    for damage in rng.choices(BYTES, k=rng.choice((1, 1, 2, 4))):
        if len(out) > 1:
            damage(out, rng)
    return bytes(out)


# Damage that a checksum or a compressed stream would hide


class Payload:
    """A pickle that makes a folder when it is loaded."""

    def __reduce__(self):
        return os.mkdir, (str(Path(tempfile.gettempdir()) / f"fuzz-canary-{os.getpid()}"),)


def canary() -> Path:
    """The folder that `Payload` makes."""
    return Path(Payload().__reduce__()[1][0])


def odd_array(rng: random.Random) -> np.ndarray:
    """An array that is neither k-space nor a volume."""
    cases = [
        np.array([Payload()], dtype=object),
        np.zeros((2, 3), "S4"),
        np.zeros((2, 3, 4), "U3"),
        np.zeros(3, "M8[s]"),
        np.ones((2, 2, 2), bool),
        np.zeros(2, [("r", "f4"), ("a\nb", "i8")]),
        np.zeros((0, 2, 3), "c8"),
        np.array(1 + 1j),
        np.ones((2,) * 6, "c8"),
        np.full((2, 3, 4), np.nan, "c8"),
        np.full((2, 3, 4, 5), 1e300, "c16"),
        np.ones((2, 3, 1, 1), "c8"),
        np.ones((3, 4, 5), "V7"),
        np.ones((1, 1, 1, 1), "c8"),
        np.ones((2, 3, 4), "c32"),
        np.full((2, 3, 4), np.inf, "f16"),
        np.ones((5, 4, 3), "f2"),
    ]
    return rng.choice(cases)


def zip_damage(path: Path, raw: bytes, rng: random.Random) -> None:
    """Damages, renames, removes or doubles a member of an archive, and packs it again."""
    path.write_bytes(raw)
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    i = rng.randrange(len(members))
    name, content = members[i]
    other = rng.choice(
        [name.removesuffix(".npy"), f"../{name}", "a\nb.npy", "", f"x/{name}", members[-1][0]]
    )
    changes = {
        "damage": [(name, mangled(content, rng))],
        "odd": [(name, npy_bytes(odd_array(rng)))],
        "rename": [(other, content)],
        "double": [
            (name, content),
            (rng.choice((name, other)), rng.choice((b"", b"text", content))),
        ],
        "drop": [],
        "huge": [(name, claim(content, rng))],
    }
    members[i : i + 1] = rng.choice(list(changes.values()))
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(path, "w", rng.choice((0, 8, 8, 12, 14))) as archive,
    ):
        for name, content in members:
            archive.writestr(name or "-", content)


def npy_bytes(array: np.ndarray) -> bytes:
    """The array as numpy stores it; objects are pickled."""
    with tempfile.TemporaryFile() as file:
        np.save(file, array, allow_pickle=True)
        file.seek(0)
        return file.read()


def claim(content: bytes, rng: random.Random) -> bytes:
    """The same ``.npy`` with another shape or type in its header."""
    head, _, data = content.partition(b"\n")
    shapes = [
        "(99999,99999,99999)",
        "(2**9,2,2,2)",
        "(-1,2,2)",
        "(1,1,1,999999999)",
        "(0,)",
        "()",
        "(True,2,3)",
        "(18446744073709551615,)",
        "x",
    ]
    types = [
        "'|O'",
        "'<c16'",
        "'>c8'",
        "'|V99999999'",
        "[('a','O')]",
        "'<c8,<c8'",
        "'|S0'",
        "__import__('os').getpid()",
        "(" * 3000,
    ]
    text = f"{{'descr': {rng.choice([*types, repr('<c8')])}, "
    text += f"'fortran_order': {rng.choice(('True', 'False', '7'))}, "
    text += f"'shape': {rng.choice(shapes)}, }}"
    version = rng.choice((1, 1, 2, 3, 9))
    size = len(text).to_bytes(2 if version == 1 else 4, "little")
    return head[:6] + bytes([version, 0]) + size + text.encode() + data


def npy_damage(path: Path, raw: bytes, rng: random.Random) -> None:
    """Writes another array, or a header that claims another."""
    path.write_bytes(rng.choice((npy_bytes(odd_array(rng)), claim(raw, rng))))


def nifti_damage(path: Path, raw: bytes, rng: random.Random) -> None:
    """Writes impossible values into the header, or damages the bytes before compression."""
    packed = path.suffix == ".gz"
    plain = bytearray(gzip.decompress(raw) if packed else raw)
    if rng.random() < 0.3:
        plain = mangled(bytes(plain), rng)
    else:
        for _ in range(rng.randint(1, 3)):
            odd_number(plain, 0, nibabel.Nifti1Header.template_dtype, rng)
        if rng.random() < 0.2:  # an extension of any size
            plain[348:360] = b"\1\0\0\0" + (rng.choice(EXTREMES) % 2**32).to_bytes(4, "little") * 2
    path.write_bytes(gzip.compress(bytes(plain), 1) if packed else bytes(plain))


def odd_number(raw: bytearray, at: int, dtype: np.dtype, rng: random.Random) -> None:
    """Replaces one number of the record at ``at`` by an odd one."""
    while dtype.names or dtype.subdtype:
        if dtype.names:
            dtype, offset = dtype.fields[rng.choice(dtype.names)][:2]
            at += offset
        else:
            dtype, shape = dtype.subdtype
            at += dtype.itemsize * rng.randrange(math.prod(shape))
    value = (
        np.float64(rng.choice((*ODD_FLOATS, 0, -1, 1e-20)))
        if dtype.kind == "f"
        else np.array(rng.choice((*EXTREMES, 2, 3, 7)) % 2**64, "u8")
    )
    with np.errstate(all="ignore"):
        raw[at : at + dtype.itemsize] = (
            b"\xff\nx\0"[: dtype.itemsize] if dtype.kind == "S" else value.astype(dtype).tobytes()
        )


# Damage to HDF5 files, made with h5py


def names(file: h5py.File) -> list[str]:
    """The names of all objects of the file."""
    found = []
    file.visit(found.append)
    return found


def replace(file: h5py.File, name: str, **content) -> None:
    """Puts another dataset under the same name."""
    del file[name]
    file.create_dataset(name, **content)


def odd_values(file: h5py.File, name: str, rng: random.Random) -> None:
    """Writes NaN, infinite, huge or other odd values into an array or a table of records."""
    table = file[name]
    if isinstance(table, h5py.Group) or table.dtype.kind not in "fcV":
        return
    rows = np.asarray(table[()])
    if rows.dtype.kind == "V":
        row = rng.randrange(len(rows))
        for _ in range(rng.randint(1, 3)):
            head = bytearray(rows["head"][row].tobytes())
            odd_number(head, 0, rows.dtype["head"], rng)
            rows["head"][row if rng.random() < 0.5 else slice(None)] = np.frombuffer(
                bytes(head), rows.dtype["head"]
            )[0]
    else:
        with np.errstate(all="ignore"):
            odd = np.array(rng.choice(ODD_FLOATS)).astype(rows.dtype)
        rows.reshape(-1)[:: rng.choice((1, 7, rows.size))] = odd
    table[...] = rows


def odd_shape(file: h5py.File, name: str, rng: random.Random) -> None:
    """Stores the same numbers in another shape."""
    if isinstance(file[name], h5py.Group):
        return
    dtype, rows = file[name].dtype, np.asarray(file[name][()], file[name].dtype)
    cut = np.asarray(rows[tuple(slice(0, rng.choice((1, 1, 2, None))) for _ in rows.shape)], dtype)
    shapes = [
        rows.reshape(-1),
        rows[None],
        cut,
        cut,
        cut,
        rows.reshape(-1)[:0],
        rows.swapaxes(0, -1) if rows.ndim else rows,
        cut.reshape(-1)[:1].reshape(()),
    ]
    replace(file, name, data=rng.choice(shapes), dtype=dtype)


def odd_type(file: h5py.File, name: str, rng: random.Random) -> None:
    """Stores another type in the same shape."""
    shape = getattr(file[name], "shape", (2, 3, 4, 2)) or ()
    types = [
        "f2", "f4", ">f8", "c16", ">c8", "i1", "u8", "S5", "V16", np.longdouble, np.clongdouble,
        bool, h5py.ref_dtype, h5py.regionref_dtype, h5py.string_dtype(), h5py.vlen_dtype("f4"),
        h5py.vlen_dtype("c8"), h5py.enum_dtype({"a": 0, "b": 1}), [("r", "f4"), ("x", "f4")],
        [("i", "f4"), ("r", "f4")], [("r", "f8"), ("i", "f4")], [("a\nb", "c8")],
        h5py.vlen_dtype(h5py.vlen_dtype("i2")), ("c8", (2,)), h5py.opaque_dtype("M8[s]"), "S100000",
        [("head", "f4"), ("traj", h5py.vlen_dtype("f4")), ("data", h5py.vlen_dtype("f4"))],
    ]  # fmt: skip
    replace(file, name, shape=shape, dtype=rng.choice(types), fillvalue=None)


def huge(file: h5py.File, name: str, rng: random.Random) -> None:
    """Declares a huge shape, of which nothing or one chunk is stored."""
    ndim = getattr(file[name], "ndim", 4) or 1
    dtype = rng.choice(("c8", "f4", "u1", getattr(file[name], "dtype", "f8")))
    sizes = [rng.choice((1, 3, 1000, 10**5, 2**31, 2**62)) for _ in range(ndim)]
    chunks = tuple(min(n, rng.choice((1, 16, 64))) for n in sizes)
    packed = rng.choice((None, "gzip", "lzf"))
    replace(file, name, shape=sizes, dtype=dtype, chunks=chunks, compression=packed, fillvalue=None)
    if rng.random() < 0.5 and math.prod(chunks) < 10**6:
        try:
            file[name].id.write_direct_chunk(
                (0,) * ndim, rng.randbytes(rng.choice((1, 100, 10**5))), rng.choice((0, 0, 1))
            )
        except (OSError, RuntimeError, ValueError):
            pass  # not every shape has a first chunk


def link(file: h5py.File, name: str, rng: random.Random) -> None:
    """Puts a link: to another file, within this file, to a pipe without a writer, or to nothing."""
    folder = Path(file.filename).parent
    if rng.random() < 0.4:
        file.move(name, "elsewhere")
    targets = [
        "/etc/passwd",
        "secret.h5",
        str(folder / "pipe"),
        Path(file.filename).name,
        "absent.h5",
        "/dev/zero",
        ".",
    ]
    links = [
        h5py.SoftLink(rng.choice(("/elsewhere", f"/{name}", "/absent", "/"))),
        h5py.ExternalLink(rng.choice(targets), f"/{name}"),
    ]
    if name in file:
        del file[name]
    file[name] = rng.choice(links)


def elsewhere(file: h5py.File, name: str, rng: random.Random) -> None:
    """Puts a dataset with its numbers in other files: a virtual one, or external storage."""
    shape = getattr(file[name], "shape", None) or (2, 3, 4, 2)
    source = rng.choice(("/etc/passwd", "secret.h5", "pipe", "/dev/zero", "absent.h5"))
    dtype = rng.choice(("c8", "f4"))
    if rng.random() < 0.5:
        return replace(
            file, name, shape=shape, dtype=dtype, external=[(source, 0, h5py.h5f.UNLIMITED)]
        )
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(source, "kspace", shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def odd_object(file: h5py.File, name: str, rng: random.Random) -> None:
    """Puts nothing, a group, a type, a scalar or a null dataspace in its place."""
    kind = rng.randrange(5)
    del file[name]
    if kind == 1:
        file.create_group(name)
    elif kind > 1:
        file[name] = [np.dtype("f4"), h5py.Empty("f4"), 1.0][kind - 2]


def odd_attributes(file: h5py.File, name: str, rng: random.Random) -> None:
    """Writes odd attributes to the file or to one of its objects."""
    node = rng.choice((file, file, file[name]))
    values = [
        h5py.Empty("f4"),
        np.ones((3, 3), "c8"),
        np.array([(1, 2)], [("a", "i4"), ("b", "f8")]),
        np.bytes_(b"\xff\xfe"),
        "a\nb",
        np.nan,
        np.array(["a", "b"], h5py.string_dtype()),
        file.ref,
        np.zeros(8000, "u1"),
        np.arange(3).astype("V4"),
        np.longdouble(1),
        True,
        np.array([file.ref], h5py.ref_dtype),
        np.array("2020-01-01", "M8[D]").astype(h5py.opaque_dtype("M8[D]")),
        2**63,
        "x" * 60000,
    ]
    for _ in range(3):
        node.attrs[rng.choice(("acquisition", "max", "a\nb", b"\xff", "norm"))] = rng.choice(values)


def odd_xml(file: h5py.File, _: str, rng: random.Random) -> None:
    """Puts an XML header that expands, that refers to other files, or that is impossible."""
    name = next((name for name in ("dataset/xml", "ismrmrd_header") if name in file), None)
    if name is None:
        return
    stored = np.asarray(file[name][()]).reshape(-1)[0]
    text = damaged_xml(stored if isinstance(stored, bytes) else stored.encode(), rng)
    shape = rng.choice(((), (1,), (1,), (2,)))
    if rng.random() < 0.8 and b"\0" not in text:
        replace(file, name, data=np.full(shape, text, object), dtype=h5py.string_dtype())
    else:
        replace(file, name, data=np.full(shape, text, f"S{len(text)}"))


def damaged_xml(xml: bytes, rng: random.Random) -> bytes:
    """The header with entities, odd numbers, odd words, odd encodings or too many elements."""
    head, body = xml.split(b"?>", 1)
    laughs = "".join(
        f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "lol" * 9}">'
        for i in range(rng.choice((3, 6, 12)))
    )
    entities = {  # one of them becomes the content of <trajectory> or of a number
        b"l": laughs,
        b"f": '<!ENTITY f SYSTEM "file:///etc/passwd">',
        b"p": '<!ENTITY % p SYSTEM "pipe"> %p;',
        b"q": f'<!ENTITY q "{"9" * 9000}">',
    }
    chosen = rng.choice(list(entities))
    reference = (
        b"&l2;"
        if chosen == b"l" and len(laughs) < 300
        else b"&l11;"
        if chosen == b"l"
        else b"&" + chosen + b";"
    )
    declared = head + b"?><!DOCTYPE x [" + entities[chosen].encode() + b"]>"
    numbers = [i for i in range(len(body)) if body[i : i + 1].isdigit()]
    odd_numbers = [b"0", b"-1", b"1e400", b"nan", b"99999", b"9" * 30, b"9" * 5000, b" "]
    at, odd = rng.choice(numbers), rng.choice((*odd_numbers, "９".encode(), reference))
    changed = body[:at] + odd + body[at + 1 :]
    words = (b"car\nte\x0b\xe2\x80\xa8sian", b"\x1b[2J", b"x" * 10**5, b"", b" cartesian\n")
    word = rng.choice(words)
    encoding = rng.choice((b"foo", b"hex", b"utf-16", b"idna", b"latin-1", b"utf-7"))
    cases = [
        declared + body.replace(b">cartesian<", b">" + reference + b"<"),
        declared + changed,
        head + b"?>" + changed,
        head + b"?>" + changed,
        xml.replace(b"cartesian", word),
        xml.replace(b'"1.0"', b'"1.0" encoding="%s"' % encoding),
        xml.replace(b"<trajectory>", b"<a>" * 10**5 + b"</a>" * 10**5 + b"<trajectory>"),
        b"<a " + b"b='1' " * 10 + b"/>",
        xml.upper(),
        b"",
        xml.replace(b"<encoding>", b"<encoding/><encoding>"),
        head + b"?>" + body.replace(b"<x>", b"<x><!-- 1 -->", 1),
        mangled(xml, rng),
    ]
    return rng.choice(cases)


HDF5 = (
    odd_values,
    odd_values,
    odd_shape,
    odd_shape,
    odd_type,
    odd_type,
    huge,
    link,
    elsewhere,
    odd_object,
    odd_attributes,
    odd_xml,
    odd_xml,
)


def hdf5_damage(path: Path, raw: bytes, rng: random.Random) -> None:
    """Replaces one object of a valid file by something else."""
    path.write_bytes(raw)
    neighbours(path.parent)
    with h5py.File(path, "r+", locking=False) as file:
        read = [
            name
            for name in names(file)
            if name.split("/")[-1] in ("kspace", "dataset", "data", "xml", "mask", "ismrmrd_header")
        ]
        rng.choice(HDF5)(file, rng.choice(read), rng)


def neighbours(folder: Path) -> None:
    """Makes what links lead to: a file with other numbers, and a pipe that never opens."""
    if not (folder / "pipe").exists():
        os.mkfifo(folder / "pipe")
        with h5py.File(folder / "secret.h5", "w") as file:
            file["kspace"] = np.ones((2, 3, 4, 2), np.complex64)


def text_damage(path: Path, raw: bytes, rng: random.Random) -> None:
    """Replaces one word of BART's header by an odd one."""
    words = raw.split(b" ")
    words[rng.randrange(len(words))] = rng.choice(
        (
            b"0",
            b"-1",
            b"99999999999",
            b"9" * 30,
            b"1e3",
            b"",
            b"\xff",
            b"\x1b[2J",
            b"7\n7",
            "７".encode(),
        )
    )
    path.write_bytes(b" ".join(words))


STRUCTURED = {
    ".h5": hdf5_damage,
    ".npz": zip_damage,
    ".npy": npy_damage,
    ".nii": nifti_damage,
    ".gz": nifti_damage,
    ".hdr": text_damage,
}

# One case, and what must happen


class Fuzz:
    """The damaged files of one loader; a seed gives each."""

    def __init__(self, name: str, folder: Path):
        self.name, (self.read, writes) = name, LOADERS[name]
        self.good = []
        for i, write in enumerate(writes):
            place = folder / str(i) / "good"
            place.mkdir(parents=True)
            path = write(place)
            self.good.append((path, path.read_bytes()))
            for spare in (
                p for p in place.rglob("*") if p.suffix == ".h5" and p.parent.name == "image_files"
            ):
                spare.unlink()
            check_record(self.read(path))

    def damage(self, seed: int) -> Path:
        """Writes the damaged file of ``seed`` and returns its path."""
        rng = random.Random(f"{self.name} {seed}")
        path, raw = rng.choice(self.good)
        structured = STRUCTURED.get(path.suffix)
        path.unlink(missing_ok=True)
        if structured and rng.random() < 0.5:
            structured(path, raw, rng)
        else:
            path.write_bytes(mangled(raw, rng))
        return path

    def accepted(self, path: Path) -> bool:
        """Whether the loader accepts the file.

        The loader must return a valid record or raise a `ReconError` of one line.
        """
        try:
            with warnings.catch_warnings(action="ignore"):
                result = self.read(path)
        except ReconError as error:
            check_line(error, path)
            return False
        finally:
            assert not canary().exists(), "code from the file was run"
        check_record(result)
        return True


def check_line(error: ReconError, path: Path) -> None:
    """Checks for one printable line that names the file and does not say that memory ran out."""
    line = str(error)
    assert line.isprintable() and len(line) < 1000, f"not one line: {line[:300]!r}"
    assert path.name.split(".")[0] in line, f"does not name the file: {line}"
    cause = error.__cause__
    assert not isinstance(cause, MemoryError) and not re.search(
        "able to allocate|not enough memory|can't allocate", line
    ), f"asked for more memory than there is: {line}"


def check_record(result: object) -> None:
    """Checks that a volume is finite and has a voxel size, or that a `Scan` is valid.

    A `Scan` checks itself when it is made; only its noise and ``meta`` are checked here.
    """
    if isinstance(result, Scan):
        assert result.kspace.dtype == torch.complex64 and (
            result.noise is None or torch.isfinite(torch.view_as_real(result.noise)).all()
        )
        json.dumps(result.meta, default=str)
    else:
        volume, voxel = result
        assert (
            volume.dtype == torch.complex64
            and volume.ndim == 3
            and torch.isfinite(torch.view_as_real(volume)).all()
        )
        assert len(voxel) == 3 and all(0 < v < 1000 for v in voxel)


# The runner


def limits() -> None:
    """Limits the memory of the process to what it has and `MEMORY`, and forbids core dumps."""
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def peak() -> int:
    """The largest memory of this process so far, in kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def work(name: str, seeds: range, report: Path) -> None:
    """Runs the cases ``seeds`` of one loader; an alarm ends the process if one takes too long.

    Before each case, the report is updated, so it tells where the process ended.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(name, Path(folder))
        start, counts = peak(), {"accepted": 0, "refused": 0, "worst": 0.0, "peak": 0}
        limits()
        for seed in seeds:
            report.write_text(json.dumps({**counts, "seed": seed}))
            path = fuzz.damage(seed)
            signal.alarm(SECONDS)
            began = time.perf_counter()
            counts["accepted" if fuzz.accepted(path) else "refused"] += 1
            counts["worst"] = max(counts["worst"], time.perf_counter() - began)
            counts["peak"] = (peak() - start) // 1024
            signal.alarm(0)
        report.write_text(json.dumps({**counts, "seed": None}))


def run(name: str, seeds: range, report: Path) -> tuple[dict, list[str]]:
    """Runs all cases of one loader in a process of its own; returns the sums and the failures.

    The process is started again after a case that ended it.
    """
    total, failures = {"accepted": 0, "refused": 0, "worst": 0.0, "peak": 0}, []
    while len(seeds) and len(failures) < FAILURES:
        report.write_text(json.dumps({**total, "accepted": 0, "refused": 0, "seed": seeds[0]}))
        asked = [
            "--loader",
            name,
            "--seed",
            str(seeds[0]),
            "--files",
            str(len(seeds)),
            "--report",
            str(report),
        ]
        ended = subprocess.run(
            [sys.executable, "-m", "tests.fuzz", *asked],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        part = json.loads(report.read_text())
        for key in total:
            total[key] = (
                max(total[key], part[key]) if key in ("worst", "peak") else total[key] + part[key]
            )
        if ended.returncode == 0:
            break
        last = ended.stderr.decode(errors="replace").strip().rpartition("\n")[2][:400]
        code = ended.returncode
        failures.append(f"seed {part['seed']}: {signal.Signals(-code).name if code < 0 else last}")
        seeds = range(part["seed"] + 1, seeds.stop)
    return total, failures


def main() -> int:
    """Prints one line for each loader; the exit status is 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000, help="damaged files for each loader")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first file; the others follow"
    )
    parser.add_argument("--loader", choices=LOADERS, help="only this one")
    parser.add_argument("--report", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    seeds, failed = range(asked.seed, asked.seed + asked.files), False
    if asked.report:
        work(asked.loader, seeds, asked.report)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for name in [asked.loader] if asked.loader else LOADERS:
            total, failures = run(name, seeds, Path(folder) / "report.json")
            sums = f"{total['accepted']:6} accepted {total['refused']:6} refused"
            files = total["accepted"] + total["refused"] + len(failures)
            worst = f"{1e3 * total['worst']:7.0f} ms worst {total['peak']:5} MB"
            print(
                f"{name:20} {files:6} files {sums} {worst}",
                *failures,
                sep="\n    ",
                flush=True,
            )
            failed = failed or bool(failures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
