"""Findings: sentences that a notebook computes from the tables of the configuration that ran.

Every function returns a list of sentences, one for each dataset or method that its tables decide,
and an empty list where something is missing. Differences are means over the volumes that both sides
share, one mean for each acceleration R; the words follow the signs of these means. A newcomer adds
a function that takes a table and returns sentences.
"""

from itertools import chain

import pandas as pd
from IPython.display import Markdown, display

from recon.figures import claims
from recon.figures.style import style

# Of metrics for which more is better: the unit, the name in a sentence, the decimals.
METRICS = {
    "psnr": (" dB", "", 1),
    "psnr_volume": (" dB", " over the whole volume", 1),
    "psnr_reference": (" dB", " against the noisy reference", 1),
    "ssim": ("", " in SSIM", 2),
    "ssim_3d": ("", " in 3D SSIM", 2),
}


def ahead(
    table: pd.DataFrame, better: str, worse: str, metric: str = "psnr", by: str = "method"
) -> list[str]:
    """How far one method lies ahead of another or behind it, one sentence for each dataset.

    ``by`` names the column that holds ``better`` and ``worse``. With another column than "method"
    (a prior, a varied value, a number of draws) each method has a sentence of its own, but for the
    column "entry", which has methods and priors (see `claims.entries`). ``metric`` is one of
    `METRICS`.
    """
    if better == worse:
        return []
    table = table.assign(**{by: table[by].map(claims.as_text)})
    alone = by not in ("method", "entry") and "method" in table
    keys = ["dataset", *(["method"] if alone else [])]
    keys += ["varied"] if by == "value" else []
    found = []
    for group, rows in table.groupby(keys, sort=False, dropna=False):
        gains = claims.paired_gain(rows, better, worse, metric, by)
        if len(gains):
            about = dict(zip(keys, group, strict=True))
            sides = [_side(by, name, about.get("varied", "")) for name in (better, worse)]
            found.append(f"{_place(about)}, {_compared(gains, *sides, metric)}.")
    return found


def losses(table: pd.DataFrame, metric: str = "psnr") -> list[str]:
    """How far priors of other voxel sizes lie behind the matched one or ahead of it.

    The column ``shift`` names the priors, as `recon.figures.claims.shift_of` makes it. There is one
    sentence for each prior, method and dataset.
    """
    others = [name for name in table["shift"].unique() if name not in ("", "matched")]
    return [s for name in others for s in ahead(table, name, "matched", metric, "shift")]


def ranking(table: pd.DataFrame, metric: str = "psnr") -> list[str]:
    """The methods from the best mean to the worst, one sentence for each dataset and R.

    The means are over the volumes that every method has; there is no sentence about one method.
    """
    unit, name, decimals = METRICS[metric]
    found = []
    for (dataset, acceleration), rows in table.groupby(["dataset", "R"], sort=False):
        wide = claims.one_row_each(rows, "method").pivot(
            index="volume", columns="method", values=metric
        )
        means = wide.dropna().mean().dropna().sort_values(ascending=False)
        if len(means) > 1:
            order = [f"{style(m)['label']} {v:.{decimals}f}{unit}" for m, v in means.items()]
            where = f"On {dataset} at R = {acceleration:g} the order{name} is"
            found.append(f"{where}: {', '.join(order)} ({_count(wide.dropna().index)}).")
    return found


def settings(table: pd.DataFrame, metric: str = "psnr") -> list[str]:
    """Which value of each varied setting has the highest mean, and how far below is the lowest.

    There is one sentence for each dataset, method, setting and R. The means are over the volumes
    that every value has; there is no sentence about one value.
    """
    unit, name, decimals = METRICS[metric]
    table, found = table.assign(value=table["value"].map(claims.as_text)), []
    for group, rows in table.groupby(["dataset", "method", "varied", "R"], sort=False):
        dataset, method, setting, acceleration = group
        wide = claims.one_row_each(rows, "value").pivot(
            index="volume", columns="value", values=metric
        )
        means = wide.dropna().mean().dropna()
        if len(means) > 1:
            spread = means.max() - means.min()
            where = f"On {dataset} at R = {acceleration:g} with {style(method)['label']}"
            highest = f"`{setting}` = {means.idxmax()} has the highest mean{name}, "
            highest += f"{means.max():.{decimals}f}{unit}"
            lowest = f"{means.idxmin()} has the lowest, {_number(spread, decimals)}{unit} less"
            if spread < _least(decimals) / 2:
                highest = f"the value of `{setting}` makes no difference{name}"
                lowest = f"all agree to within {_least(decimals):g}{unit}"
            found.append(f"{where}, {highest}; {lowest} ({_count(wide.dropna().index)}).")
    return found


