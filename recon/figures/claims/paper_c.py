"""Claims about the figures of paper C (R3DM), and claims of ours about the same tables."""

from functools import partial

import pandas as pd

from recon.figures.claims.rules import Claim, about, as_text, paired_gain, smallest_gain

BASELINES = ("diffusion_mbir", "modl", "fastmri_unet", "grappa")  # of the paper
SUPERVISED = ("modl", "fastmri_unet")
METRICS = {"psnr": "PSNR", "ssim": "SSIM"}


def better_than_all(table: pd.DataFrame, figure: str) -> list[Claim]:
    """R3DM has a higher mean PSNR and SSIM than the baselines; ours are ℓ1-wavelet and annealed."""
    out, others = [], [(name, "C") for name in BASELINES]
    others += [("l1_wavelet", "ours"), ("annealed", "ours")]
    for dataset, rows in table.groupby("dataset", sort=False):
        for metric, label in METRICS.items():
            for worse, paper in others:
                said = f"{dataset}: r3dm has a higher mean {label} than {worse} at every R"
                words = about(figure, f"{dataset}.r3dm>{worse}.{metric}", said, paper)
                out.append(smallest_gain(paired_gain(rows, "r3dm", worse, metric), words))
    return out


def falls_less(table: pd.DataFrame) -> list[Claim]:
    """Supervised networks lose more to R3DM on another anatomy than on that of their training.

    The datasets are those of one mask: "regular", and "regular_brain" with its settings.
    """
    out = []
    names = list(table["dataset"].unique())
    pairs = [(home, name) for name in names for home in names if name.startswith(f"{home}_")]
    for home, away in pairs:
        for worse in SUPERVISED:
            leads = [
                paired_gain(table[table["dataset"] == where], "r3dm", worse, "psnr").assign(
                    dataset=away, place=place
                )
                for where, place in ((home, "home"), (away, "away"))
            ]
            both = pd.concat(leads)
            gains = paired_gain(both, "away", "home", "gain", "place") if len(both) else both
            said = f"{away}: {worse} falls further behind r3dm than on {home}, in mean PSNR"
            out.append(smallest_gain(gains, about("31", f"{away}.{worse}.falls", said, "C")))
    return out


def out_of_distribution(table: pd.DataFrame) -> list[Claim]:
    """What is claimed in distribution, on other anatomies; and who loses most there."""
    names = list(table["dataset"].unique())
    away = [name for name in names if any(name.startswith(f"{home}_") for home in names)]
    return better_than_all(table[table["dataset"].isin(away)], "31") + falls_less(table)


def each_term_helps(table: pd.DataFrame) -> list[Claim]:
    """Without ℓ1, total variation or Fourier slices the mean PSNR is lower than with the best."""
    table, out = table.assign(value=table["value"].map(as_text)), []
    words = {"l1": "ℓ1", "tv": "total variation", "slices": "Fourier slices"}
    for (dataset, setting), rows in table.groupby(["dataset", "varied"], sort=False):
        if setting not in words or "0" not in set(rows["value"]):
            continue
        with_it = rows[rows["value"] != "0"]
        best = with_it.groupby("value")["psnr"].mean().idxmax() if len(with_it) else "0"
        said = f"{dataset}: {words[setting]} raises the mean PSNR of r3dm at every R"
        gains = paired_gain(rows, best, "0", "psnr", "value")
        out.append(smallest_gain(gains, about("33", f"{dataset}.{setting}", said, "C")))
    return out


def third_dimension(table: pd.DataFrame, pairs: list[tuple[str, str, str, str]]) -> list[Claim]:
    """Priors with the same minutes of training, compared in mean PSNR for every method."""
    table = table.assign(kind=table["prior"].map(kind_of))
    out = []
    for (dataset, method), rows in table.groupby(["dataset", "method"], sort=False):
        for better, worse, said, paper in pairs:
            statement = f"{dataset}, {method}: {said}, at every R"
            words = about("32", f"{dataset}.{method}.{better}>{worse}", statement, paper)
            out.append(smallest_gain(paired_gain(rows, better, worse, "psnr", "kind"), words))
    return out


def kind_of(prior: str) -> str:
    """What a prior looks at, from the end of its name."""
    ends = {"_stack": "2D+A", "_solid": "3D", "_longer": "2D"}
    return next((kind for end, kind in ends.items() if str(prior).endswith(end)), "2D, shorter")


CLAIMS = {
    "30_in_distribution": partial(better_than_all, figure="30"),
    "31_out_of_distribution": out_of_distribution,
    "32_dimension": partial(
        third_dimension,
        pairs=[
            ("2D+A", "2D", "attention across slices is worth its cost", "C"),
            ("2D+A", "3D", "attention across slices beats 3D convolutions", "ours"),
        ],
    ),
    "33_terms": each_term_helps,
}
