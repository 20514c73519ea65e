"""Claims about the figures of paper B (INFusion), and claims of ours about the same tables.

Errors are NRMSE inside the object, in percent. A lower one is better.
"""

from functools import partial

import pandas as pd

from recon.figures.claims.rules import Claim, about, paired_gain, smallest_gain

# Better method, worse method, and who says so. The text of Figure 2 is about both wavelet methods,
# that of Figure 3 about networks with ℓ1-wavelet and without.
MANY = [
    ("infusion", "inr_wavelet", "B"),
    ("infusion", "l1_wavelet", "B"),
    ("infusion", "inr", "ours"),
    ("infusion", "annealed", "ours"),
]
ONE_AND_FOUR = [(*pair, "B" if pair[1] == "inr" else paper) for *pair, paper in MANY]
IN_3D = [
    ("infusion", "inr", "B"),
    ("infusion", "inr_wavelet", "ours"),
    ("infusion", "l1_wavelet", "ours"),
    ("infusion", "annealed", "ours"),
]
# The same prior and the same loss over voxels, and our own solver.
WITHOUT_NETWORK = [("infusion", "infusion_voxels", "ours"), ("infusion", "annealed", "ours")]


def errors(table: pd.DataFrame, pairs: list[tuple[str, str, str]], figure: str) -> list[Claim]:
    """Pair by pair, one method has a smaller error than another at every R."""
    table = table.assign(percent=100 * table["nrmse"])
    out = []
    for dataset, rows in table.groupby("dataset", sort=False):
        for better, worse, paper in pairs:
            said = f"{dataset}: {better} has a lower mean NRMSE than {worse} at every R"
            words = about(figure, f"{dataset}.{better}<{worse}.nrmse", said, paper)
            out.append(smallest_gain(paired_gain(rows, worse, better, "percent"), words))
    return out


def networks(table: pd.DataFrame) -> list[Claim]:
    """Paper B, Figure 4: the hybrid network takes less memory than the one of all coordinates.

    A claim of ours is about time.
    """
    out = []
    for (dataset, method), rows in table.groupby(["dataset", "method"], sort=False):
        for column, what, paper in (("peak_memory_mb", "memory", "B"), ("seconds", "time", "ours")):
            said = f"{dataset}, {method}: the hybrid network takes less {what} than all coordinates"
            words = about("4", f"{dataset}.{method}.{column}", said, paper)
            out.append(smallest_gain(paired_gain(rows, "mlp", "columns", column, "value"), words))
    return out


CLAIMS = {
    "20_slices": partial(errors, pairs=MANY, figure="2"),
    "20_one_and_four_coils": partial(errors, pairs=ONE_AND_FOUR, figure="3"),
    "21_volumes": partial(errors, pairs=IN_3D, figure="4"),
    "21_networks": networks,
    "22_voxels": partial(errors, pairs=WITHOUT_NETWORK, figure="22"),
    "23_heads": partial(errors, pairs=[(*pair, "ours") for *pair, _ in MANY], figure="23"),
}
