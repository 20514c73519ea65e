"""What data/registry.yaml says of a dataset: its entry, checked when it is read."""

import glob
import re
from collections.abc import Collection
from itertools import combinations, islice, product
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from recon.errors import ReconError
from recon.schema import Strict

SPLITS = ("train", "validation", "test")


def _quoted(value):
    """A name, which must be text: YAML reads 010 without quotes as the number eight."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text; write it in quotes")
    return value


def _inside(path: str) -> str:
    """A path that cannot leave the dataset's folder."""
    if not path or path.startswith("/") or "\\" in path or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} must lie below the dataset's folder")
    return path


def _finds(pattern: re.Pattern) -> re.Pattern:
    """A regular expression, which must have a group for the subject."""
    if "subject" not in pattern.groupindex:
        raise ValueError(f"{pattern.pattern!r} has no group (?P<subject>...)")
    return pattern


STEM = r"\w[\w.+-]*(/\w[\w.+-]*)*"  # may name a folder: multicoil_val/file1000976
# and, after a colon, a part of the file: a slice, an echo, a contrast
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
    # for sources that do not publish a sha256: checked on the first download
    md5: Md5 | None = None


class Archive(Known):
    """A zip or tar file that holds several subjects."""

    urls: list[Url] = Field(min_length=1)


class File(Known):
    """One subject's file."""

    name: Below | None = None  # where to put it, if the dataset's path is a glob
    urls: list[Url] = []  # instead of the dataset's mirrors
    archive: FileName | None = None  # the archive that holds it


class Splits(Strict):
    """Disjoint lists of subjects."""

    train: list[Subject] = []
    validation: list[Subject] = []
    test: list[Subject] = []


class Dataverse(Strict):
    """The Dataverse that lists a dataset's files.

    It is asked for names, sizes, hashes and addresses, so the registry does not have them.
    """

    server: Url
    doi: str
    # matches the names of the wanted files
    pattern: Annotated[re.Pattern, AfterValidator(_finds)]
    # how many of the sorted subjects go to each split, in this order
    counts: dict[Literal["train", "validation", "test"], Annotated[int, Field(ge=0)]]

    def splits(self, found: Collection[str], where: object) -> Splits:
        """The sorted subjects, distributed over the splits as ``counts`` says.

        Raises `ReconError`, which names ``where``, for another number of subjects.
        """
        order, total = iter(sorted(found)), sum(self.counts.values())
        if len(found) != total:
            raise ReconError(
                f"{where}: {len(found)} subjects found, not the {total} of data/registry.yaml; "
                "correct its pattern or counts"
            )
        return Splits(**{split: list(islice(order, self.counts.get(split, 0))) for split in SPLITS})


def overlap(splits: dict[str, list[str]], person: str | None = None) -> str | None:
    """A sentence that says what two splits share; None where they share nothing.

    Splits share a file if both name it or a part of it (a slice, an echo), with or without its
    folder. They share a person if ``person``, a regular expression, finds the same group
    ``person`` in subjects of both.
    """
    whom = {
        split: [(s, re.search(person or "$^", s)) for s in bare(subjects)]
        for split, subjects in splits.items()
    }
    for one, other in combinations(splits, 2):
        for (a, found), (b, other_found) in product(whom[one], whom[other]):
            if found and other_found and found["person"] == other_found["person"]:
                return f"{a} in {one} and {b} in {other} show one person"
        for a, b in product(volumes(splits[one]), volumes(splits[other])):
            if f"/{a}".endswith(f"/{b}") or f"/{b}".endswith(f"/{a}"):
                return f"the file of {a} is in {one} and in {other}"
    return None


class Entry(Strict):
    """One entry of the registry."""

    title: str
    papers: list[Literal["A", "B", "C"]]
    about: str
    source: Url
    licence: str
    access: Literal["open", "agreement", "local"]
    steps: list[str] = []  # what a person has to do to get the files
    shape: tuple[int, int, int] | None = None
    voxel: tuple[float, float, float] | None = None  # mm
    coils: int | None = Field(None, ge=1)
    # with {subject}, below the dataset's folder; a glob where releases differ: its * also matches
    # folders
    path: Below
    # regular expression that finds the person in a subject's name, where it is a part of the name
    person: str | None = None
    mirrors: list[Url] = []  # with {subject}, tried in order
    dataverse: Dataverse | None = None  # gives files and splits, which then stay empty here
    files: dict[Stem, File] = {}
    archives: dict[FileName, Archive] = {}
    # empty where no list is published: then every file that matches the path belongs to the dataset
    splits: Splits

    @model_validator(mode="after")
    def _consistent(self):
        subjects = self.subjects()
        twice = sorted({s for s in subjects if subjects.count(s) > 1})
        if twice:
            raise ValueError(f"subject {twice[0]} is twice in train, validation and test")
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
                f"access is {self.access}: steps must say what a person does to get the files"
            )
        return self

    def _sides_are_apart(self):
        """Refuses splits that share a file or a person.

        Otherwise a slice, an echo, a copy in another folder or a second scan of a tested person
        could be trained on.
        """
        shared = overlap({split: self.subjects(split) for split in SPLITS}, self.person)
        if shared:
            raise ValueError(shared)

    def _can_be_fetched(self):
        """Refuses an open dataset in which a subject lacks a definite path or a source.

        A Dataverse gives both.
        """
        if glob.has_magic(self.path) and self.dataverse is None:
            raise ValueError(
                f"path {self.path} has glob characters, which only agreement and local datasets "
                "and those of a Dataverse may have"
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
        """The names of all files that the entry lists; those outside the splits come last.

        Names are without what follows a colon.
        """
        return list(dict.fromkeys([*bare(self.subjects()), *self.files]))

    def complete(self) -> bool:
        """Whether all subjects are listed.

        If not, other files that match the path belong to the dataset, too.
        """
        return bool(
            self.files or self.splits.train or (self.access == "open" and self.dataverse is None)
        )

    def subjects(self, split: str = "all") -> list[str]:
        """The subjects of a split, or of "all" of them.

        "all" begins with the test subjects, as a first look needs these.
        """
        if split == "all":
            return [*self.splits.test, *self.splits.validation, *self.splits.train]
        return list(getattr(self.splits, split))


def volumes(subjects: Collection[str]) -> list[str]:
    """The names of the subjects' volumes, each once: without an echo or a slice of it."""
    return list(dict.fromkeys(name.partition("@")[0] for name in bare(subjects)))


def bare(subjects: Collection[str]) -> list[str]:
    """The names of the subjects' files, each once: without what follows a colon."""
    return list(dict.fromkeys(s.partition(":")[0] for s in subjects))
