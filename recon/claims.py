"""What the papers claim, as rules computed from tables: never typed in, and null where there is too little data."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import pandas as pd


@dataclass(frozen=True)
class Claim:
    """One line of the scorecard. ``holds`` is None where the table cannot decide."""

    id: str
    paper: str
    figure: str
    statement: str
    measured: float | None
    threshold: float
    holds: bool | None


def paired_gain(table: pd.DataFrame, better: str, worse: str, metric: str) -> pd.DataFrame:
    """Difference of two methods per volume and acceleration, where both were run."""
    wide = table.pivot_table(index=["dataset", "volume", "R"], columns="method", values=metric)
    if better not in wide or worse not in wide:
        return pd.DataFrame(columns=["R", "gain"])
    return (wide[better] - wide[worse]).dropna().rename("gain").reset_index()


def ordering(table: pd.DataFrame, better: str, worse: str, metric: str, minimum_r: float, **about: str) -> Claim:
    """``better`` exceeds ``worse`` on average over the volumes at every R ≥ ``minimum_r``; measured is the smallest mean gain."""
    gains = paired_gain(table, better, worse, metric)
    means = gains[gains["R"] >= minimum_r].groupby("R")["gain"].mean()
    smallest = float(means.min()) if len(means) else None
    return Claim(**about, measured=smallest, threshold=0.0, holds=None if smallest is None else smallest > 0)


def without_shift(table: pd.DataFrame) -> list[Claim]:
    """Paper A, Figures 3 and A.1: the order of the methods, per dataset, for PSNR and SSIM; and that of our own solver."""
    pairs = [("variational", "l1_wavelet"), ("l1_wavelet", "cg_sense"), ("cg_sense", "zero_filled"), ("annealed", "variational")]
    out = []
    for dataset, rows in table.groupby("dataset"):
        for metric, figure in (("psnr", "3"), ("ssim", "A.1")):
            for better, worse in pairs:
                paper = "ours" if better == "annealed" else "A"
                about = {
                    "id": f"{paper}.{figure}.{dataset}.{better}>{worse}.{metric}",
                    "paper": paper,
                    "figure": figure,
                    "statement": f"{dataset}: {better} has a higher mean {metric.upper()} than {worse} at every R ≥ 8",
                }
                out.append(ordering(rows, better, worse, metric, 8.0, **about))
    return out


CLAIMS: dict[str, Callable[[pd.DataFrame], list[Claim]]] = {"10_methods_without_shift": without_shift}


def scorecard(name: str, table: pd.DataFrame) -> list[dict]:
    """The claims that a notebook's table decides."""
    return [asdict(claim) for claim in CLAIMS[name](table)] if name in CLAIMS else []
