"""Charts of tables: quality against acceleration, settings and cost."""

from itertools import cycle
from math import ceil

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from recon.figures import claims
from recon.figures.style import SETTINGS, legend, looks, psnr_label, scan, style
from recon.study import draws

ABREAST = 3  # panels in a row, where there may be many
FEW = 4  # values, of which a box says less than dots
LONG = 20  # characters of labels below a panel that hide one another


def curves(table: pd.DataFrame, metrics: dict[str, str], by: str = "method") -> Figure:
    """Mean over the volumes against acceleration, with bars of one standard deviation.

    There is a row of panels for each dataset, a panel for each of ``metrics`` (column: label), and
    a line for each value of the column ``by``.
    """
    datasets = list(table["dataset"].unique())
    size = (4.0 * len(metrics) + 2, 3.3 * len(datasets))
    fig, axes = plt.subplots(
        len(datasets), len(metrics), figsize=size, squeeze=False, layout="constrained"
    )
    look = looks(table[by].unique())  # one for all panels
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
                    **look[name],
                )
            ax.set(xlabel="acceleration R", ylabel=label, xticks=sorted(shown["R"].unique()))
            called, origin = scan(table, dataset, 4.0), shown["origin"].iloc[0]
            ax.set_title(called if origin in called else f"{called} ({origin})")
            ax.grid(alpha=0.3)
    legend(fig, axes)
    return fig


def boxes(table: pd.DataFrame, metric: str, label: str, by: str = "method") -> Figure:
    """The spread of ``metric`` over the volumes, a box for each value of the column ``by``.

    There is a panel for each dataset and acceleration, up to `ABREAST` in a row. A grey line joins
    the results of one volume. The box holds the middle half, its line is the median. Of fewer than
    `FEW` volumes there are dots and a line at their mean.
    """
    scans = list(table.groupby(["dataset", "R"], sort=False))
    look, across = looks(table[by].unique()), min(ABREAST, len(scans))
    rows = ceil(len(scans) / across)
    size = (0.75 * len(look) * across + 3.5, 3.6 * rows)
    fig, axes = plt.subplots(
        rows, across, figsize=size, squeeze=False, layout="constrained", sharey=True
    )
    for ax in axes.flat[len(scans) :]:
        ax.set_axis_off()
    for ax, ((dataset, acceleration), shown) in zip(axes.flat, scans, strict=False):
        wide = claims.one_row_each(shown, by).pivot(index="volume", columns=by, values=metric)
        wide = wide[[name for name in look if name in wide]]
        places = range(len(wide.columns))
        ax.plot(places, wide.T.to_numpy(), color="0.75", lw=0.6, zorder=1)
        for place, name in zip(places, wide.columns, strict=True):
            color = look[name]["color"]
            _spread(ax, place, wide[name].dropna(), color)
            ax.plot([], [], lw=6, alpha=0.5, color=color, label=look[name]["label"])
        volumes = f"{len(wide)} volume{'s' * (len(wide) > 1)}"
        width = 0.75 * len(look) + 0.5
        title = scan(table, dataset, width, f"R = {acceleration:g}, {volumes}")
        ax.set(xticks=[], title=title)
        ax.grid(axis="y", alpha=0.3)
    for ax in axes[:, 0]:
        ax.set_ylabel(label)
    legend(fig, axes)
    return fig


def _spread(ax: Axes, place: int, values: pd.Series, color: str) -> None:
    """Draws a box of values, or dots where they are few."""
    if len(values) < FEW:
        ax.plot([place] * len(values), values, "o", color=color, zorder=2)
        ax.plot([place - 0.3, place + 0.3], [values.mean()] * 2, color="black", zorder=3)
        return
    box = ax.boxplot(values, positions=[place], widths=0.6, patch_artist=True, zorder=2)
    box["boxes"][0].set(facecolor=color, alpha=0.5)
    box["medians"][0].set(color="black")


