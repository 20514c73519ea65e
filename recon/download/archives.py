"""Archives: what they hold, and taking out what is wanted."""

import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from recon.download import registry
from recon.download.faults import DAMAGE, fault
from recon.download.registry import Item
from recon.download.transport import (
    CHUNK,
    Meter,
    claimed,
    download,
    ensure_space,
    part_of,
    settle,
    size,
)
from recon.errors import ReconError


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    size: int
    plain: bool  # no link, no device
    open: Callable


@contextmanager
def archive_members(path: Path) -> Iterator[list[Member]]:
    """The members of a zip or tar file, without its folders."""
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as held:
            infos = [i for i in held.infolist() if not i.is_dir()]
            yield [
                Member(
                    i.filename,
                    i.file_size,
                    not stat.S_ISLNK(i.external_attr >> 16),
                    partial(held.open, i),
                )
                for i in infos
            ]
    else:
        with tarfile.open(path) as held:
            yield [
                Member(m.name, m.size, m.isreg(), partial(held.extractfile, m))
                for m in _forwards(held)
                if not m.isdir()
            ]


def _forwards(held: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of a tar file; a negative size would lead back to a header that was read."""
    for member in held:
        if member.size < 0:
            raise tarfile.ReadError(f"{member.name!r} claims {member.size} bytes")
        yield member


def unpack_archive(archive: Item, wanted: list[Item], meter: Meter) -> None:
    """Fetches an archive once and extracts only what is wanted, in the archive's order."""
    if not archive.here():
        download(archive, meter)
    try:
        with archive_members(archive.path) as held:
            for _, member, item in sorted(
                ((*choose(held, i, archive), i) for i in wanted), key=lambda found: found[0]
            ):
                extract(member, item, meter)
    except DAMAGE as error:
        if getattr(error, "errno", None):  # the disk failed, the archive is not at fault
            raise
        cure = f"delete it and its entry in {registry.LOCK}, and fetch again"
        raise ReconError(
            f"{archive.path}: cannot be unpacked ({' '.join(str(error).split())}); {cure}"
        ) from error


def choose(held: list[Member], item: Item, archive: Item) -> tuple[int, Member]:
    """The member that has the item's path below its dataset, after its number in the archive.

    The member's name may have more folders before that path; they are ignored. Raises `ReconError`
    unless exactly one member fits, for a link, and for a name that leaves its folder.
    """
    path = item.key.split("/", 1)[1]
    found = [(n, m) for n, m in enumerate(held) if m.name == path] or [
        (n, m) for n, m in enumerate(held) if m.name.endswith(f"/{path}")
    ]
    if len(found) != 1:
        raise ReconError(
            f"{archive.path}: {len(found)} members are called {path}, one is needed; "
            "correct the path in data/registry.yaml"
        )
    member = found[0][1]
    if (
        not member.plain
        or member.name.startswith("/")
        or ".." in PurePosixPath(member.name.replace("\\", "/")).parts
    ):
        raise ReconError(
            f"{archive.path}: member {member.name!r} is a link or leaves its folder; "
            "do not trust this archive"
        )
    return found[0]


def extract(member: Member, item: Item, meter: Meter) -> None:
    """Extracts one member to its place; refuses one that holds more bytes than it declares."""
    ensure_space(item.path, member.size)
    with claimed(item, meter) as file:
        if item.here():
            return
        file.truncate(0)
        with member.open() as source:
            while size(file) <= member.size and (chunk := source.read(CHUNK)):
                file.write(chunk)
                meter.pause(0)
        wrong = (
            fault(part_of(item), item)
            if size(file) == member.size
            else f"does not have the {member.size} bytes that the archive declares"
        )
        if wrong is not None:
            file.truncate(0)
            raise ReconError(
                f"{item.key}: the member of {item.archive} {wrong}; "
                "delete the archive and fetch again"
            )
        settle(item, file)
