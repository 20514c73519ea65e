"""What the papers claim, as rules computed from tables: never typed in, and null where there is too
little data.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise

import pandas as pd

from recon.errors import ReconError


@dataclass(frozen=True)
class Claim:
    """One line of the scorecard. ``holds`` is None where the table cannot decide: without volumes,
    or with one alone.
    """

    id: str
    paper: str
    figure: str
    statement: str
    measured: float | None
    threshold: float
    holds: bool | None
    volumes: int  # test volumes that decided
    agree: int  # of them those that would say the same alone


def one_row_each(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """The table, if ``by`` tells the rows of a volume and R apart; else `ReconError`, since a mean
    of unlike rows says nothing.
    """
    if table.duplicated(["dataset", "volume", "R", by]).any():
        raise ReconError(
            f"the table has several rows for one volume, R and {by}; choose those of one method, prior or setting first"
        )
    return table


def paired_gain(
    table: pd.DataFrame, better: str, worse: str, metric: str, by: str = "method"
) -> pd.DataFrame:
    """Difference of two methods (or two values of another column, ``by``) per volume and
    acceleration, where both were run.
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
    """Whether ``measure`` of the mean gains at every R is ``above``, or else below, ``threshold``;
    it takes two volumes to decide.
    """

    def measured(rows: pd.DataFrame) -> float:
        return float(measure(rows.groupby("R")["gain"].mean()))

    def verdict(value: float) -> bool:
        return value > threshold if above else value < threshold

    value, alone = (
        measured(gains),
        [measured(rows) for _, rows in gains.groupby(["dataset", "volume"])],
    )
    known = not pd.isna(value)
    holds = verdict(value) if known and len(alone) > 1 else None
    agree = sum(verdict(one) == holds for one in alone)
    return Claim(
        **words,
        measured=value if known else None,
        threshold=threshold,
        holds=holds,
        volumes=len(alone),
        agree=agree,
    )


def smallest_gain(
    gains: pd.DataFrame, words: dict[str, str], threshold: float = 0.0, minimum_r: float = 1.0
) -> Claim:
    """The mean gain over the volumes exceeds ``threshold`` at every R ≥ ``minimum_r``; measured is
    the smallest mean.
    """
    return decide(pd.Series.min, gains[gains["R"] >= minimum_r], words, threshold)


def largest_gain(gains: pd.DataFrame, words: dict[str, str], threshold: float) -> Claim:
    """The mean gain over the volumes stays below ``threshold`` at every R; measured is the largest
    mean.
    """
    return decide(pd.Series.max, gains, words, threshold, above=False)


def about(figure: str, name: str, statement: str, paper: str = "A") -> dict[str, str]:
    """What a claim says and of whom: the figure of a paper that shows it, or "ours"; ``name`` tells
    the claims of one figure apart.
    """
    number = figure.split(", ")[-1].replace(" ", "_")
    return {
        "id": f"{paper}.{number}.{name}",
        "paper": paper,
        "figure": figure,
        "statement": statement,
    }


def without_shift(table: pd.DataFrame) -> list[Claim]:
    """Paper A, Figures 3 and A.1: the order of the methods, per dataset, for PSNR and SSIM; ours:
    the places of those it does not show.

    At low R some of the latter do as well as any: they are claimed from R = 8 on.
    """
    pairs = [  # better, worse, from which R on, who claims it
        ("variational", "tpdm_dds", 1, "A"),
        ("tpdm_dds", "l1_wavelet", 1, "A"),
        ("variational", "l1_wavelet", 1, "A"),
        ("l1_wavelet", "cg_sense", 8, "ours"),
        ("cg_sense", "zero_filled", 8, "ours"),
        ("variational", "dds", 1, "ours"),
        ("dds", "l1_wavelet", 1, "ours"),
        ("annealed", "variational", 8, "ours"),
    ]
    out = []
    for dataset, rows in table.groupby("dataset", sort=False):
        for metric, figure in (("psnr", "3"), ("ssim", "A.1")):
            for better, worse, least, paper in pairs:
                at = "every R" if least == 1 else f"every R ≥ {least}"
                said = (
                    f"{dataset}: {better} has a higher mean {metric.upper()} than {worse} at {at}"
                )
                words = about(figure, f"{dataset}.{better}>{worse}.{metric}", said, paper)
                out.append(
                    smallest_gain(paired_gain(rows, better, worse, metric), words, minimum_r=least)
                )
    return out


def as_text(value: float | str) -> str:
    """A varied value in one form, whether it comes from memory or from a table on disk: 400, not
    400.0.
    """
    try:
        return f"{float(value):g}"
    except ValueError:
        return str(value)


