"""`Source`: the record at the end of a dataset's file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon import rooms
from recon.download import registry
from recon.mri.scan import Scan
from recon.schema import Strict

# Keys of a configuration's section that only some kinds understand.
OPTIONAL = (
    "shape",
    "coils",
    "noise",
    "training_noise",
    "anatomy",
    "path",
    "pattern",
    "voxel",
)


def nowhere(section: Any, subject: str | int) -> Path | None:
    """None: a scan that is computed has no file."""
    return None


def registered_file(section: Any, subject: str | int) -> Path | None:
    """The file of a subject of a dataset that data/registry.yaml describes.

    None where the section gives a path of its own.
    """
    if section.path is not None:
        return None
    return registry.items(section.kind, [str(subject)])[0].path


class NoOptions(Strict):
    """The options of a kind that has none."""


@dataclass(frozen=True)
class Source:
    """How one kind of dataset is read, and which keys its section of a configuration has.

    If data/registry.yaml has an entry with the kind's name, that entry gives folder, subjects and
    splits.
    """

    scan: Callable[[Any, str | int], Scan]  # (section, subject) -> the fully sampled scan
    takes: tuple[str, ...] = ("path",)  # the keys of `OPTIONAL` that it understands
    needs: tuple[str, ...] = ()  # those of them that must be given
    options: type[Strict] = NoOptions  # the schema of what this kind alone understands
    # (section, subject) -> the file that the scan is read from; None where it is not known
    file: Callable[[Any, str | int], Path | None] = registered_file


def names() -> tuple[str, ...]:
    """The names of all kinds of dataset."""
    return rooms.members("data", "DATASET")


def lookup(kind: str) -> Source:
    """The kind of dataset called ``kind``."""
    return rooms.member("data", "DATASET", kind, "kind of dataset")


def registered() -> tuple[str, ...]:
    """The kinds that data/registry.yaml describes."""
    return tuple(name for name in names() if name in registry.load(registry.REGISTRY))
