"""Curves: quality against acceleration, settings, cost."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from recon.figures import claims
from recon.figures.style import legend, style


def curves(table: pd.DataFrame, metrics: dict[str, str], by: str = "method") -> Figure:
    """Mean over the volumes against acceleration, a row per dataset, a line per value of the column
    ``by``; bars: standard deviation.
    """
    datasets = list(table["dataset"].unique())
    size = (4.0 * len(metrics) + 2, 3.3 * len(datasets))
    fig, axes = plt.subplots(
        len(datasets), len(metrics), figsize=size, squeeze=False, layout="constrained"
    )
    for row, dataset in zip(axes, datasets, strict=True):
        for ax, (metric, label) in zip(row, metrics.items(), strict=True):
            shown = claims.one_row_each(table[table["dataset"] == dataset], by)
            for name, group in shown.groupby(by, sort=False):
                stats = group.groupby("R")[metric].agg(["mean", "std"])
                ax.errorbar(
                    stats.index,
                    stats["mean"],
                    stats["std"].fillna(0),
                    capsize=2,
                    markersize=5,
                    **style(name),
                )
            ax.set(xlabel="acceleration R", ylabel=label, xticks=sorted(shown["R"].unique()))
            ax.set_title(f"{dataset} ({shown['origin'].iloc[0]})")
            ax.grid(alpha=0.3)
    legend(fig, axes)
    return fig


def losses(table: pd.DataFrame, metrics: dict[str, str], best: str = "matched") -> Figure:
    """Paired difference of every prior to the ``best`` one against acceleration: a dot per volume,
    a line through the means.
    """
    datasets = list(table["dataset"].unique())
    size = (4.0 * len(metrics) + 2, 2.8 * len(datasets))
    fig, axes = plt.subplots(
        len(datasets), len(metrics), figsize=size, squeeze=False, layout="constrained"
    )
    for row, dataset in zip(axes, datasets, strict=True):
        shown = table[table["dataset"] == dataset]
        for ax, (metric, label) in zip(row, metrics.items(), strict=True):
            for name in (n for n in shown["shift"].unique() if n != best):
                gains = claims.paired_gain(shown, name, best, metric, "shift")
                means = gains.groupby("R")["gain"].mean()
                line = ax.plot(means.index, means, **style(name))[0]
                ax.plot(gains["R"], gains["gain"], ".", alpha=0.5, color=line.get_color())
            ax.axhline(0, color="black", lw=0.8)
            ax.set(
                xlabel="acceleration R",
                ylabel=f"Δ {label}",
                title=dataset,
                xticks=sorted(shown["R"].unique()),
            )
            ax.grid(alpha=0.3)
    legend(fig, axes)
    return fig


def sweeps(table: pd.DataFrame, metric: str = "psnr", label: str = "PSNR [dB]") -> Figure:
    """A panel per setting that was varied, a line per dataset and R: the mean over the volumes at
    every value.
    """
    settings = list(table["varied"].unique())
    fig, axes = plt.subplots(
        1,
        len(settings),
        figsize=(3.2 * len(settings), 3.2),
        squeeze=False,
        layout="constrained",
        sharey=True,
    )
    for ax, setting in zip(axes[0], settings, strict=True):
        shown = claims.one_row_each(table[table["varied"] == setting], "value")
        values = list(shown["value"].map(claims.as_text).unique())
        for (dataset, acceleration), rows in shown.groupby(["dataset", "R"], sort=False):
            means = (
                rows.assign(value=rows["value"].map(claims.as_text)).groupby("value")[metric].mean()
            )
            ax.plot(values, means[values], "o-", label=f"{dataset}, R = {acceleration:g}")
        ax.set(xlabel=setting)
        ax.grid(alpha=0.3)
    axes[0, 0].set_ylabel(label)
    axes[0, 0].legend(fontsize=8)
    return fig


def orientations(table: pd.DataFrame) -> Figure:
    """PSNR and time against the number of orientations whose slices are regularised, a line per
    method and R: means over the volumes.
    """
    fig, axes = plt.subplots(1, 2, figsize=(10.5, 3.4), layout="constrained")
    lines = dict(
        zip(sorted(table["R"].unique()), ("-", "--", ":", "-.") * len(table), strict=False)
    )
    for ax, (column, label) in zip(
        axes, {"psnr": "PSNR [dB]", "seconds": "time [s]"}.items(), strict=True
    ):
        for (method, acceleration), rows in table.groupby(["method", "R"], sort=False):
            means = rows.groupby("value")[column].mean()
            ax.plot(
                means.index.astype(int),
                means,
                linestyle=lines[acceleration],
                **style(method) | {"label": f"{style(method)['label']}, R = {acceleration:g}"},
            )
        ax.set(
            xlabel="orientations", ylabel=label, xticks=sorted(table["value"].astype(int).unique())
        )
        ax.grid(alpha=0.3)
    fig.legend(*axes[0].getlegend_handles_labels(), loc="outside right upper", fontsize=8)
    return fig


def averages(table: pd.DataFrame) -> Figure:
    """PSNR of the mean of several draws against their number, a line per volume."""
    fig, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
    for volume, rows in table.groupby("volume", sort=False):
        ax.plot(rows["draws"], rows["psnr"], marker="o", label=f"volume {volume}")
    ax.set(xlabel="draws averaged", ylabel="PSNR [dB]", xticks=sorted(table["draws"].unique()))
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return fig


def cost(table: pd.DataFrame) -> Figure:
    """PSNR against network evaluations and against time: a dot per case."""
    fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained", sharey=True)
    for ax, (column, label) in zip(
        axes, {"denoised_slices": "slices denoised", "seconds": "time [s]"}.items(), strict=True
    ):
        for name, rows in table.groupby("method", sort=False):
            ax.plot(
                rows[column],
                rows["psnr"],
                linestyle="",
                **{k: v for k, v in style(name).items() if k != "linestyle"},
            )
        ax.set(xscale="log", xlabel=label)
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("")
        ax.grid(alpha=0.3)
    axes[0].set_ylabel("PSNR [dB]")
    axes[1].legend(fontsize=8)
    return fig


def convergence(traces: pd.DataFrame) -> Figure:
    """PSNR against the number of slices denoised, one line per solver, one panel per dataset."""
    datasets = list(traces["dataset"].unique())
    fig, axes = plt.subplots(
        1, len(datasets), figsize=(5 * len(datasets), 3.4), squeeze=False, layout="constrained"
    )
    for ax, dataset in zip(axes[0], datasets, strict=True):
        for solver, rows in traces[traces["dataset"] == dataset].groupby("solver", sort=False):
            ax.plot(rows["denoised_slices"], rows["psnr"], label=solver)
        ax.set(
            xscale="log",
            xlabel="slices denoised",
            ylabel="PSNR [dB]",
            title=f"{dataset}, R = {rows['R'].iloc[0]:g}",
        )
        ax.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8)
    return fig
