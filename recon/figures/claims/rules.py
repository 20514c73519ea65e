"""What all claims share: paired differences in a table, and the rules that decide on them."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from recon.errors import ReconError


@dataclass(frozen=True)
class Claim:
    """One line of the scorecard.

    ``holds`` is None where the table cannot decide: it has no volume, or only one.
    """

    id: str
    paper: str
    figure: str
    statement: str
    measured: float | None
    threshold: float
    holds: bool | None
    volumes: int  # test volumes in the table
    agree: int  # how many of them give the same verdict alone


def about(figure: str, name: str, statement: str, paper: str = "A") -> dict[str, str]:
    """The words of a claim: its identifier, paper, figure and statement.

    ``figure`` is a number in the paper, and ``paper`` is its letter or "ours". ``name``
    distinguishes the claims about one figure.
    """
    number = figure.split(", ")[-1].replace(" ", "_")
    return {
        "id": f"{paper}.{number}.{name}",
        "paper": paper,
        "figure": figure,
        "statement": statement,
    }


def as_text(value: float | str) -> str:
    """A value as text that is the same from memory and from a file: 400, not 400.0."""
    try:
        return f"{float(value):g}"
    except ValueError:
        return str(value)


def shift_of(table: pd.DataFrame) -> pd.Series:
    """How the voxels that a prior was trained on differ from those reconstructed, for every row.

    The words are "matched", "2× coarser", "4× finer" and so on. Diverse priors and anisotropic
    voxels keep the words of the column ``trained_at``.
    """

    def name(trained: str, voxel: str) -> str:
        try:
            ratio = float(trained) / float(voxel)
        except ValueError:  # diverse training, or anisotropic voxels
            return trained
        if abs(ratio - 1) < 1e-3:
            return "matched"
        return f"{ratio:.3g}× coarser" if ratio > 1 else f"{1 / ratio:.3g}× finer"

    trained = table["trained_at"].fillna("").astype(str)
    pairs = zip(trained, table["voxel_factor"].astype(str), strict=True)
    return pd.Series([name(*pair) for pair in pairs], table.index)


def one_row_each(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """The table itself, if it has one row for each volume, acceleration and value of ``by``.

    Otherwise raises `ReconError`, because a mean of unlike rows says nothing.
    """
    if table.duplicated(["dataset", "volume", "R", by]).any():
        raise ReconError(
            f"the table has several rows for one volume, R and {by}; "
            "choose those of one method, prior or setting first"
        )
    return table


def paired_gain(
    table: pd.DataFrame, better: str, worse: str, metric: str, by: str = "method"
) -> pd.DataFrame:
    """The difference of ``better`` and ``worse`` for every volume and acceleration that has both.

    They are values of the column ``by``. The difference in ``metric`` is the column ``gain``.
    """
    chosen = one_row_each(table[table[by].isin([better, worse])], by)
    wide = chosen.pivot(index=["dataset", "volume", "R"], columns=by, values=metric)
    if better not in wide or worse not in wide:
        return pd.DataFrame(columns=["dataset", "volume", "R", "gain"])
    return (wide[better] - wide[worse]).dropna().rename("gain").reset_index()


def decide(
    measure: Callable[[pd.Series], float],
    gains: pd.DataFrame,
    words: dict[str, str],
    threshold: float = 0.0,
    above: bool = True,
) -> Claim:
    """The claim that ``measure`` of the mean gains lies above ``threshold``, or below it.

    ``measure`` takes the mean over the volumes at every R. At least two volumes are needed for a
    verdict.
    """

    def measured(rows: pd.DataFrame) -> float:
        return float(measure(rows.groupby("R")["gain"].mean()))

    def verdict(value: float) -> bool:
        return value > threshold if above else value < threshold

    value = measured(gains)
    alone = [measured(rows) for _, rows in gains.groupby(["dataset", "volume"])]
    known = not pd.isna(value)
    holds = verdict(value) if known and len(alone) > 1 else None
    return Claim(
        **words,
        measured=value if known else None,
        threshold=threshold,
        holds=holds,
        volumes=len(alone),
        agree=sum(verdict(one) == holds for one in alone),
    )


def smallest_gain(
    gains: pd.DataFrame, words: dict[str, str], threshold: float = 0.0, minimum_r: float = 1.0
) -> Claim:
    """The claim that the mean gain over the volumes exceeds ``threshold`` at every R.

    Only R ≥ ``minimum_r`` counts. What is measured is the smallest mean.
    """
    return decide(pd.Series.min, gains[gains["R"] >= minimum_r], words, threshold)


def largest_gain(gains: pd.DataFrame, words: dict[str, str], threshold: float) -> Claim:
    """The claim that the mean gain over the volumes stays below ``threshold`` at every R.

    What is measured is the largest mean.
    """
    return decide(pd.Series.max, gains, words, threshold, above=False)