def hyperparameters(table: pd.DataFrame) -> list[Claim]:
    """Paper A, Figures A.2 and A.3: the upper bound of the timesteps, and the number of slices;
    ours: the schedule of the timesteps.
    """
    out = []
    for dataset, rows in table.assign(value=table["value"].map(as_text)).groupby(
        "dataset", sort=False
    ):

        def gain(
            setting: str, better: float | str, worse: float | str, rows: pd.DataFrame = rows
        ) -> pd.DataFrame:
            return paired_gain(
                rows[rows["varied"] == setting], as_text(better), as_text(worse), "psnr", "value"
            )

        said = f"{dataset}: timesteps up to 0.4 T give a higher mean PSNR than up to T at every R, all else equal"
        out.append(
            smallest_gain(gain("t_max", 400.0, 1000.0), about("A.2", f"{dataset}.t_max", said))
        )
        bounds = rows[rows["varied"] == "t_max"]
        others = (
            bounds[bounds["value"] != "400"]
            .groupby(["dataset", "volume", "R"], as_index=False)["psnr"]
            .max()
        )
        said = f"{dataset}: no other bound of the timesteps gives a PSNR more than 0.1 dB above that of 0.4 T, at any R, all else equal"
        best = paired_gain(
            pd.concat([bounds, others.assign(value="best other")]),
            "best other",
            "400",
            "psnr",
            "value",
        )
        out.append(largest_gain(best, about("A.2", f"{dataset}.best", said), 0.1))
        counts = sorted(float(v) for v in rows.loc[rows["varied"] == "slices", "value"].unique())
        said = f"{dataset}: the last step to more slices per iteration, {' → '.join(f'{n:g}' for n in counts[-2:])}, gains less than 0.1 dB"
        levels_off = (
            gain("slices", counts[-1], counts[-2]) if len(counts) > 1 else gain("slices", 0, 0)
        )
        out.append(largest_gain(levels_off, about("A.3", f"{dataset}.slices", said), 0.1))
        said = f"{dataset}: falling timesteps give a higher mean PSNR than uniform ones at every R, all else equal"
        out.append(
            smallest_gain(
                gain("schedule", "annealed", "uniform"),
                about("A.2", f"{dataset}.schedule", said, "ours"),
            )
        )
    return out


def shift_of(table: pd.DataFrame) -> pd.Series:
    """How the prior's training voxels differ from those reconstructed: "matched", "2× coarser", "4×
    finer"; or "diverse" and the like.
    """

    def name(trained: str, voxel: str) -> str:
        try:
            ratio = float(trained) / float(voxel)
        except ValueError:  # diverse training, or anisotropic voxels
            return trained
        return (
            "matched"
            if abs(ratio - 1) < 1e-3
            else f"{ratio:.3g}× coarser"
            if ratio > 1
            else f"{1 / ratio:.3g}× finer"
        )

    pairs = zip(
        table["trained_at"].fillna("").astype(str), table["voxel_factor"].astype(str), strict=True
    )
    return pd.Series([name(*pair) for pair in pairs], table.index)


def resolution_shift(
    table: pd.DataFrame, psnr: str = "1, A.4, 4", ssim: str = "A.6"
) -> list[Claim]:
    """Paper A, Figures 1, 4, A.4–A.6 and A.10: priors of other voxel sizes lose, the more the
    higher R; a diverse one does not.

    ``psnr`` and ``ssim`` are the numbers of the figures that show these.
    """
    table, out = table.assign(shift=shift_of(table)), []
    for (dataset, method), rows in table[table["shift"] != ""].groupby(
        ["dataset", "method"], sort=False
    ):
        name, start = f"{dataset}.{method}", f"{dataset}, {method}: "
        for way in ("coarser", "finer"):
            steps = ["matched", *sorted(s for s in rows["shift"].unique() if s.endswith(way))]
            for better, worse in pairwise(steps):
                for metric, figure in (("psnr", psnr), ("ssim", ssim)):
                    gains = paired_gain(rows, better, worse, metric, "shift")
                    said = f"{start}a prior with {better} voxels beats one with {worse} voxels at every R, in {metric.upper()}"
                    out.append(
                        smallest_gain(
                            gains, about(figure, f"{name}.{better}>{worse}.{metric}", said)
                        )
                    )
            if len(steps) > 1:
                said = f"{start}a prior with {steps[-1]} voxels loses more at the highest R than at the lowest"
                out.append(
                    _grows(
                        paired_gain(rows, "matched", steps[-1], "psnr", "shift"),
                        about(psnr, f"{name}.{way}.grows", said),
                    )
                )
        said = f"{start}the diverse prior is within 0.3 dB of the matched one at every R"
        out.append(
            smallest_gain(
                paired_gain(rows, "diverse", "matched", "psnr", "shift"),
                about(psnr, f"{name}.diverse", said),
                -0.3,
            )
        )
    return out


