"""Captions and short tables, made from the tables of figures."""

from dataclasses import dataclass

import pandas as pd

from recon.figures.claims.rules import LEVEL, by_subject, counted, interval
from recon.figures.gallery.words import Words

MOST = 4  # entries that a caption names
DIFFERS = ("value", "prior", "method")  # columns of which one tells the rows of a table apart


@dataclass(frozen=True)
class Short:
    """Means over volumes: a row for each entry, a column for each dataset and R."""

    what: str
    columns: list[str]
    rows: list[tuple[str, list[str]]]


def differing(table: pd.DataFrame) -> list[str]:
    """The columns that tell rows of one volume and R apart, for what they vary."""
    found = [c for c in DIFFERS if c in table and table[c].nunique() > 1]
    if "varied" in table and ("value" in found or table["varied"].nunique() > 1):
        found = ["varied", *found]
    return found or [c for c in ("method", "prior") if c in table][:1]


def short(table: pd.DataFrame, words: Words) -> Short | None:
    """The mean PSNR of each entry, with the interval of its mean where there are three volumes."""
    if "psnr" not in table or not {"dataset", "volume", "R"} <= set(table):
        return None
    by = differing(table)
    if not by or len(table.groupby(by, dropna=False)) > 40:
        return None
    scans = list(table.groupby(["dataset", "R"], sort=False))
    columns = [f"{words.dataset(dataset)}, R = {r:g}" for (dataset, r), _ in scans]
    rows = []
    for entry, group in table.groupby(by, sort=False, dropna=False):
        label = _label(by, entry, words) or "–"
        cells = []
        for (dataset, r), _ in scans:
            here = group[(group["dataset"] == dataset) & (group["R"] == r)]
            cells.append(_mean(here) if len(here) else "–")
        rows.append((label, cells))
    return Short("Mean PSNR in dB ± half of its 95 % interval", columns, rows)


def _mean(rows: pd.DataFrame) -> str:
    """The mean over the subjects, and half of its interval; that of two subjects says nothing."""
    gains = rows.assign(gain=rows["psnr"])[["dataset", "volume", "R", "gain"]]
    values = by_subject(gains)["gain"]
    if len(values) < 3:
        return f"{values.mean():.1f}"
    low, high = interval(values, 1 - LEVEL)
    return f"{values.mean():.1f} ± {(high - low) / 2:.1f}"


def caption(table: pd.DataFrame | None, words: Words) -> str:
    """What a table says of its figure: the order at the highest R of each dataset."""
    if table is None or short(table, words) is None:
        return ""
    by, said = differing(table), []
    for dataset, rows in table.groupby("dataset", sort=False):
        top = rows[rows["R"] == rows["R"].max()]
        means = top.groupby(by, sort=False, dropna=False)["psnr"].mean().sort_values()
        names = [_label(by, entry, words) for entry in means.index]
        order = list(zip(names, means, strict=True))[::-1]
        shown = order if len(order) <= MOST + 1 else [*order[:MOST], order[-1]]
        parts = [f"{name}: {psnr:.1f} dB" for name, psnr in shown]
        if len(order) > MOST + 1:
            parts.insert(MOST, "…")
        where = f"{words.dataset(dataset)}, R = {rows['R'].max():g}"
        said.append(f"{where} ({counted(top['volume'])}). {'; '.join(parts)}.")
    return " ".join(said)


def _label(by: list[str], entry: object, words: Words) -> str:
    """The words for one entry, which has a part for each of the columns ``by``."""
    parts = entry if isinstance(entry, tuple) else (entry,)
    named = [(column, part) for column, part in zip(by, parts, strict=True) if not pd.isna(part)]
    said = {column: words.entry(column, part) for column, part in named}
    if {"varied", "value"} <= set(said):
        said = {"varied": f"{said.pop('varied')} = {said.pop('value')}"} | said
    return ", ".join(said.values())
