"""One file over HTTP: resumed, checked, and in place whole or not at all.

A file that arrives is NAME.part, beside the final place, with a note NAME.part.json (source and
version). It is renamed when its size and hash are right. A server's Retry-After is obeyed. Where a
file may come from is said in `recon.download.sources`.

This is our own code because pooch 1.9 neither resumes a broken download nor keeps its part. The
part is locked with flock and not with filelock, because flock's lock lies on the part itself,
follows it when it is renamed and leaves no lock file behind, while filelock locks a file of its
own.
"""

import fcntl
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

import requests
import urllib3
from tqdm import tqdm

from recon import __version__
from recon.download import registry
from recon.download.faults import fault
from recon.download.registry import Item
from recon.download.sources import Refused, Session
from recon.errors import ReconError
from recon.files import digest, write_text
from recon.progress import LOG_EVERY_S

TRIES = 5  # of one source, in a row without progress
PROGRESS = 2**20  # bytes that count as progress
BACKOFF_S = 1.0  # pause after the first failure; doubles
PATIENCE_S = 300.0  # the longest Retry-After that is obeyed
TIMEOUT_S = (15.0, 60.0)  # to connect, and between two pieces of an answer
CHUNK = 2**18  # bytes written at a time
AGENT = f"recon/{__version__} (MRI reconstruction; python-requests/{requests.__version__})"
HOPELESS = (
    requests.TooManyRedirects,
    requests.exceptions.SSLError,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
)
TRANSIENT = (requests.RequestException, urllib3.exceptions.HTTPError)


class Again(Exception):
    """A failure that may pass; ``wait`` is how many seconds the server asks to wait."""

    def __init__(self, why: str, wait: float | None = None):
        super().__init__(why)
        self.wait = wait


