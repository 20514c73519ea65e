"""Claims: what each paper says about its figures, as rules that tables decide.

A claim is computed from a table and never typed in. It stays open where there is too little data.
A newcomer adds one file for a paper. The file ends in ``CLAIMS = {comparison: function}``, and
each function turns the table of that comparison into a list of `Claim`. Files without such a
record hold what claims share.
"""

import pandas as pd

from recon import rooms
from recon.figures.claims.rules import (
    Claim,
    about,
    as_text,
    counted,
    entries,
    growing_gain,
    judged,
    kernels_of,
    largest_gain,
    one_row_each,
    paired_gain,
    shift_of,
    smallest_gain,
)


def about_tables() -> list[str]:
    """The names of all tables that something is claimed of."""
    return list(dict.fromkeys(name for record in _records() for name in record))


def _records() -> list[dict]:
    """What the files of this room end in."""
    files = rooms.members("figures/claims", "CLAIMS")
    return [rooms.member("figures/claims", "CLAIMS", f, "file of claims") for f in files]


def scorecard(name: str, table: pd.DataFrame) -> list[dict]:
    """The claims that the table of the comparison ``name`` decides, in every file of this room.

    They are one family, whichever files they come from.
    """
    found = [claim for record in _records() if name in record for claim in record[name](table)]
    return judged(found)


def summary(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What a notebook shows of the claims that its tables decide.

    ``tables`` are named by their comparisons.
    """
    decided = [claim for name, table in tables.items() for claim in scorecard(name, table)]
    return pd.DataFrame(
        decided,
        columns=["statement", "measured", "low", "high", "threshold", "holds", "agree", "volumes"],
    )


__all__ = [
    "Claim",
    "about",
    "about_tables",
    "as_text",
    "counted",
    "entries",
    "growing_gain",
    "kernels_of",
    "largest_gain",
    "one_row_each",
    "paired_gain",
    "scorecard",
    "shift_of",
    "smallest_gain",
    "summary",
]