def _grows(losses: pd.DataFrame, words: dict[str, str]) -> Claim:
    """The mean loss at the highest R exceeds that at the lowest; measured is the difference."""
    return decide(
        lambda means: means.iloc[-1] - means.iloc[0] if len(means) > 1 else float("nan"),
        losses,
        words,
    )


def posterior_sampling(table: pd.DataFrame) -> list[Claim]:
    """Paper A, Figures A.5 and A.6: posterior sampling suffers from other voxels, too, and more in
    SSIM than the variational one.
    """
    out = resolution_shift(table[table["method"] == "tpdm_dds"], psnr="A.5")
    for dataset, rows in table.assign(shift=shift_of(table)).groupby("dataset", sort=False):
        for shift in sorted(s for s in rows["shift"].unique() if s.endswith("coarser")):
            drops = {
                m: paired_gain(part, "matched", shift, "ssim", "shift").assign(method=m)
                for m, part in rows.groupby("method")
            }
            every = pd.concat(drops.values()).rename(columns={"gain": "drop"})
            said = f"{dataset}: with a prior of {shift} voxels TPDM+DDS loses more SSIM than the variational method at every R"
            out.append(
                smallest_gain(
                    paired_gain(every, "tpdm_dds", "variational", "drop"),
                    about("A.6", f"{dataset}.{shift}.drop", said),
                )
            )
    return out


def samplers(table: pd.DataFrame) -> list[Claim]:
    """Ours: the annealed solver against the best of all other methods with a prior."""
    out = []
    for dataset, rows in table.groupby("dataset", sort=False):
        others = (
            rows[rows["method"] != "annealed"]
            .groupby(["dataset", "volume", "R"], as_index=False)["psnr"]
            .max()
            .assign(method="best")
        )
        said = (
            f"{dataset}: annealed has a higher PSNR than the best of the other methods at every R"
        )
        gains = paired_gain(pd.concat([rows, others]), "annealed", "best", "psnr")
        out.append(smallest_gain(gains, about("samplers", dataset, said, "ours")))
    return out


def one_against_another(
    table: pd.DataFrame,
    better: str,
    worse: str,
    by: str,
    figure: str,
    said: str,
    threshold: float = 0.0,
) -> list[Claim]:
    """Beyond the papers: of every dataset and method, the mean PSNR with one value of the column
    ``by`` against that with another.
    """
    out = []
    for (dataset, method), rows in table.assign(**{by: table[by].map(as_text)}).groupby(
        ["dataset", "method"], sort=False
    ):
        words = about(
            figure, f"{dataset}.{method}", f"{dataset}, {method}: {said}, at every R", "ours"
        )
        out.append(smallest_gain(paired_gain(rows, better, worse, "psnr", by), words, threshold))
    return out


# by the comparison whose table decides them
CLAIMS: dict[str, Callable[[pd.DataFrame], list[Claim]]] = {
    "10_methods_without_shift": without_shift,
    "11_hyperparameters": hyperparameters,
    "12_resolution_shift": resolution_shift,
    "13_posterior_sampling": posterior_sampling,
    "14_gaussian_mask": partial(resolution_shift, psnr="A.10", ssim="A.10"),
    "40_planes": partial(
        one_against_another,
        better="3",
        worse="1",
        by="value",
        figure="planes",
        said="three orientations of slices, for which it was tuned, give a higher mean PSNR than one, with as many slices of each",
    ),
    "40_thick_slices": partial(
        one_against_another,
        better="diverse",
        worse="1",
        by="trained_at",
        figure="thick slices",
        said="on thick slices a diverse prior beats that of the voxels in plane, for which it was tuned",
    ),
    "41_held_out": partial(
        one_against_another,
        better="diverse, part held out",
        worse="diverse",
        by="trained_at",
        figure="held out",
        said="a diverse prior that never saw this voxel size is within 0.3 dB of one that did",
        threshold=-0.3,
    ),
    "42_samplers": samplers,
}


def scorecard(name: str, table: pd.DataFrame) -> list[dict]:
    """The claims that the table of a comparison decides."""
    return [asdict(claim) for claim in CLAIMS[name](table)] if name in CLAIMS else []


def summary(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What a notebook shows of the claims that its tables decide, by the names of their
    comparisons.
    """
    decided = [claim for name, table in tables.items() for claim in scorecard(name, table)]
    return pd.DataFrame(
        decided, columns=["statement", "measured", "threshold", "holds", "agree", "volumes"]
    )
