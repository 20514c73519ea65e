"""What all claims share: paired differences in a table, and the rule that decides on them.

A claim compares two rows of every volume. Its verdict comes from an interval of the mean difference
over the volumes, by Student's t. It holds if the whole interval is on the right side of the
threshold, fails if it is on the wrong side, and is undecided otherwise. Percentiles of a bootstrap
over so few volumes give intervals that are too narrow: with eight volumes and a level of 95 %, 10 %
of true means lie outside (see tests/figures/test_verdicts.py). The bootstrap's standard error of a
mean is the one used here, up to ``sqrt(n / (n - 1))``.

The claims about one table are a family. The level is that of the whole family: with n claims, each
has an interval of level ``1 - (1 - LEVEL) / n`` (Bonferroni).
"""

import re
from dataclasses import dataclass

import pandas as pd
from scipy.stats import t as student

from recon.errors import ReconError

LEVEL = 0.95


@dataclass(frozen=True)
class Claim:
    """The claim that a difference lies above a threshold at every R, or below it."""

    id: str
    paper: str
    figure: str
    statement: str
    threshold: float
    above: bool
    # One row for each volume and R, with the column ``gain``. A claim about one number for each
    # volume has the same R in all rows.
    gains: pd.DataFrame
    # The same of other volumes, whose mean is taken off: two independent samples (Welch).
    against: pd.DataFrame | None = None

    @property
    def unit(self) -> str:
        """That of the difference, as its statement tells: PSNR where it names no other metric."""
        others = {"SSIM": " in SSIM", "NRMSE": " % of NRMSE", "memory": " MB", "time": " s"}
        words = re.findall(r"\w+", self.statement)
        return next((unit for name, unit in others.items() if name in words), " dB")

    @property
    def decidable(self) -> bool:
        """Whether every R has the two volumes that an interval needs."""
        sides = [by_subject(g) for g in (self.gains, self.against) if g is not None]
        return all(not g.empty and bool((g.groupby("R").size() > 1).all()) for g in sides)

    def judged(self, family: int = 1) -> dict:
        """The line of the scorecard, as one of ``family`` claims that are decided together.

        ``measured`` is the smallest mean over all R. The claim holds if its interval is above the
        threshold at every R; this needs no correction for the number of R. It fails if it is below
        at some R; this does. So ``low`` is the lowest of the lower ends, and ``high`` the lowest of
        the upper ends, which are wider. Both may be those of another R than ``measured``. ``agree``
        counts the volumes that satisfy it alone. ``holds`` is None where the interval contains the
        threshold, or where there is none.
        """
        sign = 1 if self.above else -1
        gains = by_subject(self.gains)
        other = None if self.against is None else by_subject(self.against).groupby("R")["gain"]
        base = 0.0 if other is None else gains["R"].map(other.mean())
        over = gains.assign(gain=sign * (gains["gain"] - base - self.threshold))
        alone = over.groupby(["dataset", "volume"])["gain"].min()
        words = {name: getattr(self, name) for name in ("id", "paper", "figure", "statement")}
        line = words | {"measured": None, "low": None, "high": None, "threshold": self.threshold}
        line |= {"holds": None, "volumes": len(alone), "agree": int((alone > 0).sum())}
        line["unit"] = self.unit
        line["datasets"] = sorted(set(gains["dataset"]))
        over = over.dropna(subset="gain")
        if over.empty:
            return line
        by_r = over.groupby("R")["gain"]
        line["measured"] = self.threshold + sign * float(by_r.mean().min())
        if not self.decidable:
            return line
        outside = (1 - LEVEL) / family
        more = {r: () if other is None else (other.get_group(r),) for r, _ in by_r}
        low = min(interval(v, outside, *more[r])[0] for r, v in by_r)
        high = min(interval(v, outside / by_r.ngroups, *more[r])[1] for r, v in by_r)
        ends = sorted(self.threshold + sign * end for end in (low, high))
        holds = True if low > 0 else False if high < 0 else None
        return line | {"low": ends[0], "high": ends[1], "holds": holds}


def subjects(volumes: pd.Series) -> pd.Series:
    """The subjects of volumes and slices, from their names.

    The name of a slice begins with that of its volume, before "@" or ":". The name of a volume may
    begin with that of its person, before "_study".
    """
    return volumes.astype(str).str.split("[@:]|_study", n=1, regex=True).str[0]


