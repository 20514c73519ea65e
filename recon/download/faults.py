"""What is wrong with the content of a downloaded file."""

import gzip
import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path

import h5py

from recon.download.registry import LOCK, Item
from recon.files import digest

# What readers raise on a damaged file.
DAMAGE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,  # a size that no offset can hold
    NotImplementedError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
)


def fault(path: Path, item: Item) -> str | None:
    """What is wrong with the content of a file that should be ``item``; None if it is right.

    Without a known hash, the file must at least open as what its name says.
    """
    length = path.stat().st_size
    if length == 0:
        return "is empty"
    if item.bytes not in (None, length):
        return f"has {length} bytes, not the {item.bytes} of {item.authority}"
    if item.sha256 is not None:
        renewed = (
            "; if its source has renewed it, delete its entry there"
            if item.authority == LOCK
            else ""
        )
        return (
            None
            if digest(path) == item.sha256
            else f"differs from the sha256 of {item.authority}{renewed}"
        )
    if item.md5 is not None:
        return (
            None if digest(path, "md5") == item.md5 else f"differs from the md5 of {item.authority}"
        )
    try:
        opens(path, item.path.name)
    except DAMAGE as error:
        return f"does not open as what its name says ({' '.join(str(error).split())[:80]})"
    return None


def opens(path: Path, name: str) -> None:
    """Opens a file as the format that ``name`` ends in, and raises what its reader raises.

    Files with other endings pass.
    """
    if name.endswith((".h5", ".hdf5")):
        h5py.File(path, locking=False).close()  # HDF5's lock would conflict with ours
    elif name.endswith((".nii", ".nii.gz")):
        with (gzip.open if name.endswith(".gz") else open)(path, "rb") as file:
            head = file.read(348)
        if head[344:347] not in (b"n+1", b"ni1") and head[4:7] not in (b"n+2", b"ni2"):
            raise OSError("no NIfTI header")
    elif name.endswith(".zip"):
        zipfile.ZipFile(path).close()
    elif name.endswith((".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")):
        tarfile.open(path).close()
