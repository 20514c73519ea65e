"""What a user says of a file: which frame to read, and what the axes of an array are."""

from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from recon.errors import ReconError
from recon.mri.scan import Scan

COUNTERS = ("contrast", "phase", "repetition", "set")  # what tells frames apart


@dataclass(frozen=True)
class Selection:
    """One value of each counter, as the file counts them; None takes the first whole frame.

    With ``slice``, one slice of a stack is read as a 2D scan, or one slab of several. ``axes``
    names the axes of an array, and ``variable`` the array of a file that holds several.
    """

    contrast: int | None = None
    phase: int | None = None
    repetition: int | None = None
    set: int | None = None
    slice: int | None = None
    axes: tuple[str, ...] | None = None
    variable: str | None = None

    def only(self, *known: str, path: Path, layout: str) -> None:
        """Refuses a choice that a layout does not have."""
        for name, value in vars(self).items():
            if value is not None and name not in known:
                raise ReconError(f"{path}: {layout} takes no {option(name)}; do not give it")


def option(counter: str) -> str:
    """The option of the command line that chooses a counter; --set is taken by settings."""
    return {"set": "--set-number", "phase": "--cardiac-phase"}.get(counter, f"--{counter}")


def chosen(path: Path, counter: str, wanted: int, present: list[int]) -> int:
    """The value that was asked for; one that is not there is refused."""
    if wanted not in present:
        known = ", ".join(map(str, present[:12])) + (", …" if len(present) > 12 else "")
        raise ReconError(f"{path}: has no {counter} {wanted}; it has {known}")
    return wanted


def frames_of(scan: Scan, selection: Selection) -> list[Selection]:
    """A selection for every whole frame of a scan's file, of those that ``selection`` allows."""
    held = scan.meta.get("frames", {})
    free = {n: values for n, values in held.items() if values and getattr(selection, n) is None}
    products = product(*free.values())
    return [replace(selection, **dict(zip(free, values, strict=True))) for values in products]


def first_of(counter: str, count: int) -> str:
    """What is said where a file holds several frames and nobody chose one."""
    read = f"The first of {count} {counter}s was read"
    return f"{read}; {option(counter)} N chooses another, --all reads all."