def losses(table: pd.DataFrame, metrics: dict[str, str], best: str = "matched") -> Figure:
    """Paired difference of every prior to the ``best`` one against acceleration.

    Each volume is a dot, and a line joins the means over the volumes. ``best`` is a value of the
    column ``shift``; zero is drawn as a black line.
    """
    datasets = list(table["dataset"].unique())
    size = (4.0 * len(metrics) + 2, 2.8 * len(datasets))
    fig, axes = plt.subplots(
        len(datasets), len(metrics), figsize=size, squeeze=False, layout="constrained"
    )
    look = looks(table["shift"].unique())
    for row, dataset in zip(axes, datasets, strict=True):
        shown = table[table["dataset"] == dataset]
        for ax, (metric, label) in zip(row, metrics.items(), strict=True):
            for name in (n for n in shown["shift"].unique() if n != best):
                gains = claims.paired_gain(shown, name, best, metric, "shift")
                if gains.empty:  # nothing to compare with: no entry in the legend either
                    continue
                means = gains.groupby("R")["gain"].mean()
                line = ax.plot(means.index, means, **look[name])[0]
                ax.plot(gains["R"], gains["gain"], ".", alpha=0.5, color=line.get_color())
            ax.axhline(0, color="black", lw=0.8)
            ax.set(
                xlabel="acceleration R",
                ylabel=f"Δ {label}",
                title=scan(table, dataset, 4.0),
                xticks=sorted(shown["R"].unique()),
            )
            ax.grid(alpha=0.3)
    legend(fig, axes)
    return fig


def sweeps(table: pd.DataFrame) -> Figure:
    """Mean PSNR over the volumes against the values of a setting, a line for each dataset and R.

    There is a panel for each setting that was varied.
    """
    settings = list(table["varied"].unique())
    fig, axes = plt.subplots(
        1,
        len(settings),
        figsize=(3.2 * len(settings) + 2, 3.2),
        squeeze=False,
        layout="constrained",
        sharey=True,
    )
    for ax, setting in zip(axes[0], settings, strict=True):
        varied = table[table["varied"] == setting]
        shown = claims.one_row_each(
            varied.assign(value=varied["value"].map(claims.as_text)), "value"
        )
        values = list(shown["value"].unique())
        for (dataset, acceleration), rows in shown.groupby(["dataset", "R"], sort=False):
            means = rows.groupby("value")["psnr"].mean().reindex(values)
            name = scan(table, dataset, 4.0, f"R = {acceleration:g}")
            ax.plot(values, means, "o-", label=name)
        ax.set(xlabel=SETTINGS.get(setting, setting))
        ax.tick_params(axis="x", labelrotation=30 if sum(map(len, values)) > LONG else 0)
        ax.grid(alpha=0.3)
    axes[0, 0].set_ylabel(psnr_label(table))
    legend(fig, axes, fontsize=8)
    return fig


def counts(table: pd.DataFrame, of: str, scale: str = "linear") -> Figure:
    """PSNR and time against a number, the column ``value``: how much there is ``of`` something.

    There is a row of panels for each dataset, and a line for each method and R: the mean over the
    volumes. ``scale`` is that of the axes of the number and of time, "linear" or "log".
    """
    datasets = list(table["dataset"].unique())
    size = (10.5, 3.4 * len(datasets))
    fig, axes = plt.subplots(len(datasets), 2, figsize=size, squeeze=False, layout="constrained")
    accelerations = sorted(table["R"].unique())
    lines = dict(zip(accelerations, cycle(("-", "--", ":", "-.")), strict=False))
    labels = {"psnr": psnr_label(table), "seconds": "time [s]"}
    for row, dataset in zip(axes, datasets, strict=True):
        shown = table[table["dataset"] == dataset]
        for ax, (column, label) in zip(row, labels.items(), strict=True):
            for (method, acceleration), rows in shown.groupby(["method", "R"], sort=False):
                means = claims.one_row_each(rows, "value").groupby("value")[column].mean()
                look = style(method) | {"linestyle": lines[acceleration]}
                look["label"] += f", R = {acceleration:g}"
                ax.plot(means.index.astype(float), means, **look)
            ax.set(xlabel=of, ylabel=label, xscale=scale)
            ax.set_yscale(scale if column == "seconds" else "linear")
            numbers = sorted(shown["value"].astype(float).unique())
            ax.set_xticks(numbers, [f"{number:g}" for number in numbers], minor=False)
            ax.set_xticks([], minor=True)
            ax.set_title(scan(table, dataset, 4.5) if len(datasets) > 1 else "")
            ax.grid(alpha=0.3)
    legend(fig, axes, fontsize=8)
    return fig


def sizes(table: pd.DataFrame) -> Figure:
    """Time and memory against the column ``voxels``, a line for each method: means over volumes."""
    fig, axes = plt.subplots(1, 2, figsize=(10.5, 3.4), squeeze=False, layout="constrained")
    labels = {"seconds": "time [s]", "peak_memory_mb": "peak memory [MB]"}
    for ax, (column, label) in zip(axes[0], labels.items(), strict=True):
        for method, rows in table.groupby("method", sort=False):
            ax.plot(rows.groupby("voxels")[column].mean(), **style(method))
        ax.set(xlabel="voxels", ylabel=label, xscale="log", yscale="log")
        ax.grid(alpha=0.3)
    legend(fig, axes)
    return fig