def costs(table: pd.DataFrame, cheaper: str, dearer: str) -> list[str]:
    """How many slices one method denoises and how long it takes, relative to another method.

    The ratios are those of the sums over the cases that both have. There is no sentence about
    methods without a prior.
    """
    found = []
    for dataset, rows in table.groupby("dataset", sort=False):
        ratios = []
        for column in ("denoised_slices", "seconds"):
            chosen = claims.one_row_each(rows[rows["method"].isin([cheaper, dearer])], "method")
            wide = chosen.pivot(index=["volume", "R"], columns="method", values=column)
            if {cheaper, dearer} <= set(wide) and wide.dropna()[dearer].sum() > 0:
                total = wide.dropna().sum()
                ratios.append(total[cheaper] / total[dearer])
        if len(ratios) == 2 and min(ratios) > 0:
            one, other = style(cheaper)["label"], style(dearer)["label"]
            found.append(
                f"On {dataset}, {one} denoised {ratios[0]:.2g} times as many slices as {other} "
                f"and took {ratios[1]:.2g} times as long."
            )
    return found


def verdicts(tables: dict[str, pd.DataFrame]) -> list[str]:
    """How many of the claims hold that the tables decide, and which do not.

    ``tables`` are named by their comparisons. The list is empty where nothing is claimed of them.
    """
    decided = claims.summary(tables)
    if decided.empty:
        return []
    known = decided[decided["holds"].notna()]
    failed = known.loc[~known["holds"].astype(bool), "statement"]
    open_claims = len(decided) - len(known)
    if known.empty:
        return [f"0 of {_claims(open_claims)} can be decided from these tables."]
    said = f"{len(known) - len(failed)} of {len(known)} decided claims hold"
    said += "; these do not:" if len(failed) else "."
    said += "".join(f"\n    - {statement}" for statement in failed)
    rest = f"{_claims(open_claims)} cannot be decided from these tables." if open_claims else ""
    return [said, rest] if rest else [said]


def show(*sentences: list[str]) -> None:
    """Displays sentences as the bullets of one list, or says that there are none."""
    found = list(chain.from_iterable(sentences)) or ["The tables at hand decide nothing here."]
    display(Markdown("\n".join(f"- {sentence}" for sentence in found)))


def _place(about: dict[str, str]) -> str:
    """Where a sentence holds: on a dataset and, if it is not about methods, with a method."""
    with_method = f" with {style(about['method'])['label']}" if "method" in about else ""
    place = about["dataset"]
    place = place.capitalize() if place.startswith("at ") else f"On {place}"
    return place + with_method


def _side(by: str, name: str, setting: str) -> str:
    """What one side of a comparison is called in a sentence."""
    if by == "method":
        return style(name)["label"]
    if by == "value":
        return f"`{setting}` = {name}"
    if by == "draws":
        return "one draw" if name == "1" else f"the mean of {name} draws"
    if by == "prior":
        return f"the prior {name}"
    if by == "entry" and name not in ("matched", "diverse"):
        return f"the prior with {name}" if "kernels" in name else style(name)["label"]
    if by == "dimension":
        return f"the {name} prior"
    if name == "diverse, part held out":
        return "the diverse prior without the part held out"
    if name in ("matched", "diverse"):
        return f"the {name} prior"
    return f"the prior of {name} voxels" if by == "shift" else f"the prior of {name}× voxels"


def _compared(gains: pd.DataFrame, one: str, other: str, metric: str) -> str:
    """The comparison itself: the range of the mean gain over R in words that follow its sign."""
    unit, name, decimals = METRICS[metric]
    means = gains.groupby("R")["gain"].mean()
    low, high = float(means.min()), float(means.max())
    basis = f"at {_accelerations(means.index)} ({_count(gains['volume'])})"
    if max(abs(low), abs(high)) < _least(decimals) / 2:
        return f"{one} is level with {other}{name} to within {_least(decimals):g}{unit} {basis}"
    if low >= 0:
        return f"{one} is {_range(low, high, decimals)}{unit} ahead of {other}{name} {basis}"
    if high <= 0:
        return f"{one} is {_range(abs(high), -low, decimals)}{unit} behind {other}{name} {basis}"
    back, front = (_number(v, decimals) for v in (-low, high))
    between = f"between {back}{unit} behind and {front}{unit} ahead of {other}"
    return f"{one} lies {between}{name} {basis}"


def _range(low: float, high: float, decimals: int) -> str:
    """Two numbers of one sign with as many decimals as the smaller one needs, or one if both print
    alike.
    """
    decimals += low < 0.95 * 10.0**-decimals
    ends = [f"{value:.{decimals}f}" for value in (low, high)]
    return ends[0] if ends[0] == ends[1] else " to ".join(ends)


def _number(value: float, decimals: int) -> str:
    """A number of at least 0 with one decimal more where it would otherwise vanish."""
    return _range(value, value, decimals)


def _least(decimals: int) -> float:
    """The smallest difference that is printed."""
    return 10.0 ** -(decimals + 1)


def _accelerations(values: pd.Index) -> str:
    low, high = f"{min(values):g}", f"{max(values):g}"
    return f"R = {low}" if low == high else f"R = {low} to {high}"


def _count(volumes: pd.Series | pd.Index) -> str:
    found = claims.counted(pd.Series(volumes))
    return found if found == "1 volume" else f"mean over {found}"


def _claims(count: int) -> str:
    return "1 claim" if count == 1 else f"{count} claims"
