"""Finding the file of one subject in a folder."""

import re
from pathlib import Path

from recon.errors import ReconError


def find(folder: Path, pattern: str, subject: str | int) -> Path:
    """The one file below ``folder`` that matches ``pattern`` and is called SUBJECT.*.

    A subject may include the folder of its file. Raises `ReconError` unless exactly one file fits.
    """
    if not folder.is_dir():
        raise ReconError(f"{folder}: no such folder; correct the dataset's path")
    called = re.compile(rf"(^|/){re.escape(str(subject))}\.[^/]*$")
    found = [
        p for p in sorted(folder.glob(pattern)) if called.search(p.relative_to(folder).as_posix())
    ]
    if len(found) != 1:
        raise ReconError(
            f"{folder}: {len(found)} files match {pattern} and are named {subject}.*; "
            "expected exactly one"
        )
    return found[0]