def coverage(table: pd.DataFrame) -> Figure:
    """How often errors lie within one and two standard deviations, for each dataset.

    The table is that of `recon.study.draws.coverage`. Dashed lines are the shares that Gaussian
    errors would have.
    """
    size = (9, 0.6 * len(table) + 1.5)
    fig, axes = plt.subplots(figsize=size, squeeze=False, layout="constrained")
    ax, places = axes[0, 0], range(len(table))
    ideal = draws.ideal(int(table["draws"].iloc[0]))
    for number, marker in ((1, "o"), (2, "s")):
        label = f"within {number} standard deviation{'s' * (number > 1)}"
        ax.axvline(ideal[f"within_{number}"], color=f"C{number}", ls="--", lw=0.8)
        ax.plot(table[f"within_{number}"], places, marker, color=f"C{number}", label=label)
        plain = table[f"plain_within_{number}"]
        ax.plot(plain, places, marker, mfc="none", color=f"C{number}", label=f"{label}, plain")
    ax.set(xlim=(0, 1), xlabel="share of the voxels in the object")
    ax.set_yticks(places, [f"{row.dataset}, R = {row.R:g}" for row in table.itertuples()])
    ax.margins(y=0.3)
    ax.invert_yaxis()
    ax.grid(axis="x", alpha=0.3)
    legend(fig, axes)
    return fig


def averages(table: pd.DataFrame) -> Figure:
    """PSNR of the mean of several draws against their number, and what a draw's error consists of.

    There is a line for each volume; a dashed one is where infinitely many draws lead. The bars are
    bias and spread, whose squares add up to the squared error of a draw. The table is that of
    `recon.study.draws.averaged`.
    """
    fig, (ax, parts) = plt.subplots(1, 2, figsize=(9.5, 3.4), layout="constrained")
    once = table[table["draws"] == 1].reset_index()
    for i, (volume, rows) in enumerate(table.groupby("volume", sort=False)):
        ax.plot(rows["draws"], rows["psnr"], f"C{i}", marker="o", label=f"volume {volume}")
        ax.axhline(rows["psnr_limit"].iloc[0], color=f"C{i}", ls="--", lw=0.8)
    for column, shift, color in (("bias", -0.2, "C3"), ("spread", 0.2, "C0")):
        parts.bar(once.index + shift, once[column], 0.4, color=color, label=column)
    parts.set_xticks(once.index, [f"volume {volume}" for volume in once["volume"]])
    parts.set_ylabel("part of the error of a draw\n[% of the highest value]")
    ax.set(xlabel="draws averaged", ylabel=psnr_label(table))
    ax.set_xticks(sorted(table["draws"].unique()))
    for each in (ax, parts):
        each.grid(alpha=0.3)
        each.legend(fontsize=8)
    return fig


def cost(table: pd.DataFrame) -> Figure:
    """PSNR against the number of slices denoised and against time, a dot for each case."""
    fig, axes = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained", sharey=True)
    labels = {"denoised_slices": "slices denoised", "seconds": "time [s]"}
    for ax, (column, label) in zip(axes, labels.items(), strict=True):
        for name, rows in table.groupby("method", sort=False):
            ax.plot(rows[column], rows["psnr"], linestyle="", **style(name))
        ax.set(xscale="log", xlabel=label)
        _plain_ticks(ax)
        ax.grid(alpha=0.3)
    axes[0].set_ylabel(psnr_label(table))
    axes[1].legend(fontsize=8)
    return fig


def convergence(traces: pd.DataFrame) -> Figure:
    """PSNR against the number of slices denoised.

    There is a panel for each dataset and a line for each solver.
    """
    datasets = list(traces["dataset"].unique())
    fig, axes = plt.subplots(
        1, len(datasets), figsize=(5 * len(datasets), 3.4), squeeze=False, layout="constrained"
    )
    for ax, dataset in zip(axes[0], datasets, strict=True):
        shown = traces[traces["dataset"] == dataset]
        for solver, rows in shown.groupby("solver", sort=False):
            ax.plot(rows["denoised_slices"], rows["psnr"], label=solver)
        ax.set(
            xscale="log",
            xlabel="slices denoised",
            ylabel=psnr_label(traces),
            title=scan(traces, dataset, 5.0, f"R = {shown['R'].iloc[0]:g}"),
        )
        ax.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8)
    return fig


