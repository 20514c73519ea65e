"""Claims about the figures of paper C (R3DM), and claims of ours about the same tables."""

from dataclasses import replace
from functools import partial

import pandas as pd

from recon.figures.claims.rules import Claim, about, paired_gain, smallest_gain

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
    """Supervised networks trail R3DM by more on another anatomy than on that of their training.

    The datasets are those of one mask: "regular", and "regular_brain" with its settings. Their
    volumes are different people, so the two leads of R3DM are compared as independent samples.
    """
    out = []
    names = list(table["dataset"].unique())
    pairs = [(home, name) for name in names for home in names if name.startswith(f"{home}_")]
    for home, away in pairs:
        for worse in SUPERVISED:
            here, there = (
                paired_gain(table[table["dataset"] == name], "r3dm", worse, "psnr")
                for name in (away, home)
            )
            said = f"{away}: {worse} falls further behind r3dm than on {home}, in mean PSNR"
            words = about("31", f"{away}.{worse}.falls", said, "C")
            out.append(replace(smallest_gain(here, words), against=there))
    return out


def out_of_distribution(table: pd.DataFrame) -> list[Claim]:
    """What is claimed in distribution, on other anatomies; and who loses most there."""
    names = list(table["dataset"].unique())
    away = [name for name in names if any(name.startswith(f"{home}_") for home in names)]
    return better_than_all(table[table["dataset"].isin(away)], "31") + falls_less(table)


def each_term_helps(table: pd.DataFrame) -> list[Claim]:
    """R3DM as tuned has a higher mean PSNR than without ℓ1, total variation or Fourier slices.

    All other settings stay as tuned. The row as tuned is the one that varies none of these.
    """
    out, words = [], {"l1": "ℓ1", "tv": "total variation", "slices": "Fourier slices"}
    table = table.assign(without=table["varied"].where(table["varied"].isin(words), "nothing"))
    for dataset, rows in table.groupby("dataset", sort=False):
        for setting, name in words.items():
            said = (
                f"{dataset}: r3dm has a higher mean PSNR with {name} than without, all else equal"
            )
            gains = paired_gain(rows, "nothing", setting, "psnr", "without")
            out.append(smallest_gain(gains, about("33", f"{dataset}.{setting}", said, "C")))
    return out


def third_dimension(table: pd.DataFrame) -> list[Claim]:
    """Priors of slices, of stacks by attention and in 3D, compared in mean PSNR."""
    out = []
    pairs = [("2D+A", "2D", "C"), ("2D+A", "3D", "ours"), ("3D", "2D", "ours")]
    for (dataset, method), rows in table.groupby(["dataset", "method"], sort=False):
        for better, worse, paper in pairs:
            said = (
                f"{dataset}, {method}: a prior of kind {better} has a higher mean PSNR than {worse}"
            )
            words = about("32", f"{dataset}.{method}.{better}>{worse}", said, paper)
            out.append(smallest_gain(paired_gain(rows, better, worse, "psnr", "dimension"), words))
    return out


CLAIMS = {
    "30_in_distribution": partial(better_than_all, figure="30"),
    "31_out_of_distribution": out_of_distribution,
    "32_dimension": third_dimension,
    "32_annealed": third_dimension,
    "33_without": each_term_helps,
}