class Meter:
    """Progress of all files together, and the event that stops them.

    Bytes are shown as a bar on a terminal, and as a log line every half minute elsewhere.
    """

    def __init__(self, label: str, total: int | None):
        self.label, self.total, self.done = label, total, 0
        self.begun = self.last = time.monotonic()
        self.stopped, self.lock = threading.Event(), threading.Lock()
        self.bar = (
            tqdm(desc=label, total=total, unit="B", unit_scale=True, leave=False)
            if sys.stderr.isatty()
            else None
        )

    def add(self, arrived: int) -> None:
        """Counts bytes that have arrived."""
        with self.lock:
            self.done += arrived
            if self.bar is not None:
                self.bar.update(arrived)
            elif time.monotonic() - self.last > LOG_EVERY_S:
                self.last = time.monotonic()
                left = (self.last - self.begun) * ((self.total or 0) / max(self.done, 1) - 1)
                ahead = f" of {human(self.total)}, {left / 60:.1f} min left" if left > 0 else ""
                print(f"{self.label}: {human(self.done)}{ahead}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Prints a line without breaking the bar."""
        tqdm.write(text, file=sys.stderr)

    def pause(self, seconds: float) -> None:
        """Waits; raises `ReconError` if the run is being stopped."""
        if self.stopped.wait(seconds):
            raise ReconError("interrupted")


# One file over HTTP


def download(item: Item, meter: Meter) -> None:
    """Puts one file in place, whole and checked, or not at all.

    Sources are tried in turn. If there is a part of an earlier run, its source comes first.
    """
    reasons = []
    with claimed(item, meter) as file:
        if item.here():  # another process has just put it in place
            return
        begun_at = read_note(item).get("url")
        for url in sorted(item.urls, key=lambda u: u != begun_at):
            try:
                deliver(url, item, file, meter)
                return settle(item, file)
            except Refused as why:
                reasons.append(f"{url} {why}")
    raise ReconError(
        f"{item.key}: {'; '.join(reasons)}; try again later, or put the file at {item.path} by hand"
    )


@contextmanager
def claimed(item: Item, meter: Meter) -> Iterator[Any]:
    """The open part file, locked for this thread; waits while another one has it.

    At the end, a part that cannot be continued is removed.
    """
    part = part_of(item)
    part.parent.mkdir(parents=True, exist_ok=True)
    for turn in count():
        file = part.open("ab")
        # if it is no longer at its path, the earlier holder of the lock has renamed or removed it
        if try_lock(file) and is_at(file, part):
            break
        file.close()
        if turn == 10:
            meter.say(f"{item.key}: another process is fetching it; waiting")
        meter.pause(0.2)
    try:
        yield file
    finally:
        if is_at(file, part) and (size(file) == 0 or not note_of(item).exists()):
            part.unlink()
            note_of(item).unlink(missing_ok=True)
        file.close()


def deliver(url: str, item: Item, file: BinaryIO, meter: Meter) -> None:
    """Fills the part from one source, and checks it.

    A file that was put together from parts and is wrong is fetched once more from its beginning.
    """
    for _ in range(2):
        glued = persist(url, item, file, meter)
        wrong = fault(part_of(item), item)
        if wrong is None:
            return
        file.truncate(0)
        if not glued:
            break
    raise Refused(f"delivers a file that {wrong}")


def persist(url: str, item: Item, file: BinaryIO, meter: Meter) -> bool:
    """Asks one source, with growing pauses, until the file is whole.

    Returns whether the file was put together from parts. Raises `Refused` after too many tries.
    """
    tries, best = 0, size(file)
    while True:
        try:
            return transfer(url, item, file, meter)
        except Again as why:
            tries = 1 if size(file) > best + PROGRESS else tries + 1
            best = max(best, size(file))
            if tries >= TRIES:
                raise Refused(f"{why} ({TRIES} tries)") from why
            wait = BACKOFF_S * 2 ** (tries - 1) if why.wait is None else why.wait
            if wait > 5:
                meter.say(f"{item.key}: {url} {why}; next try in {wait:.0f} s")
            meter.pause(wait)


def transfer(url: str, item: Item, file: BinaryIO, meter: Meter) -> bool:
    """One request, which continues the part if the source still has the same version.

    Otherwise the part is started again. Returns whether it was continued.
    """
    have, note = size(file), read_note(item)
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    # without a known version, a known hash shows whether the whole is right
    if have and note.get("url") == url and (note.get("version") or item.sha256 or item.md5):
        if have == note.get("bytes"):
            return True  # an earlier run stopped between the last byte and the check
        headers |= {"Range": f"bytes={have}-"} | (
            {"If-Range": note["version"]} if note.get("version") else {}
        )
    try:
        with (
            Session(item.urls, bool(item.sha256 or item.md5)) as session,
            session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as reply,
        ):
            judge(reply)
            continued = "Range" in headers and continues(reply, item, note, file)
            receive(reply, url, item, file, meter, continued)
            return continued
    except HOPELESS as error:
        raise Refused(f"cannot be used ({type(error).__name__})") from error
    except TRANSIENT as error:
        raise Again(f"broke off ({type(error).__name__})") from error


def judge(reply: requests.Response) -> None:
    """Raises `Again` or `Refused` for an answer without data."""
    status = reply.status_code
    wait = retry_after(reply.headers.get("Retry-After", "")) if status in (429, 503) else None
    if wait is not None and wait > PATIENCE_S:
        raise Refused(f"answers {status} and asks to wait {wait:.0f} s")
    if status in (408, 416, 429) or status >= 500:
        raise Again(f"answers {status}", wait)
    if status not in (200, 206):
        raise Refused(f"answers {status}")


def retry_after(text: str) -> float | None:
    """Seconds to wait, from a number or a date; None where the text is neither."""
    if text.strip().isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # absent, nonsense, or a date without time zone
        return None


def continues(reply: requests.Response, item: Item, note: dict, file: BinaryIO) -> bool:
    """Whether an answer to a Range request continues the part.

    Raises `Again` for an answer with another range; the part is then started again.
    """
    if reply.status_code == 200:  # a new version, or a server without Range
        return False
    begins = reply.headers.get("Content-Range", "").startswith(f"bytes {size(file)}-")
    if begins and version(reply) in (None, note.get("version")) and not decodes(reply, item):
        return True
    file.truncate(0)
    raise Again("answers with another range", 0.0)


def receive(
    reply: requests.Response, url: str, item: Item, file: BinaryIO, meter: Meter, continued: bool
) -> None:
    """Writes the body to the part, and its version to the note so that a later run can continue."""
    decode = decodes(reply, item)
    if not continued:
        file.truncate(0)
    length = reply.headers.get("Content-Length", "")
    total = size(file) + int(length) if length.isdigit() and not decode else None
    if None not in (total, item.bytes) and total != item.bytes:
        raise Refused(f"offers {total} bytes, not the {item.bytes} of {item.authority}")
    ensure_space(item.path, (total or 0) - size(file))
    write_text(
        note_of(item),
        json.dumps({"url": url, "version": None if decode else version(reply), "bytes": total}),
    )
    for chunk in reply.raw.stream(CHUNK, decode_content=decode):
        file.write(chunk)
        meter.add(len(chunk))
        meter.pause(0)
    if total is not None and size(file) != total:
        raise Again(f"broke off after {size(file)} of {total} bytes")


def decodes(reply: requests.Response, item: Item) -> bool:
    """Whether the body was compressed only for the transfer, and must be decompressed.

    Some servers give a stored .gz file a Content-Encoding; such a file must stay as it is.
    """
    return reply.headers.get(
        "Content-Encoding", "identity"
    ) != "identity" and not item.path.name.endswith((".gz", ".tgz"))


def version(reply: requests.Response) -> str | None:
    """What tells this version of a file from others: a strong ETag, else the date.

    Without either, there is no version, and parts are put together only if a hash is known.
    """
    etag = reply.headers.get("ETag", "")
    return etag if etag.startswith('"') else reply.headers.get("Last-Modified")


# The part and what is in it


def part_of(item: Item) -> Path:
    """Where a file is while it arrives."""
    return item.path.with_name(item.path.name + ".part")


def note_of(item: Item) -> Path:
    """The note with the source and version of the part."""
    return item.path.with_name(item.path.name + ".part.json")


def read_note(item: Item) -> dict:
    """The note beside a part; empty where it is missing or damaged."""
    try:
        note = json.loads(note_of(item).read_text())
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def try_lock(file: BinaryIO) -> bool:
    """Locks the file for this thread; False while another thread or process has it.

    The system releases the lock when a process dies.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_at(file: BinaryIO, path: Path) -> bool:
    """Whether this open file is still the one at ``path``."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def size(file: BinaryIO) -> int:
    """Bytes written so far."""
    file.flush()
    return os.fstat(file.fileno()).st_size


def settle(item: Item, file: BinaryIO) -> None:
    """Gives a checked part its final name, and remembers the hash of a first download."""
    file.flush()
    os.fsync(file.fileno())
    if item.sha256 is None:
        registry.remember(item.key, size(file), digest(part_of(item)))
    os.replace(part_of(item), item.path)
    note_of(item).unlink(missing_ok=True)


def ensure_space(path: Path, needed: int) -> None:
    """Refuses a download of more bytes than the disk of ``path`` has free."""
    folder = next(p for p in path.parents if p.is_dir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise ReconError(
            f"{folder}: {human(needed)} needed, {human(free)} free; "
            "make room, or set DATA_ROOT to a larger disk"
        )


def human(size: float) -> str:
    """Bytes as a person reads them."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
