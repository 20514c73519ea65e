"""Subjects that are one slice of a volume: NAME@K is slice K across z of the volume NAME.

It is a 2D scan with two phase-encoded axes.
"""

from dataclasses import dataclass

from recon.errors import ReconError


@dataclass(frozen=True)
class Place:
    """Which slice of how many across z."""

    index: int
    depth: int


def name_of(subject: str | int) -> str:
    """The name of the volume of a subject."""
    return str(subject).partition("@")[0]


def slice_of(subject: str | int, depth: int, where: str) -> Place | None:
    """Which slice of ``depth`` a subject is; None where it is the whole volume.

    Raises `ReconError`, which begins with ``where``, for a slice that is not there.
    """
    wanted = str(subject).partition("@")[2]
    if not wanted:
        return None
    if not wanted.isdecimal() or int(wanted) >= depth:
        chosen = f"{subject} asks for slice {wanted}; choose from 0 to {depth - 1}"
        raise ReconError(f"{where}: {chosen}")
    return Place(int(wanted), depth)
