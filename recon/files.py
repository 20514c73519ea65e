"""Files that are whole or not there: an atomic writer, a lock, and a sweep after killed runs."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from recon.errors import ReconError

HOST = re.sub(r"[^\w-]", "-", socket.gethostname())
PARTIAL = re.compile(rf"\.{HOST}\.(\d+)\.part$")

# What to do where a disk refuses, by the system's number of the error.
CURES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room in your quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "make the disk writable, or work in another folder",
    errno.EACCES: "get permission, or work in another folder",
    errno.EPERM: "get permission, or work in another folder",
    **dict.fromkeys(
        (errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG), "choose another path"
    ),
    errno.EIO: "the disk or the network failed: mend it",
    errno.ENOSYS: "mount the disk with locks (flock), or work in another folder",
    errno.ESTALE: "the disk of the network went away: mount it again",
}
# How HDF5 and safetensors, which raise errors of their own, quote that number.
QUOTED = re.compile(r"(?:errno = |os error |Errno )(\d+)")


def partial(path: Path) -> Path:
    """Where this process writes what will become ``path``.

    The name says which process on which machine writes it.
    """
    return path.with_name(f"{path.name}.{HOST}.{os.getpid()}.part")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a path to write to, which becomes ``path`` at the end of the block.

    Where the block fails, nothing is left. The folder is made. A reader sees the old file or the
    new one, never half of it, and so after a power cut. The path to write to is a new file, and
    never a link that somebody else has put there: the folder may be one that all may write to.
    Raises `ReconError` where the disk refuses.
    """
    part = partial(path)
    with refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.unlink(missing_ok=True)  # A dead process may have had our number.
            part.touch(exist_ok=False)
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            with suppress(OSError):  # The error that led here says more.
                part.unlink(missing_ok=True)


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turns a disk's refusal to write ``path`` into a `ReconError`, whichever library reports it.

    Where the refusal names another file, as a folder that cannot be made, the line names that one.
    """
    try:
        yield
    except Exception as error:
        found = None if isinstance(error, ReconError) else _refusal(error)
        if found is None:
            raise
        number, named = found
        where = path if named is None or str(named).endswith(".part") else named
        why = f"cannot be written ({os.strerror(number)}); {CURES[number]}, and run again"
        raise ReconError(f"{where}: {why}") from error


def _refusal(error: BaseException | None) -> tuple[int, str | None] | None:
    """The system's number in an error, or in one that led to it, and the file that it names."""
    while error is not None:
        quoted = QUOTED.search(str(error))
        number = getattr(error, "errno", None) or (int(quoted[1]) if quoted else None)
        if number in CURES:
            # of a copy, the second is what is written
            named = getattr(error, "filename2", None) or getattr(error, "filename", None)
            return number, named
        error = error.__cause__ or error.__context__
    return None


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with whole(path) as part:
        part.write_text(text)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file of bytes whole or not at all."""
    with whole(path) as part:
        part.write_bytes(content)


def write_json(path: Path, value: dict | list) -> None:
    """Writes JSON, whole or not at all, with one line for each entry of ``value``.

    Its lines can be compared, and it is half as long as with one line for each number.
    """
    if isinstance(value, dict):
        left, right = "{}"
        lines = [f"{json.dumps(key)}: {json.dumps(entry)}" for key, entry in value.items()]
    else:
        left, right = "[]"
        lines = [json.dumps(entry) for entry in value]
    write_text(path, "\n".join([left, ",\n".join(lines), right, ""]))


def reserve(path: Path, size: int) -> None:
    """Raises `ReconError` where the disk has no room for ``size`` more bytes at ``path``.

    HDF5 (2.0) dies of a segmentation fault where a write fails, so room is asked for before.
    """
    room = partial(path)
    with refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with room.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        finally:
            room.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copies a file; the copy appears whole or not at all."""
    with whole(target) as part:
        shutil.copyfile(source, part)


def lock(path: Path, timeout: float = -1) -> FileLock:
    """A lock that dies with its process. Without a ``timeout`` in seconds it is waited for.

    Taking it raises an OSError where the disk has no such locks.
    """
    return FileLock(path, timeout=timeout, fallback_to_soft=False)


@contextmanager
def alone(path: Path, wait: bool = True) -> Iterator[bool]:
    """Holds the lock ``path``: a second process that wants it waits for the first.

    Without ``wait`` it goes on without the lock. The value says whether the lock is held.
    """
    with refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            held = lock(path, -1 if wait else 0).acquire()
        except Timeout:
            held = None
    with held or nullcontext():
        yield held is not None


@contextmanager
def together(path: Path) -> Iterator[None]:
    """Holds the lock ``path`` beside others who do; see `nobody_at`. It dies with the process."""
    with refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    with file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


def nobody_at(path: Path) -> bool:
    """Whether no process holds the lock ``path``; see `together`."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
    return True


def sweep(folder: Path) -> list[Path]:
    """Deletes the partial files that dead processes left below ``folder``, and returns them.

    Files of living processes stay. So do files of other machines that share the folder.
    """
    swept = []
    for path in folder.rglob("*.part"):
        found = PARTIAL.search(path.name)
        if found and not _lives(int(found[1])):
            path.unlink(missing_ok=True)
            swept.append(path)
    return swept


def recall(*folders: Path) -> list[Path]:
    """Dates files from the future, below ``folders``, to now, and returns them in their order.

    A clock that was ahead has left them. Each becomes a nanosecond younger than the one before it,
    so they stay in their order, after all files of the past and before all that are still to come.
    """
    now, ahead = time.time_ns(), []
    for path in (path for folder in folders for path in folder.rglob("*")):
        with suppress(OSError):  # A dying process may still rename its last file.
            if path.is_file() and (written := path.stat().st_mtime_ns) > now:
                ahead.append((written, path))
    for rank, (_, path) in enumerate(sorted(ahead)):
        with suppress(OSError):  # Somebody else's, or on a disk that is read-only.
            os.utime(path, ns=(now + rank, now + rank))
    return [path for _, path in sorted(ahead)]


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # The process lives, and belongs to somebody else.
        return True
    return True


def digest(path: Path, kind: str = "sha256") -> str:
    """The hash of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
