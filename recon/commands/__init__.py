"""The commands of ``python -m recon``, one a file.

A newcomer adds one file that ends in ``COMMAND = Command(...)``; its name is the file's. What a
command needs is imported when it runs, so that ``--help`` is instant.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from recon import rooms


@dataclass(frozen=True)
class Command:
    """The record at the end of a command's file."""

    help: str  # one line
    options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]  # the exit status; None is 0


def names() -> tuple[str, ...]:
    """The names of all commands."""
    return rooms.members("commands", "COMMAND")


def lookup(name: str) -> Command:
    """The command called ``name``."""
    return rooms.member("commands", "COMMAND", name, "command")
