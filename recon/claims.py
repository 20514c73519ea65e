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


def paired_gain(table: pd.DataFrame, better: str, worse: str, metric: str, by: str = "method") -> pd.DataFrame:
    """Difference of two methods (or two values of another column, ``by``) per volume and acceleration, where both were run."""
    wide = table.pivot_table(index=["dataset", "volume", "R"], columns=by, values=metric)
    if better not in wide or worse not in wide:
        return pd.DataFrame(columns=["R", "gain"])
    return (wide[better] - wide[worse]).dropna().rename("gain").reset_index()


def smallest_gain(gains: pd.DataFrame, threshold: float = 0.0, minimum_r: float = 1.0, **about: str) -> Claim:
    """The mean gain over the volumes exceeds ``threshold`` at every R ≥ ``minimum_r``; measured is the smallest mean."""
    means = gains[gains["R"] >= minimum_r].groupby("R")["gain"].mean()
    smallest = float(means.min()) if len(means) else None
    return Claim(**about, measured=smallest, threshold=threshold, holds=None if smallest is None else smallest > threshold)


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
                out.append(smallest_gain(paired_gain(rows, better, worse, metric), minimum_r=8.0, **about))
    return out


def shift_of(table: pd.DataFrame) -> pd.Series:
    """How the prior's training voxels differ from those reconstructed: "matched", "2×", "4×" (either way), or "diverse"."""

    def name(trained: str, voxel: float) -> str:
        if trained == "diverse":
            return "diverse"
        ratio = max(float(trained) / voxel, voxel / float(trained))
        return "matched" if ratio == 1 else f"{ratio:g}×"

    return pd.Series([name(str(t), float(v)) for t, v in zip(table["trained_at"], table["voxel_factor"], strict=True)], table.index)


def resolution_shift(table: pd.DataFrame) -> list[Claim]:
    """Paper A, Figures 1, 4, A.4–A.6: priors of other voxel sizes lose, the more the higher R; a diverse one does not."""
    table, out = table.assign(shift=shift_of(table)), []
    for (dataset, method), rows in table.groupby(["dataset", "method"]):
        start = f"{dataset}, {method}: "
        for metric, figure in (("psnr", "4"), ("ssim", "A.6")):
            for better, worse in (("matched", "2×"), ("2×", "4×")):
                gains = paired_gain(rows, better, worse, metric, "shift")
                said = f"{start}a prior with {better} voxels beats one with {worse} voxels at every R, in {metric.upper()}"
                about = {
                    "id": f"A.{figure}.{dataset}.{method}.{better}>{worse}.{metric}",
                    "paper": "A",
                    "figure": figure,
                    "statement": said,
                }
                out.append(smallest_gain(gains, **about))
        out.append(_grows(rows, f"A.4.{dataset}.{method}.grows", f"{start}the loss to a 4×-shifted prior is larger at the highest R"))
        said = f"{start}the diverse prior is within 0.3 dB of the matched one at every R"
        about = {"id": f"A.4.{dataset}.{method}.diverse", "paper": "A", "figure": "4", "statement": said}
        out.append(smallest_gain(paired_gain(rows, "diverse", "matched", "psnr", "shift"), -0.3, **about))
    return out


def _grows(rows: pd.DataFrame, name: str, statement: str) -> Claim:
    """The mean loss to a 4×-shifted prior at the highest R exceeds that at the lowest; measured is the difference."""
    means = paired_gain(rows, "matched", "4×", "psnr", "shift").groupby("R")["gain"].mean()
    more = float(means.iloc[-1] - means.iloc[0]) if len(means) > 1 else None
    return Claim(name, "A", "4", statement, more, 0.0, None if more is None else more > 0)


CLAIMS: dict[str, Callable[[pd.DataFrame], list[Claim]]] = {
    "10_methods_without_shift": without_shift,
    "13_resolution_shift": resolution_shift,
}


def scorecard(name: str, table: pd.DataFrame) -> list[dict]:
    """The claims that a notebook's table decides."""
    return [asdict(claim) for claim in CLAIMS[name](table)] if name in CLAIMS else []
