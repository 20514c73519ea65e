"""Fetching the registry's datasets: what is missing, downloading, unpacking and checking.

Files and archives are downloaded by `recon.download.transport`: a few at once (``jobs``, by default
JOBS), each over one connection.
"""

import json
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from recon.download import registry
from recon.download.archives import unpack_archive
from recon.download.entries import Dataverse, File, bare
from recon.download.faults import fault
from recon.download.registry import Item
from recon.download.sources import Refused, Session
from recon.download.transport import (
    AGENT,
    TIMEOUT_S,
    Meter,
    download,
    ensure_space,
    human,
    part_of,
)
from recon.errors import ReconError
from recon.files import write_text

JOBS, MOST_JOBS = 2, 4


@dataclass(frozen=True)
class Missing:
    """The files that a run lacks, and how to get them."""

    files: list[str]
    bytes: int | None  # to download; None where unknown
    how: str


def survey(name: str) -> None:
    """Asks a Dataverse once which files a dataset has, and stores the list.

    The list is stored only if it has every subject exactly once. Raises `ReconError` where the
    answer cannot be used.
    """
    dataset = registry.lookup(name)
    source, path = dataset.dataverse, registry.data_root() / name / registry.LISTING
    if source is None or dataset.listed():
        return
    # Without a limit, the answer has all files. Without an account, the latest version is the last
    # that was published.
    versions = f"{source.server}/api/datasets/:persistentId/versions"
    url = f"{versions}/:latest/files?persistentId={source.doi}"
    try:
        with (
            Session([url], hashed=False) as session,
            session.get(url, headers={"User-Agent": AGENT}, timeout=TIMEOUT_S) as reply,
        ):
            reply.raise_for_status()
            files = listing(source, reply.json())
        source.splits(files, url)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(
            path,
            json.dumps(
                {s: f.model_dump(exclude_defaults=True) for s, f in sorted(files.items())}, indent=1
            )
            + "\n",
        )
    # requests' errors are OSErrors
    except (Refused, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        cure = f"try again later, or download by hand from {dataset.source}"
        raise ReconError(f"{name}: no list of files from {url} ({why}); {cure}") from error


def listing(source: Dataverse, answer: Any) -> dict[str, File]:
    """The wanted files in the answer of a Dataverse, by subject.

    The answer's format is in guides.dataverse.org, Native API, "List Files in a Dataset".
    """
    rows, out = answer["data"], {}
    # only newer servers give totalCount
    if answer["status"] != "OK" or len(rows) < answer.get("totalCount", 0):
        raise ValueError(
            f"status {answer['status']}, {len(rows)} of {answer.get('totalCount')} files"
        )
    for row in rows:
        name, data = row["label"], row["dataFile"]
        found = source.pattern.fullmatch(name)
        if found is None:
            continue
        if found["subject"] in out:
            raise ValueError(f"{name} and {out[found['subject']].name} are of one subject")
        # older servers give only an md5
        check = data.get("checksum") or {"type": "MD5", "value": data.get("md5")}
        hashes = {
            kind: check["value"]
            for kind in ("md5", "sha256")
            if check["type"].replace("-", "").lower() == kind
        }
        urls = [f"{source.server}/api/access/datafile/{data['id']}"]
        out[found["subject"]] = File(name=name, bytes=data["filesize"], urls=urls, **hashes)
    return out


def missing(name: str, subjects: list[str]) -> Missing:
    """The files of these subjects that are not here, and how to get them.

    Without subjects, and while the Dataverse's list of files is not here, the list is missing.
    """
    dataset = registry.lookup(name)
    if dataset.dataverse and not (subjects or dataset.listed()):
        return Missing(
            [str(registry.data_root() / name / registry.LISTING)],
            None,
            f"run: python -m recon fetch {name}",
        )
    absent = {
        s: i
        for s, i in zip(bare(subjects), registry.items(name, subjects), strict=True)
        if not i.here()
    }
    loads = transfers(name, list(absent.values()))
    unknown = any(i.bytes is None for i in loads)
    if dataset.access == "open":
        # with more subjects the line would be too long to read
        few = f" --subjects {' '.join(absent)}" if len(absent) <= 4 else ""
        how = f"run: python -m recon fetch {name}{few}"
    else:
        how = (
            f"run: python -m recon fetch {name}, which says what to sign and where the files belong"
        )
    files = [str(i.path) for i in absent.values()]
    return Missing(
        files,
        None if unknown else sum(i.bytes for i in loads),
        how if files else "nothing is missing",
    )


def transfers(name: str, lacking: list[Item]) -> list[Item]:
    """What has to be downloaded: the files, and once each archive that holds some of them."""
    held = {f"{name}/{i.archive}" for i in lacking if i.archive}
    return [i for i in lacking if not i.archive] + [
        a for a in registry.archives(name) if a.key in held and not a.here()
    ]


def fetch(name: str, subjects: list[str], jobs: int = JOBS) -> None:
    """Downloads the files of these subjects, at most ``jobs`` at once.

    For a dataset under an agreement it prints what to do, and checks the files that are here.
    """
    if not 1 <= jobs <= MOST_JOBS:
        raise ReconError(
            f"--jobs {jobs}: give 1 to {MOST_JOBS}; more connections are a burden to the servers"
        )
    dataset = registry.lookup(name)
    if dataset.access != "open":
        return by_hand(name, subjects)
    wanted = registry.items(name, subjects)
    lacking = [i for i in wanted if not i.here()]
    loads = transfers(name, lacking)
    todo = sum(
        max(0, (i.bytes or 0) - (part_of(i).stat().st_size if part_of(i).exists() else 0))
        for i in loads
    )
    ensure_space(
        registry.data_root() / name, todo + sum(i.bytes or 0 for i in lacking if i.archive)
    )
    meter = Meter(name, todo if all(i.bytes for i in loads) else None)
    tasks = [partial(download, i, meter) for i in lacking if not i.archive]
    for archive in registry.archives(name):
        inside = [i for i in lacking if i.archive and archive.key == f"{name}/{i.archive}"]
        tasks += [partial(unpack_archive, archive, inside, meter)] if inside else []
    failures = [f for f in run(tasks, jobs, meter) if f is not None]
    if failures:
        also = f" (and {len(failures) - 1} more failed)" if len(failures) > 1 else ""
        raise ReconError(f"{failures[0]}{also}")
    print(
        f"{name}: {len(wanted)} of {len(wanted)} volumes in {registry.data_root() / name}; "
        f"{dataset.licence}"
    )


def run(tasks: list[Callable], jobs: int, meter: Meter) -> list[str | None]:
    """Runs all tasks, ``jobs`` at once; a failure does not stop the others.

    Returns the error of each task, None for those that succeeded.
    """
    with ThreadPoolExecutor(jobs) as pool:
        try:
            return [f.result() for f in [pool.submit(outcome, task) for task in tasks]]
        except KeyboardInterrupt:
            meter.stopped.set()
            pool.shutdown(cancel_futures=True)
            raise ReconError("interrupted; the same command continues where it stopped") from None
        finally:
            if meter.bar is not None:
                meter.bar.close()


def outcome(task: Callable) -> str | None:
    """Runs a task and returns its error as one line, or None."""
    try:
        return task()
    except ReconError as error:
        return str(error)
    except OSError as error:  # a full disk, a folder without permission to write
        return (
            f"{error.filename or registry.data_root()}: {error.strerror or error}; "
            "the part is kept, run again when this is repaired"
        )


def by_hand(name: str, subjects: list[str]) -> None:
    """Prints what a person has to do to get the files, and checks each file that is here.

    Raises `ReconError` where a file is missing or wrong.
    """
    dataset, folder = registry.lookup(name), registry.data_root() / name
    print(f"{dataset.title} ({dataset.source}; {dataset.licence})")
    print("\n".join(f"{number}. {step}" for number, step in enumerate(dataset.steps, 1)))
    print(f"Files expected in {folder}:")
    states = {
        i.key: state(i)
        for i in (registry.items(name, subjects) if subjects else registry.every(name))
    }
    print(
        "\n".join(f"  {key.split('/', 1)[1]}: {text}" for key, text in states.items())
        or f"  {dataset.path}"
    )
    if not states:
        raise ReconError(
            f"{name}: no file in {folder} matches {dataset.path}; follow the steps printed above"
        )
    bad = [key for key, text in states.items() if not text.startswith("ok")]
    if bad:
        raise ReconError(
            f"{name}: {len(bad)} of {len(states)} files are missing or wrong, first {bad[0]}; "
            "follow the steps printed above"
        )


def state(item: Item) -> str:
    """Says "ok", with or without a remark, or what is wrong with a file."""
    if not item.path.is_file():
        return "unfinished download" if part_of(item).exists() else "missing"
    wrong = fault(item.path, item)
    return wrong or ("ok" if item.sha256 or item.md5 else "ok (it opens; no hash to compare with)")


def check(names: list[str]) -> None:
    """Reads every file that is here and compares it with its known size and hash.

    They come from the registry, else from the first download. Prints the state of every file.
    """
    wrong = []
    for name in names:
        every = registry.every(name) + registry.archives(name)
        here = [i for i in every if i.path.is_file() or part_of(i).exists()]
        for item in here:
            text = state(item)
            print(f"{item.key}: {text}")
            wrong += [] if text.startswith("ok") else [f"{item.path}: {text}"]
        print(f"{name}: {len(here)} of {len(every)} files here")
    if wrong:
        raise ReconError(
            f"{wrong[0]} ({len(wrong)} wrong in all); delete what is wrong and fetch it again"
        )


def extent(name: str, lack: Missing) -> str:
    """The size of the missing files in words.

    Where no size is published, it is estimated from the registry's matrix and number of coils.
    """
    entry = registry.lookup(name)
    if lack.bytes is not None:
        return human(lack.bytes)
    if entry.shape is None or entry.coils is None:
        return "of unknown size"
    return f"about {human(8 * len(lack.files) * entry.coils * math.prod(entry.shape))}"


def table() -> str:
    """A table of the datasets: access, papers, volumes here and in all, and what is missing."""
    rows = [("dataset", "access", "papers", "volumes", "missing")]
    for name, dataset in registry.datasets().items():
        lack = missing(name, dataset.listed())
        here = sum(i.here() for i in registry.every(name))
        total = len(dataset.listed()) if dataset.complete() else "?"
        todo = (
            lack.how
            if dataset.dataverse and not dataset.listed()
            else "?"
            if total == "?"
            else extent(name, lack)
        )
        rows.append((name, dataset.access, "".join(dataset.papers), f"{here}/{total}", todo))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