def counted(volumes: pd.Series) -> str:
    """How many volumes there are, or slices of how many subjects."""
    count, people = volumes.nunique(), subjects(volumes).nunique()
    if people < count:
        return f"{count} scans of {people} subject{'s' if people > 1 else ''}"
    return f"{count} volume{'s' if count > 1 else ''}"


def by_subject(gains: pd.DataFrame) -> pd.DataFrame:
    """The mean gain of each subject at each R: slices of one subject do not count as several."""
    if gains.empty:
        return gains
    return (
        gains.assign(volume=subjects(gains["volume"]))
        .groupby(["dataset", "volume", "R"], as_index=False, sort=False)["gain"]
        .mean()
    )


def interval(
    values: pd.Series, outside: float, against: pd.Series | None = None
) -> tuple[float, float]:
    """The interval that misses the mean of a normal population with probability ``outside``.

    Where the mean of an independent sample ``against`` was taken off, its variance counts as well
    (Welch 1947).
    """
    samples = [values] if against is None else [values, against]
    shares = [sample.var() / len(sample) for sample in samples]
    freedom = len(values) - 1
    if against is not None and sum(shares) > 0:
        parts = zip(shares, samples, strict=True)
        freedom = sum(shares) ** 2 / sum(v**2 / (len(s) - 1) for v, s in parts)
    reach = student.ppf(1 - outside / 2, freedom) * sum(shares) ** 0.5
    return float(values.mean() - reach), float(values.mean() + reach)


def judged(claims: list[Claim]) -> list[dict]:
    """The lines of a family of claims."""
    family = max(1, sum(claim.decidable for claim in claims))
    return [claim.judged(family) for claim in claims]


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


def entries(table: pd.DataFrame, by: str = "method") -> pd.DataFrame:
    """The table with one dataset for all scans of one voxel size, and a column ``entry``.

    An entry is "matched" or "diverse" for such a prior. Else it is the value of the column ``by``,
    for a prior what is done with its kernels (see `kernels_of`), or the field that stands between
    the scan and a prior as it is. So what is done with a prior of other voxels can be compared with
    a prior that needs no help.
    """
    shift = shift_of(table)
    served = shift.isin(["matched", "diverse"])
    other = table[by]
    if by == "prior":
        fields = table["method"].str.startswith("field_")
        other = table["method"].where(fields, table["prior"].map(kernels_of))
    voxels = table["voxel_factor"].map(as_text)
    return table.assign(entry=shift.where(served, other), dataset="at " + voxels + "× voxels")


def kernels_of(prior: str) -> str:
    """What is done with the kernels of a prior, from the end of its name; "as it is" for others.

    Names end in the way of resizing, and in ``_grown`` where the gain is not kept.
    """
    found = re.search(r"(fourier|bilinear|padding)(_grown)?$", prior)
    if not found:
        return "as it is"
    return f"{found[1]} kernels" + (", gain not kept" if found[2] else "")


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


def smallest_gain(
    gains: pd.DataFrame, words: dict[str, str], threshold: float = 0.0, minimum_r: float = 1.0
) -> Claim:
    """The claim that the mean gain over the volumes exceeds ``threshold`` at every R.

    Only R ≥ ``minimum_r`` counts. What is measured is the smallest mean.
    """
    return Claim(**words, threshold=threshold, above=True, gains=gains[gains["R"] >= minimum_r])


def largest_gain(gains: pd.DataFrame, words: dict[str, str], threshold: float) -> Claim:
    """The claim that the mean gain over the volumes stays below ``threshold`` at every R.

    What is measured is the largest mean.
    """
    return Claim(**words, threshold=threshold, above=False, gains=gains)


def growing_gain(gains: pd.DataFrame, words: dict[str, str]) -> Claim:
    """The claim that the mean gain is larger at the highest R than at the lowest.

    It has no data where there is only one R.
    """
    ends = {gains["R"].min(): "lowest", gains["R"].max(): "highest"}
    at_ends = gains.assign(end=gains["R"].map(ends), R=1.0)
    return smallest_gain(paired_gain(at_ends, "highest", "lowest", "gain", "end"), words)