def spectra(table: pd.DataFrame, where: str = "shell", by: str = "method") -> Figure:
    """Relative error against spatial frequency, a line for each value of the column ``by``.

    It is the mean over volumes. There is a panel for each dataset and acceleration. The table is
    that of `recon.study.shells`, or with ``where="band"`` that of `recon.study.continuity`.
    """
    x, y = "frequency / highest along an axis", f"error / signal in the {where}"
    fig = _errors(table, by, "frequency", x, y)
    for ax in fig.axes:
        ax.axhline(1, color="black", lw=0.8)
    return fig


def profiles(table: pd.DataFrame) -> Figure:
    """Relative error of each slice along z, a line for each method: the first volume of each scan.

    There is a panel for each dataset and acceleration. The table is that of
    `recon.study.continuity.errors_across`.
    """
    first = table.groupby(["dataset", "R"])["volume"].transform("first")
    shown = table[table["volume"] == first]
    return _errors(shown, "method", "slice", "slice along z", "NRMSE of the slice")


def _errors(table: pd.DataFrame, by: str, column: str, xlabel: str, ylabel: str) -> Figure:
    """The mean of ``error`` over volumes against a column, a line for each value of ``by``.

    There is a panel for each dataset and acceleration.
    """
    scans = list(table.groupby(["dataset", "R"], sort=False))
    size = (3.4 * len(scans) + 1.5, 3.4)
    fig, axes = plt.subplots(
        1, len(scans), figsize=size, squeeze=False, layout="constrained", sharey=True
    )
    look = looks(table[by].unique())
    for ax, ((dataset, acceleration), shown) in zip(axes[0], scans, strict=True):
        for name, rows in shown.groupby(by, sort=False):
            means = rows.groupby(column)["error"].mean()
            ax.plot(means.index, means, markersize=4, **look[name])
        ax.set(xlabel=xlabel, yscale="log")
        ax.set_title(scan(table, dataset, 2.4, f"R = {acceleration:g}"))
        ax.grid(alpha=0.3)
    axes[0, 0].set_ylabel(ylabel)
    legend(fig, axes)
    return fig


def capacity(table: pd.DataFrame, by: str, voxels: int, dotted: dict[str, float]) -> Figure:
    """PSNR of a fit against the number of parameters and against time, a line for each ``by``.

    A grey line marks the numbers that ``voxels`` complex voxels have. ``dotted`` are levels to
    compare with, by their labels.
    """
    fig, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", sharey=True)
    look = looks(table[by].unique())
    labels = {"parameters": "parameters (real numbers)", "seconds": "time of the fit [s]"}
    for ax, (column, label) in zip(axes, labels.items(), strict=True):
        for name, rows in table.groupby(by, sort=False):
            rows = rows.sort_values("parameters")
            ax.plot(rows[column], rows["psnr"], **look[name])
        for number, (name, level) in enumerate(dotted.items()):
            ax.axhline(level, color="black", ls=(":", "--", "-.")[number % 3], lw=1, label=name)
        ax.set(xscale="log", xlabel=label)
        ax.grid(alpha=0.3)
    axes[0].axvline(2 * voxels, color="0.6", lw=4, zorder=0, label="as many as voxels have")
    axes[0].set_ylabel("PSNR of the fit in the object [dB]")
    axes[0].set_ylim(top=min(80.0, axes[0].get_ylim()[1]))
    _plain_ticks(axes[1])
    legend(fig, axes)
    return fig


def verdicts(counts: pd.DataFrame) -> Figure:
    """How many claims hold, fail and are undecided, a bar for each paper.

    The table is that of `recon.figures.scorecard.counts`.
    """
    fig, ax = plt.subplots(figsize=(7, 2.6), layout="constrained")
    colors = {"holds": "C2", "fails": "C3", "undecided": "0.75"}
    left = pd.Series(0, counts.index)
    for name, color in colors.items():
        bars = ax.barh(counts.index, counts[name], left=left, color=color, label=name)
        ax.bar_label(bars, [str(n) if n else "" for n in counts[name]], label_type="center")
        left = left + counts[name]
    ax.invert_yaxis()
    ax.set(xlabel="claims")
    fig.legend(loc="outside right upper", fontsize=8)
    return fig


def _plain_ticks(ax: Axes) -> None:
    """Few labels on a logarithmic axis, as plain numbers."""
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
