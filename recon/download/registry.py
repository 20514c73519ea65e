"""The datasets of the papers: what data/registry.yaml says, where files lie, and their hashes.

A newcomer adds an entry in data/registry.yaml; `Entry` is its schema.
"""

import fnmatch
import glob
import json
import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from recon.download.entries import SUBJECT, Archive, Entry, File, Name, Stem, bare
from recon.errors import ReconError
from recon.files import alone, write_text
from recon.schema import ROOT, read_yaml

REGISTRY = ROOT / "data" / "registry.yaml"
# below the data root: the hashes of first downloads, where no hash is published
LOCK = "registry.lock.json"
# in a dataset's folder: its list of files, as the Dataverse gave it
LISTING = "listing.json"


@dataclass(frozen=True)
class Item:
    """One file: where it lies, where it comes from, and what is known of its content."""

    key: str  # dataset/path: its name in messages and in the lock
    path: Path
    urls: tuple[str, ...]
    bytes: int | None
    sha256: str | None
    md5: str | None
    authority: str  # the name of the file that gives size and hashes
    archive: str | None = None

    def here(self) -> bool:
        """Whether a file with the right size is in place.

        `recon fetch --check` also reads its content.
        """
        return (
            self.path.is_file()
            and self.path.stat().st_size > 0
            and self.bytes in (None, self.path.stat().st_size)
        )


@lru_cache
def load(path: Path) -> dict[str, Entry]:
    """Reads a registry; raises `ReconError` with its first mistake in one line."""
    return read_yaml(path, dict[Name, Entry])


def datasets() -> dict[str, Entry]:
    """All datasets by name."""
    return {name: _surveyed(name, dataset) for name, dataset in load(REGISTRY).items()}


def lookup(name: str) -> Entry:
    """The dataset called ``name``."""
    known = load(REGISTRY)
    if name not in known:
        raise ReconError(
            f"no dataset is called {name!r}; data/registry.yaml has {', '.join(sorted(known))}"
        )
    return _surveyed(name, known[name])


def _surveyed(name: str, dataset: Entry) -> Entry:
    """The dataset with the files and splits of its listing.

    Without a listing, they come from the files that were put in place by hand, if all are here.
    """
    source, path = dataset.dataverse, data_root() / name / LISTING
    if source is None:
        return dataset
    if path.exists():
        files = read_yaml(path, dict[Stem, File])  # JSON is YAML
    else:
        files = {subject: File() for _, subject in _found(name, dataset)}
        if len(files) != sum(source.counts.values()):
            return dataset
    return dataset.model_copy(update={"files": files, "splits": source.splits(files, path)})


def data_root() -> Path:
    """The folder of all datasets: the environment variable DATA_ROOT, else data/downloads."""
    return Path(os.environ.get("DATA_ROOT") or ROOT / "data" / "downloads").expanduser().absolute()


def items(name: str, subjects: list[str]) -> list[Item]:
    """The files of these subjects, in this order and each once.

    Hashes come from the registry, else from the lock. Raises `ReconError` for an unknown subject.
    """
    dataset, lock, out = lookup(name), remembered(), []
    tree, listed = _tree(name, dataset.path), dataset.listed()
    known = set(listed) if dataset.complete() else None
    unknown = [
        s
        for s in subjects
        if not re.fullmatch(SUBJECT, s) or (known is not None and s.partition(":")[0] not in known)
    ]
    if unknown:
        raise ReconError(
            f"{name}: no subject is called {unknown[0]!r}; "
            f"data/registry.yaml has {', '.join(listed[:30]) or 'no list'}"
        )
    for subject in bare(subjects):
        file = dataset.files.get(subject, File())
        urls = file.urls or [m.replace("{subject}", subject) for m in dataset.mirrors]
        place = (
            _place(name, dataset.path, subject, tree)
            or file.name
            or dataset.path.replace("{subject}", subject)
        )
        out.append(_item(f"{name}/{place}", file.model_copy(update={"urls": urls}), lock))
    return out


def every(name: str) -> list[Item]:
    """The files of all listed subjects.

    Where the list is not complete, other files that are here and match the path are added.
    """
    dataset, lock = lookup(name), remembered()
    named = items(name, dataset.listed())
    keys = {item.key for item in named}
    others = [] if dataset.complete() else [f"{name}/{place}" for place, _ in _found(name, dataset)]
    return named + [_item(key, File(), lock) for key in others if key not in keys]


