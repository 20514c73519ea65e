"""How every method and every kind of prior looks in every figure."""

import re
import textwrap
from collections.abc import Iterable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from recon import methods
from recon.figures.claims import as_text

# Kinds of priors: by the difference of the voxels, or by the voxel factor of the training data.
# "matched" and "1" look alike, because figures show one or the other; so do "2× coarser" and "2".
_SHIFTS = {
    "matched": ("C2", "o"),
    "2× coarser": ("C1", "s"),
    "4× coarser": ("C3", "v"),
    "2× finer": ("C8", "^"),
    "4× finer": ("C5", "X"),
    "diverse": ("C0", "D"),
    "diverse, part held out": ("C4", "P"),
}
_FACTORS = {"1": ("C2", "o"), "2": ("C1", "s"), "4": ("C3", "v")}
MARKERS = "osv^DPX"
# The cycle of seaborn's palette "colorblind", after Wong 2011 (Nature Methods 8, 441). The hues
# have matplotlib's order: C0 is blue, C1 orange, C2 green, C3 red.
COLOURS = (
    *("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"),
    *("#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"),
)
plt.rcParams["axes.prop_cycle"] = plt.cycler(color=COLOURS)
WIDEST = 38  # letters beside an axis
PER_INCH = 11  # letters of a title

PRIORS = {
    name: {"label": f"prior: {name}", "color": c, "marker": m} for name, (c, m) in _SHIFTS.items()
}
PRIORS |= {
    name: {"label": f"prior of {name}× voxels", "color": c, "marker": m}
    for name, (c, m) in _FACTORS.items()
}


def scan(table: pd.DataFrame, dataset: str, inches: float, rest: str = "") -> str:
    """The title of a panel so wide: the label of a dataset and the rest, in lines that fit."""
    label, most = table.attrs.get("labels", {}).get(dataset, dataset), int(PER_INCH * inches)
    if len(line := f"{label}, {rest}" if rest else label) <= most:
        return line
    return "\n".join([*textwrap.wrap(label, most), *([rest] if rest else [])])


# What settings are called on axes and in tables, where their names say little.
SETTINGS = {
    "t_max": "highest timestep T'",
    "slices": "slices per axis and iteration",
    "slab": "slices in a slab",
    "schedule": "timesteps",
    "planes": "orientations",
    "every": "iterations that a sample is kept",
    "sigma": "largest noise σ",
    "held_out": "share held out",
    "distance": "distance",
    "pixel": "pixels of the prior",
    "learning_rate": "learning rate",
}


def style(name: str | float) -> dict[str, str]:
    """Label, colour and marker of a method, as it says itself, or of a kind of prior.

    All other names share one grey look and keep their labels.
    """
    name = as_text(name)
    if name in methods.names():
        method = methods.lookup(name)
        return {"label": method.label, "color": method.color, "marker": method.marker}
    return PRIORS.get(name, {"label": name, "color": "C7", "marker": "."})


def named(text: str) -> str:
    """A text with the labels of methods in place of their names.

    A setting may have the name of a method as its value, and then keeps it.
    """
    longest = sorted(methods.names(), key=len, reverse=True)
    pattern = rf"(?<!` = )\b({'|'.join(longest)})\b(?! has the lowest)"
    return re.sub(pattern, lambda m: methods.lookup(m[0]).label, text)


def looks(names: Iterable[str | float]) -> dict[str | float, dict[str, str]]:
    """The look of each of several lines; names that have none of their own get one by place.

    Their colours are those of the cycle that the others leave.
    """
    names = list(names)
    unknown = [name for name in names if as_text(name) not in (*methods.names(), *PRIORS)]
    taken = {style(name)["color"] for name in names if name not in unknown}
    free = [c for c in (f"C{i}" for i in range(len(COLOURS))) if c not in taken] or ["C7"]
    numbered = {}
    for i, name in enumerate(unknown):
        rounds, place = divmod(i, len(free))  # in each round a colour has another marker
        marker = MARKERS[(place + rounds) % len(MARKERS)]
        numbered[name] = {"color": free[place], "marker": marker}
    return {name: style(name) | numbered.get(name, {}) for name in names}


def quality(table: pd.DataFrame) -> dict[str, str]:
    """The labels of PSNR and SSIM, which say what volumes are compared with; see `psnr_label`."""
    return {"psnr": psnr_label(table), "ssim": f"SSIM of sagittal slices{_against(table)}"}


def psnr_label(table: pd.DataFrame) -> str:
    """The label of PSNR: it counts the object alone, against the truth or a noisy reference."""
    return f"PSNR in the object{_against(table)} [dB]"


def _against(table: pd.DataFrame) -> str:
    """What the rows of a table are compared with, in words; empty where they do not say it."""
    names = sorted(set(table["target"])) if "target" in table else []
    words = textwrap.wrap(f"against the {' or '.join(names)}", WIDEST)
    return "\n" + "\n".join(words) if names else ""


def legend(fig: Figure, axes: np.ndarray, fontsize: float = 9) -> None:
    """One legend beside all panels, with every label once."""
    handles = {
        text: line
        for ax in axes.flat
        for line, text in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    fig.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=fontsize)
