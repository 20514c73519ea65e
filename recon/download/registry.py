"""The datasets of the papers: what data/registry.yaml says of each, where its files lie, and which
hashes they have.
"""

import fnmatch
import glob
import gzip
import json
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice, product
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import h5py
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from recon.errors import ReconError
from recon.files import alone, digest, write_text
from recon.schema import ROOT, Strict, read_yaml

REGISTRY = ROOT / "data" / "registry.yaml"
# below the data root: hashes of first downloads, where none is published
LOCK = "registry.lock.json"
# in a dataset's folder: its files, as the Dataverse that has them lists them
LISTING = "listing.json"
SPLITS = ("train", "validation", "test")
# What readers raise on a damaged file.
DAMAGE = (
    OSError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    tarfile.TarError,
)


def _quoted(value):
    """YAML reads 010 as the number eight: names are text."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; write it in quotes")
    return value


def _inside(path: str) -> str:
    """A path that cannot leave the dataset's folder."""
    if not path or path.startswith("/") or "\\" in path or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} must lie below the dataset's folder")
    return path


def _finds(pattern: re.Pattern) -> re.Pattern:
    """A regular expression that finds the subject."""
    if "subject" not in pattern.groupindex:
        raise ValueError(f"{pattern.pattern!r} has no group (?P<subject>...)")
    return pattern


