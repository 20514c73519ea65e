"""Claims of ours about tables that no paper has."""

from functools import partial

import pandas as pd

from recon.figures.claims.rules import (
    Claim,
    about,
    as_text,
    largest_gain,
    paired_gain,
    shift_of,
    smallest_gain,
)


def one_against_another(
    table: pd.DataFrame,
    better: str,
    worse: str,
    by: str,
    figure: str,
    said: str,
    threshold: float = 0.0,
) -> list[Claim]:
    """Two values of the column ``by`` compared in mean PSNR, for every dataset and method.

    The gain of ``better`` over ``worse`` exceeds ``threshold`` in dB at every R.
    """
    table = table.assign(**{by: table[by].map(as_text)})
    out = []
    for (dataset, method), rows in table.groupby(["dataset", "method"], sort=False):
        statement = f"{dataset}, {method}: {said}, at every R"
        words = about(figure, f"{dataset}.{method}", statement, "ours")
        out.append(smallest_gain(paired_gain(rows, better, worse, "psnr", by), words, threshold))
    return out


def samplers(table: pd.DataFrame) -> list[Claim]:
    """The annealed solver against the best of all other methods with a prior, volume by volume."""
    out = []
    for dataset, rows in table.groupby("dataset", sort=False):
        others = rows[rows["method"] != "annealed"]
        best = others.groupby(["dataset", "volume", "R"], as_index=False)["psnr"].max()
        gains = paired_gain(
            pd.concat([rows, best.assign(method="best")]), "annealed", "best", "psnr"
        )
        said = (
            f"{dataset}: annealed has a higher PSNR than the best of the other methods at every R"
        )
        out.append(smallest_gain(gains, about("samplers", str(dataset), said, "ours")))
    return out


def tuned_with_the_prior(table: pd.DataFrame) -> list[Claim]:
    """What tuning with an exchanged prior gains over settings of the matched one.

    And whether the matched prior is ahead of one that has settings of its own. The scans of the
    datasets are the same; their names say with which prior they were tuned.
    """
    usual = table["dataset"].min()  # the shortest name: the others add to it
    way = table["dataset"].eq(usual).map({True: "usual", False: "own"})
    table = table.assign(way=way.mask(shift_of(table).eq("matched"), "matched"), dataset=usual)
    matched, out = table[table["way"] == "matched"], []
    for prior, rows in table[table["way"] != "matched"].groupby("prior", sort=False):
        gains = paired_gain(rows, "own", "usual", "psnr", "way")
        said = f"{usual}: settings tuned with the prior {prior} itself gain less than 0.3 dB"
        out.append(largest_gain(gains, about("tuning", f"{usual}.{prior}", said, "ours"), 0.3))
        gains = paired_gain(pd.concat([rows, matched]), "matched", "own", "psnr", "way")
        said = f"{usual}: the matched prior beats {prior} with settings of its own, at every R"
        out.append(smallest_gain(gains, about("tuning", f"{usual}.>{prior}", said, "ours")))
    return out


def seeds(table: pd.DataFrame) -> list[Claim]:
    """The spread over seeds, volume by volume, is below what is called a difference."""
    out = []
    labels = ["dataset", "volume", "R"]
    for (dataset, method), rows in table.groupby(["dataset", "method"], sort=False):
        spread = rows.groupby(labels)["psnr"].std().rename("gain").reset_index()
        said = f"{dataset}, {method}: seeds change the PSNR by less than 0.1 dB (one deviation)"
        out.append(largest_gain(spread, about("seeds", f"{dataset}.{method}", said, "ours"), 0.1))
    return out


def own_pixels(table: pd.DataFrame) -> list[Claim]:
    """The annealed solver with a prior at its own pixels, against diverse training."""
    table = table.assign(value=table["value"].map(as_text))
    told = {("diverse", "1"): "diverse", ("", "1"): "as it is", ("", "prior"): "own pixels"}
    kinds = shift_of(table).where(lambda shift: shift == "diverse", "")
    table = table.assign(way=[told.get(key) for key in zip(kinds, table["value"], strict=True)])
    out = []
    for dataset, rows in table.dropna(subset="way").groupby("dataset", sort=False):
        for better, worse in (("own pixels", "as it is"), ("diverse", "own pixels")):
            said = f"{dataset}: annealed, prior {better} beats prior {worse} at every R"
            words = about("own pixels", f"{dataset}.{better}>{worse}", said, "ours")
            out.append(smallest_gain(paired_gain(rows, better, worse, "psnr", "way"), words))
    return out


def over_wavelet(table: pd.DataFrame, figure: str, names: tuple[str, ...]) -> list[Claim]:
    """The methods with a prior against ℓ1-wavelet."""
    out = []
    for dataset, rows in table.groupby("dataset", sort=False):
        for method in names:
            said = f"{dataset}: {method} has a higher mean PSNR than l1_wavelet at every R"
            words = about(figure, f"{dataset}.{method}>l1_wavelet", said, "ours")
            out.append(smallest_gain(paired_gain(rows, method, "l1_wavelet", "psnr"), words))
    return out


CLAIMS = {
    "18_larger_voxels": own_pixels,
    "18_smaller_voxels": own_pixels,
    "40_planes": partial(
        one_against_another,
        better="3",
        worse="1",
        by="value",
        figure="planes",
        said="three orientations of slices, for which it was tuned, give a higher mean PSNR than "
        "one, with as many slices of each",
    ),
    "40_thick_slices": partial(
        one_against_another,
        better="diverse",
        worse="1",
        by="trained_at",
        figure="thick slices",
        said="on thick slices a diverse prior beats that of the voxels in plane, for which it was "
        "tuned",
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
    "43_tuned_with_the_prior": tuned_with_the_prior,
    "43_seeds": seeds,
    "43_high_acceleration": partial(
        over_wavelet, figure="high R", names=("variational", "annealed")
    ),
    "44_defaults": partial(over_wavelet, figure="real slices", names=("annealed",)),
}
