"""Rooms with members that are found by name.

A file of the room that ends in a record, such as ``METHOD = Method(...)``, is a member. No other
file names it, and it is imported only when it is asked for. A room inside another one is named by
its path, such as ``figures/claims``.
"""

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from recon.errors import ReconError


@cache
def members(room: str, record: str) -> tuple[str, ...]:
    """The names of the members of a room, in alphabetical order; no member is imported."""
    folder = Path(__file__).parent / room
    ends = re.compile(rf"^{record} = ", re.MULTILINE)
    return tuple(sorted(f.stem for f in folder.glob("*.py") if ends.search(f.read_text())))


def member(room: str, record: str, name: str, kind: str) -> Any:
    """The record of the member called ``name``.

    ``kind`` says in the error message what was looked for.
    """
    known = members(room, record)
    if name not in known:
        raise ReconError(f"no {kind} is called {name!r}; choose one of {', '.join(known)}")
    return getattr(import_module(f"recon.{room.replace('/', '.')}.{name}"), record)