def here(name: str) -> list[str]:
    """The subjects that have their file here, first those that the registry lists.

    An unlisted subject is left out if two files have its name, as it is not known which is meant.
    """
    dataset = lookup(name)
    named = dataset.listed()
    out = [subject for subject, item in zip(named, items(name, named), strict=True) if item.here()]
    others = Counter(
        subject for _, subject in ([] if dataset.complete() else _found(name, dataset))
    )
    return out + [subject for subject, files in others.items() if files == 1 and subject not in out]


def archives(name: str) -> list[Item]:
    """The archives of a dataset; they lie in its folder."""
    lock = remembered()
    return [
        _item(f"{name}/{file}", archive, lock) for file, archive in lookup(name).archives.items()
    ]


def _item(key: str, known: File | Archive, lock: dict[str, dict]) -> Item:
    """The item of a file; size and hash come from the lock where the registry has no hash."""
    size, sha256, authority = (
        known.bytes,
        known.sha256,
        LISTING if getattr(known, "name", None) else "registry.yaml",
    )
    if sha256 is None and key in lock:
        size, sha256, authority = lock[key]["bytes"], lock[key]["sha256"], LOCK
    return Item(
        key,
        data_root() / key,
        tuple(known.urls),
        size,
        sha256,
        known.md5,
        authority,
        getattr(known, "archive", None),
    )


def _place(name: str, pattern: str, subject: str, tree: list[str]) -> str | None:
    """The path of a subject's file below the dataset's folder.

    A path with glob characters is looked up in ``tree``; None where no file matches. Raises
    `ReconError` where several match.
    """
    path = pattern.replace("{subject}", subject)
    if not glob.has_magic(path):
        return path
    found = _matching(path, tree)
    if len(found) > 1:
        where = f"{len(found)} files in {data_root() / name} match {path}: {found[0]}, {found[1]}"
        raise ReconError(f"{name}: {where}; keep one of them, or name its folder in the subject")
    return found[0] if found else None


def _tree(name: str, pattern: str) -> list[str]:
    """All paths below a dataset's folder, read once for all subjects.

    Empty if ``pattern`` has no glob characters, as then the paths are not needed.
    """
    folder = data_root() / name
    if not glob.has_magic(pattern):
        return []
    return sorted(
        Path(at, file).relative_to(folder).as_posix()
        for at, _, files in os.walk(folder, followlinks=True)
        for file in files
    )


def _found(name: str, dataset: Entry) -> list[tuple[str, str]]:
    """The files here that match the dataset's path, and their subjects."""
    pattern = re.compile(
        fnmatch.translate(PurePosixPath(dataset.path).name.replace("{subject}", "SUBJECT")).replace(
            "SUBJECT", "(.+?)"
        )
    )
    paths = _matching(dataset.path.replace("{subject}", "*"), _tree(name, dataset.path))
    return [
        (path, found[1]) for path in paths if (found := pattern.match(PurePosixPath(path).name))
    ]


def _matching(pattern: str, tree: list[str]) -> list[str]:
    """The paths in ``tree`` that match a glob; **/ matches any folder, or none.

    Unfinished downloads do not match.
    """
    anywhere = "*/" + pattern.removeprefix("**/") if pattern.startswith("**/") else "/" + pattern
    return [
        path
        for path in tree
        if fnmatch.fnmatchcase("/" + path, anywhere) and not path.endswith((".part", ".part.json"))
    ]


def remembered() -> dict[str, dict]:
    """The lock: sizes and hashes of first downloads, as {dataset/path: {bytes, sha256}}."""
    path = data_root() / LOCK
    try:
        entries = json.loads(path.read_text()) if path.exists() else {}
        if any(
            not re.fullmatch("[0-9a-f]{64}", e["sha256"]) or not isinstance(e["bytes"], int)
            for e in entries.values()
        ):
            raise ValueError("an entry has no hash or size")
        return entries
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReconError(
            f"{path}: damaged ({error}); restore it, or delete it to trust the files that are there"
        ) from error


def remember(key: str, size: int, sha256: str) -> None:
    """Adds a first download to the lock.

    Several processes may do so at once, and the file is never half-written. Raises `ReconError`
    where the lock has another size or hash for the file.
    """
    path, entry = data_root() / LOCK, {"bytes": size, "sha256": sha256}
    with alone(data_root() / f".{LOCK}.flock"):
        entries = remembered()
        if entries.setdefault(key, entry) != entry:
            raise ReconError(
                f"{key}: not the file of the first download; "
                f"if the new one is right, delete its entry in {path}"
            )
        write_text(path, json.dumps(entries, indent=1, sort_keys=True) + "\n")
