"""How every method and every kind of prior looks in every figure."""

import numpy as np
from matplotlib.figure import Figure

from recon import methods

_SHIFTS = {
    "matched": ("C2", "o"),
    "2× coarser": ("C1", "s"),
    "4× coarser": ("C3", "v"),
    "2× finer": ("C8", "^"),
    "4× finer": ("C5", "X"),
    "diverse": ("C0", "D"),
    "diverse, part held out": ("C4", "P"),
}

_PRIORS = {"1": ("C2", "o"), "2": ("C1", "s"), "4": ("C3", "v")}

# How every kind of prior looks in every figure; methods say so themselves.
PRIORS = {
    name: {"label": f"prior: {name}", "color": c, "marker": m} for name, (c, m) in _SHIFTS.items()
}
PRIORS |= {
    name: {"label": f"prior of {name}× voxels", "color": c, "marker": m}
    for name, (c, m) in _PRIORS.items()
}


def style(name: str) -> dict:
    """Label, colour and marker of a method or a kind of prior; those not foreseen share one look."""
    name = str(name)
    if name in methods.names():
        method = methods.lookup(name)
        return {"label": method.label, "color": method.color, "marker": method.marker}
    return PRIORS.get(name, {"label": name, "color": "C7", "marker": "."})


def legend(fig: Figure, axes: np.ndarray) -> None:
    """One legend beside all panels, every label once."""
    handles = {
        text: line
        for ax in axes.flat
        for line, text in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    fig.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=9)
