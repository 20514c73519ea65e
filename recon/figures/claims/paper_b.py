"""Claims about the figures of paper B (INFusion), and claims of ours about the same tables.

Errors are NRMSE inside the object, in percent. A lower one is better.
"""

import pandas as pd

from recon.figures.claims.rules import Claim, about, paired_gain, smallest_gain

# Better method, worse method, and who says so.
IN_2D = [
    ("infusion", "inr_wavelet", "B"),
    ("infusion", "l1_wavelet", "B"),
    ("infusion", "inr", "B"),
    ("inr_wavelet", "inr", "B"),
    ("infusion", "annealed", "ours"),
]
IN_3D = [
    ("infusion", "inr", "B"),
    ("infusion", "inr_wavelet", "B"),
    ("infusion", "l1_wavelet", "ours"),
    ("infusion", "annealed", "ours"),
]


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


def slices(table: pd.DataFrame) -> list[Claim]:
    """Paper B, Figure 2."""
    return errors(table, IN_2D, "2")


def volumes(table: pd.DataFrame) -> list[Claim]:
    """Paper B, Figures 3 and 4."""
    return errors(table, IN_3D, "3, 4")


def networks(table: pd.DataFrame) -> list[Claim]:
    """Paper B, Figure 4: the hybrid network takes less memory than the one of all coordinates."""
    out = []
    for (dataset, method), rows in table.groupby(["dataset", "method"], sort=False):
        said = f"{dataset}, {method}: the hybrid network takes less time than all coordinates do"
        gains = paired_gain(rows, "mlp", "columns", "seconds", "value")
        out.append(smallest_gain(gains, about("4", f"{dataset}.{method}.seconds", said)))
    return out


def without_network(table: pd.DataFrame) -> list[Claim]:
    """Ours: the same prior and the same loss over voxels, and our own solver."""
    pairs = [("infusion", "infusion_voxels", "ours"), ("infusion", "variational", "ours")]
    return errors(table, pairs, "22")


CLAIMS = {
    "20_slices": slices,
    "21_volumes": volumes,
    "21_networks": networks,
    "22_voxels": without_network,
}
