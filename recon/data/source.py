"""Where scans of one kind come from: the record at the end of a dataset's file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon import rooms
from recon.download import registry
from recon.mri.scan import Scan

# Keys of a configuration's section that some kinds understand and others do not.
OPTIONAL = ("shape", "coils", "noise", "anatomy", "path", "pattern", "voxel")


def nowhere(section: Any, subject: str | int) -> Path | None:
    """The file of a scan that is computed, not read."""
    return None


def registered_file(section: Any, subject: str | int) -> Path | None:
    """The file of a subject of a set that data/registry.yaml describes; None where the section
    gives a path of its own.
    """
    if section.path is not None:
        return None
    return registry.items(section.kind, [str(subject)])[0].path


@dataclass(frozen=True)
class Source:
    """How one kind of dataset is read, and what its section of a configuration says.

    A kind with an entry of its name in data/registry.yaml has its folder, subjects and splits from
    there.
    """

    scan: Callable[[Any, str | int], Scan]  # (section, subject) -> the fully sampled scan
    takes: tuple[str, ...] = ("path",)  # of `OPTIONAL`, the keys that it understands
    needs: tuple[str, ...] = ()  # of them, those without which it cannot be read
    # the file that a subject is read from
    file: Callable[[Any, str | int], Path | None] = registered_file


def names() -> tuple[str, ...]:
    """All kinds of dataset."""
    return rooms.members("data", "DATASET")


def lookup(kind: str) -> Source:
    """The kind of dataset called ``kind``."""
    return rooms.member("data", "DATASET", kind, "kind of dataset")


def registered() -> tuple[str, ...]:
    """The kinds that data/registry.yaml describes."""
    return tuple(name for name in names() if name in registry.load(registry.REGISTRY))
