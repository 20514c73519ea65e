"""How long a table takes that has to be computed, by the times of an earlier run."""

from pathlib import Path

import pandas as pd


def how_long(name: str, earlier: Path) -> str:
    """What a user should know before the cases of comparison ``name`` are computed.

    ``earlier`` is where its table would lie if the configuration's figures were made before. It
    says the time that each case took.
    """
    said = f"{name}: cases that are not in results/ are computed now"
    if not earlier.exists() or "seconds" not in (table := pd.read_csv(earlier)):
        return f"{said}; no earlier run says how long that takes"
    minutes = max(1, round(table["seconds"].sum() / 60))
    took = f"{minutes} minute{'s' if minutes > 1 else ''}"
    return f"{said}; all {len(table)} of them took {took} when {earlier.name} was made"