STEM = r"\w[\w.+-]*(/\w[\w.+-]*)*"  # may name a folder: multicoil_val/file1000976
# and, after a colon, what of the file is meant: a slice, an echo, a contrast
SUBJECT = rf"^{STEM}(:\w[\w.+-]*)?$"
Stem = Annotated[str, BeforeValidator(_quoted), Field(pattern=f"^{STEM}$")]
Subject = Annotated[str, BeforeValidator(_quoted), Field(pattern=SUBJECT)]
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Below = Annotated[str, AfterValidator(_inside)]
Name = Annotated[str, BeforeValidator(_quoted), Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
FileName = Annotated[
    str,
    BeforeValidator(_quoted),
    Field(pattern=r"^\w[\w.+-]*\.(zip|tar|tar\.gz|tgz|tar\.xz|tar\.bz2)$"),
]


class Known(Strict):
    """What is known of the content of a file."""

    bytes: int | None = Field(None, gt=0)
    sha256: Sha256 | None = None
    # where the source publishes nothing better: checked on the first download
    md5: Md5 | None = None


class Archive(Known):
    """A zip or tar file that holds several subjects."""

    urls: list[Url] = Field(min_length=1)


class File(Known):
    """One subject's file."""

    name: Below | None = None  # where it comes to lie, if the dataset's path is a glob
    urls: list[Url] = []  # instead of the dataset's mirrors
    archive: FileName | None = None  # the archive that holds it


class Splits(Strict):
    """Disjoint subjects."""

    train: list[Subject] = []
    validation: list[Subject] = []
    test: list[Subject] = []


class Dataverse(Strict):
    """Where a dataset's files are listed: names, sizes, hashes and addresses are asked for, not
    written down here.
    """

    server: Url
    doi: str
    # of the names of the files that are wanted
    pattern: Annotated[re.Pattern, AfterValidator(_finds)]
    # in this order over the sorted subjects
    counts: dict[Literal["train", "validation", "test"], Annotated[int, Field(ge=0)]]

    def splits(self, found: Collection[str], where: object) -> Splits:
        """The sorted subjects, dealt out; any other number of them than that of ``counts`` is
        refused.
        """
        order, total = iter(sorted(found)), sum(self.counts.values())
        if len(found) != total:
            raise ReconError(
                f"{where}: {len(found)} subjects found, not the {total} of data/registry.yaml; correct its pattern or counts"
            )
        return Splits(**{split: list(islice(order, self.counts.get(split, 0))) for split in SPLITS})


def overlap(splits: dict[str, list[str]], person: str | None = None) -> str | None:
    """What two splits share: a file, through slices, echoes or folders, or a person; None where
    they are apart.
    """
    whom = {
        split: [(s, re.search(person or "$^", s)) for s in bare(subjects)]
        for split, subjects in splits.items()
    }
    for one, other in combinations(splits, 2):
        for (a, found), (b, other_found) in product(whom[one], whom[other]):
            if found and other_found and found["person"] == other_found["person"]:
                return f"{a} in {one} and {b} in {other} show one person"
        for a, b in product(bare(splits[one]), bare(splits[other])):
            if f"/{a}".endswith(f"/{b}") or f"/{b}".endswith(f"/{a}"):
                return f"the file of {a} stands in {one} and in {other}"
    return None


class Entry(Strict):
    """One entry of the registry."""

    title: str
    papers: list[Literal["A", "B", "C"]]
    about: str
    source: Url
    licence: str
    access: Literal["open", "agreement", "local"]
    steps: list[str] = []  # what a person does before the files can be had
    shape: tuple[int, int, int] | None = None
    voxel: tuple[float, float, float] | None = None  # mm
    coils: int | None = Field(None, ge=1)
    # with {subject}, below the dataset's folder; where releases differ a glob, whose * crosses
    # folders
    path: Below
    # regular expression that finds whom a subject's name means, where that is not all of it
    person: str | None = None
    mirrors: list[Url] = []  # with {subject}, tried in order
    dataverse: Dataverse | None = None  # gives files and splits, which then stay empty here
    files: dict[Stem, File] = {}
    archives: dict[FileName, Archive] = {}
    # empty where no list is published: then any file that matches the path belongs to the set
    splits: Splits

    @model_validator(mode="after")
    def _consistent(self):
        subjects = self.subjects()
        twice = sorted({s for s in subjects if subjects.count(s) > 1})
        if twice:
            raise ValueError(f"subject {twice[0]} stands twice in train, validation and test")
        unlisted = [s for s in bare(subjects) if self.files and s not in self.files]
        if unlisted:
            raise ValueError(f"subject {unlisted[0]} of the splits is not under files")
        for pattern in [self.path, *self.mirrors]:
            if "{subject}" not in pattern and len({*bare(subjects), *self.files}) > 1:
                raise ValueError(
                    f"{pattern} gives every subject the same file; it needs {{subject}}"
                )
        self._sides_are_apart()
        if self.access == "open":
            self._can_be_fetched()
        elif not self.steps:
            raise ValueError(
                f"access is {self.access}: steps must say what a person does to have the files"
            )
        return self

    def _sides_are_apart(self):
        """Nothing of a volume that is tested, no slice, echo, copy in another folder or second scan
        of the person, is trained on.
        """
        shared = overlap({split: self.subjects(split) for split in SPLITS}, self.person)
        if shared:
            raise ValueError(shared)

    def _can_be_fetched(self):
        """Open datasets need a definite path and a source for every subject, if no listing gives
        them.
        """
        if glob.has_magic(self.path) and self.dataverse is None:
            raise ValueError(
                f"path {self.path} has glob characters, which only agreement and local sets and those of a Dataverse may have"
            )
        for subject in {*bare(self.subjects()), *self.files}:
            file = self.files.get(subject, File())
            if file.archive and file.archive not in self.archives:
                raise ValueError(
                    f"archive {file.archive} of subject {subject} is not under archives"
                )
            if not (file.archive or file.urls or self.mirrors):
                raise ValueError(
                    f"access is open, but subject {subject} has no mirrors, urls or archive"
                )

    def listed(self) -> list[str]:
        """Every subject that has a file and is named, without selectors, those outside the splits
        last.
        """
        return list(dict.fromkeys([*bare(self.subjects()), *self.files]))

    def complete(self) -> bool:
        """Whether all subjects are named; else other files that match the path belong to the set,
        too.
        """
        return bool(
            self.files or self.splits.train or (self.access == "open" and self.dataverse is None)
        )

    def subjects(self, split: str = "all") -> list[str]:
        """The subjects of a split; all of them begin with the test subjects, which a first look
        needs.
        """
        if split == "all":
            return [*self.splits.test, *self.splits.validation, *self.splits.train]
        return list(getattr(self.splits, split))


def bare(subjects: Collection[str]) -> list[str]:
    """The subjects' files: without what is selected of them, each once."""
    return list(dict.fromkeys(s.partition(":")[0] for s in subjects))


@dataclass(frozen=True)
class Item:
    """One file: where it lies, where it comes from, and what is known of its content."""

    key: str  # dataset/path: its name in messages and in the lock
    path: Path
    urls: tuple[str, ...]
    bytes: int | None
    sha256: str | None
    md5: str | None
    authority: str  # the file that says so
    archive: str | None = None

    def here(self) -> bool:
        """Whether the file is in place, as far as its size tells; `recon fetch --check` reads the
        content.
        """
        return (
            self.path.is_file()
            and self.path.stat().st_size > 0
            and self.bytes in (None, self.path.stat().st_size)
        )


@lru_cache
def load(path: Path) -> dict[str, Entry]:
    """Reads a registry; the first mistake in it is named in one line."""
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
    """The dataset with the files and splits of its listing; without one, of the files that were put
    here by hand, if all were.
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
    """The folder of all datasets: the environment variable DATA_ROOT, else data/downloads in the
    repository.
    """
    return Path(os.environ.get("DATA_ROOT") or ROOT / "data" / "downloads").expanduser().absolute()


def items(name: str, subjects: list[str]) -> list[Item]:
    """The files of these subjects, in this order and each once; hashes come from the registry, else
    from the lock.
    """
    dataset, lock, out = lookup(name), remembered(), []
    tree, listed = _tree(name, dataset.path), dataset.listed()
    known = set(listed) if dataset.complete() else None
    unknown = [
        s
        for s in subjects
        if not re.match(SUBJECT, s) or (known is not None and s.partition(":")[0] not in known)
    ]
    if unknown:
        raise ReconError(
            f"{name}: no subject is called {unknown[0]!r}; data/registry.yaml has {', '.join(listed[:30]) or 'no list'}"
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
    """The files of all subjects that are named and, where that is not all of the set, those that
    are here.
    """
    dataset, lock = lookup(name), remembered()
    named = items(name, dataset.listed())
    keys = {item.key for item in named}
    others = [] if dataset.complete() else [f"{name}/{place}" for place, _ in _found(name, dataset)]
    return named + [_item(key, File(), lock) for key in others if key not in keys]


def here(name: str) -> list[str]:
    """The subjects whose files are here, those that the registry names first; a name that two files
    share tells of neither.
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
    """An item with the registry's knowledge, and the lock's where the registry has none."""
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
    """The path of a subject's file below the dataset's folder; glob characters are resolved by what
    is there, if it is.
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
    """All paths below a dataset's folder, read once for all subjects; none where the path of every
    file is definite.
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
    """The paths that a glob means; **/ is any folder, or none."""
    anywhere = "*/" + pattern.removeprefix("**/") if pattern.startswith("**/") else "/" + pattern
    return [
        path
        for path in tree
        if fnmatch.fnmatchcase("/" + path, anywhere) and not path.endswith((".part", ".part.json"))
    ]


def remembered() -> dict[str, dict]:
    """The lock: {dataset/path: {bytes, sha256}} of first downloads."""
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
    """Adds a first download to the lock; safe between processes, and never a half-written file."""
    path, entry = data_root() / LOCK, {"bytes": size, "sha256": sha256}
    with alone(data_root() / f".{LOCK}.flock"):
        entries = remembered()
        if entries.setdefault(key, entry) != entry:
            raise ReconError(
                f"{key}: not the file of the first download; if the new one is right, delete its entry in {path}"
            )
        write_text(path, json.dumps(entries, indent=1, sort_keys=True) + "\n")


def fault(path: Path, item: Item) -> str | None:
    """What is wrong with the content of a file that should be ``item``; None when it is right."""
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
    """Opens a file as what ``name`` ends in and raises what its reader raises; other endings pass."""
    if name.endswith((".h5", ".hdf5")):
        h5py.File(path, locking=False).close()  # its lock would meet our own
    elif name.endswith((".nii", ".nii.gz")):
        with (gzip.open if name.endswith(".gz") else open)(path, "rb") as file:
            head = file.read(348)
        if head[344:347] not in (b"n+1", b"ni1") and head[4:7] not in (b"n+2", b"ni2"):
            raise OSError("no NIfTI header")
    elif name.endswith(".zip"):
        zipfile.ZipFile(path).close()
    elif name.endswith((".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")):
        tarfile.open(path).close()
