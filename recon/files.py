"""Files that are whole or not there: an atomic writer, a lock, and a sweep after killed runs."""

import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

HOST = re.sub(r"[^\w-]", "-", socket.gethostname())
PARTIAL = re.compile(rf"\.{HOST}\.(\d+)\.part$")


def partial(path: Path) -> Path:
    """Where this process writes what will become ``path``.

    The name says which process on which machine writes it.
    """
    return path.with_name(f"{path.name}.{HOST}.{os.getpid()}.part")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Gives a path to write to, which becomes ``path`` at the end of the block.

    Where the block fails, nothing is left. The folder is made. A reader sees the old file or the
    new one, never half of it. The path to write to is a new file, and never a link that somebody
    else has put there: the folder may be one that all may write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = partial(path)
    part.unlink(missing_ok=True)  # A dead process may have had our number.
    part.touch(exist_ok=False)
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all."""
    with whole(path) as part:
        part.write_text(text)


def copy(source: Path, target: Path) -> None:
    """Copies a file; the copy appears whole or not at all."""
    with whole(target) as part:
        shutil.copyfile(source, part)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds the lock ``path``: a second process that wants it waits for the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path):
        yield


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
