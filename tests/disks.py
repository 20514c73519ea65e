"""Disks that refuse: full, read-only, and with a limit on the size of files."""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SIZE = 1 << 20  # bytes of a small disk


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 1 MB at ``folder``. The test is skipped where none may be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if os.name != "posix" or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> None:
    """Leaves 4 KB, which is enough for a folder or an empty file, and for nothing else."""
    other = os.open(disk / "other", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError):
        while os.write(other, bytes(4096)):
            pass
    os.truncate(other, os.fstat(other).st_size - 4096)
    os.close(other)


def lock(disk: Path) -> None:
    """Makes it read-only, for root too."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


@contextmanager
def limited(disk: Path, size: int = 2000) -> Iterator[None]:
    """No file may have more than ``size`` bytes; needs no permission of the system's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def refusing(kind: str, folder: Path, before: Callable[[Path], None]) -> Iterator[Path]:
    """A folder on a disk that refuses; ``before`` writes there while it does not."""
    if kind == "limited":
        before(folder)
        with limited(folder):
            yield folder
        return
    with small_disk(folder / "disk") as disk:
        before(disk)
        (fill if kind == "full" else lock)(disk)
        yield disk
