"""Pictures: curves over acceleration, the same slice of every method with a zoomed inset and its error, and the sidecar of each."""

import json
import platform
import subprocess
import time
from collections.abc import Sequence
from importlib.metadata import version

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython import get_ipython
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from mpl_toolkits.axes_grid1.inset_locator import mark_inset
from torch import Tensor

from recon import claims, methods
from recon.config import ROOT
from recon.data.prepare import Prepared
from recon.diffusion import multiplies_bf16, planes
from recon.experiments import Study, code_hash, code_of, write_text

PLANES = ("sagittal", "coronal", "axial")  # perpendicular to x, y, z
PACKAGES = ("h5py", "matplotlib", "numpy", "pandas", "safetensors", "scipy", "snakemake", "torch")
COLOURS = plt.rcParams["axes.prop_cycle"].by_key()["color"]
_METHODS = {
    name: {"label": method.label, "color": colour, "marker": marker}
    for (name, method), colour, marker in zip(methods.METHODS.items(), COLOURS, "ovsD^P*Xh", strict=False)
}
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
# How every method, and every kind of prior, looks in every figure; see `style`.
STYLES = (
    _METHODS
    | {name: {"label": f"prior: {name}", "color": c, "marker": m} for name, (c, m) in _SHIFTS.items()}
    | {name: {"label": f"prior of {name}× voxels", "color": c, "marker": m} for name, (c, m) in _PRIORS.items()}
)
STARTED = time.perf_counter()  # a notebook imports this module first, so its wall time counts from here


def style(name: str) -> dict:
    """Label, colour and marker of a method or a kind of prior; those not foreseen share one look."""
    return STYLES.get(str(name), {"label": str(name), "color": "C7", "marker": "."})


def take(volume: Tensor, axis: int, index: int | None = None) -> np.ndarray:
    """A slice as an image whose first axis points up: rows are the later of the two remaining axes."""
    return volume.select(axis, volume.shape[axis] // 2 if index is None else index).numpy().T


def show(ax: Axes, image: np.ndarray, voxel: Sequence[float], axis: int, title: str = "", **options) -> None:
    """Draws a slice perpendicular to ``axis`` in physical proportions, without ticks."""
    across, up = [v for a, v in enumerate(voxel) if a != axis]
    ax.imshow(image, origin="lower", interpolation="none", **({"cmap": "gray", "aspect": up / across} | options))
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9)


def orthogonal(volumes: dict[str, Tensor], voxel: Sequence[float], **options) -> Figure:
    """The three central slices of each volume, a row per volume."""
    fig, axes = plt.subplots(len(volumes), 3, figsize=(7.5, 2.7 * len(volumes)), squeeze=False, layout="constrained")
    for row, (name, volume) in zip(axes, volumes.items(), strict=True):
        for axis, ax in enumerate(row):
            show(ax, take(volume, axis), voxel, axis, f"{name}, {PLANES[axis]}", **options)
    return fig


def overview(volumes: dict[str, Prepared]) -> Figure:
    """A row per volume: k-space over the phase encodes and along the readout, the maps of four coils, two planes of the image."""
    fig, axes = plt.subplots(len(volumes), 5, figsize=(11, 2.5 * len(volumes)), squeeze=False, layout="constrained")
    for row, (name, v) in zip(axes, volumes.items(), strict=True):
        energy, (first, *_, second) = v.kspace.abs().square().sum(0).sqrt(), 2 * planes(tuple(v.reference.shape))
        level = (energy / energy.max()).clamp(min=1e-6).log10()
        show(row[0], take(level, 0), (1, 1, 1), 0, f"{name}\nlog |k|, (ky, kz)", aspect="equal")
        show(row[1], take(level, 2), (1, 1, 1), 2, "log |k|, (kx, ky)", aspect="equal")
        four = [take(s.abs(), second) for s in v.maps[:: max(1, len(v.maps) // 4)][:4]]
        four += [0 * four[0]] * (4 - len(four))
        show(row[2], np.block([four[:2], four[2:]]), v.voxel, second, f"4 of {len(v.maps)} maps", vmin=0)
        for ax, axis in zip(row[3:], (first, second), strict=True):
            size = " × ".join(f"{w:.2g}" for a, w in enumerate(v.voxel) if a != axis)
            show(ax, take(v.reference.abs(), axis), v.voxel, axis, f"{v.origin}, {PLANES[axis]}\n{size} mm", vmin=0)
    return fig


def voxel_sizes(here: dict[str, Sequence[float]], registered: dict[str, tuple[Sequence[float], int]]) -> Figure:
    """Histogram of voxel edges, three a volume: of the volumes here and, hatched, of the volumes that the registry lists."""
    fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
    edges = np.linspace(0, 3.2, 33)
    ax.hist([list(v) for v in here.values()], edges, stacked=True, label=[f"{name} (here)" for name in here])
    listed = {f"{name} ({count} volumes)": list(voxel) * count for name, (voxel, count) in registered.items() if count}
    ax.hist(list(listed.values()), edges, stacked=True, label=list(listed), alpha=0.45, hatch="///", edgecolor="white")
    ax.set(xlabel="edge of a voxel [mm]", ylabel="axes of volumes", yscale="symlog")
    ax.legend(fontsize=7, ncols=2)
    return fig


def curves(table: pd.DataFrame, metrics: dict[str, str], by: str = "method") -> Figure:
    """Mean over the volumes against acceleration, a row per dataset, a line per value of the column ``by``; bars: standard deviation."""
    datasets = list(table["dataset"].unique())
    size = (4.0 * len(metrics) + 2, 3.3 * len(datasets))
    fig, axes = plt.subplots(len(datasets), len(metrics), figsize=size, squeeze=False, layout="constrained")
    for row, dataset in zip(axes, datasets, strict=True):
        for ax, (metric, label) in zip(row, metrics.items(), strict=True):
            shown = claims.one_row_each(table[table["dataset"] == dataset], by)
            for name, group in shown.groupby(by, sort=False):
                stats = group.groupby("R")[metric].agg(["mean", "std"])
                ax.errorbar(stats.index, stats["mean"], stats["std"].fillna(0), capsize=2, markersize=5, **style(name))
            ax.set(xlabel="acceleration R", ylabel=label, xticks=sorted(shown["R"].unique()))
            ax.set_title(f"{dataset} ({shown['origin'].iloc[0]})")
            ax.grid(alpha=0.3)
    _legend(fig, axes)
    return fig


def _legend(fig: Figure, axes: np.ndarray) -> None:
    """One legend beside all panels, every label once."""
    handles = {text: line for ax in axes.flat for line, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    fig.legend(handles.values(), handles.keys(), loc="outside right upper", fontsize=9)


def losses(table: pd.DataFrame, metrics: dict[str, str], best: str = "matched") -> Figure:
    """Paired difference of every prior to the ``best`` one against acceleration: a dot per volume, a line through the means."""
    datasets = list(table["dataset"].unique())
    size = (4.0 * len(metrics) + 2, 2.8 * len(datasets))
    fig, axes = plt.subplots(len(datasets), len(metrics), figsize=size, squeeze=False, layout="constrained")
    for row, dataset in zip(axes, datasets, strict=True):
        shown = table[table["dataset"] == dataset]
        for ax, (metric, label) in zip(row, metrics.items(), strict=True):
            for name in (n for n in shown["shift"].unique() if n != best):
                gains = claims.paired_gain(shown, name, best, metric, "shift")
                means = gains.groupby("R")["gain"].mean()
                line = ax.plot(means.index, means, **style(name))[0]
                ax.plot(gains["R"], gains["gain"], ".", alpha=0.5, color=line.get_color())
            ax.axhline(0, color="black", lw=0.8)
            ax.set(xlabel="acceleration R", ylabel=f"Δ {label}", title=dataset, xticks=sorted(shown["R"].unique()))
            ax.grid(alpha=0.3)
    _legend(fig, axes)
    return fig


def sweeps(table: pd.DataFrame, metric: str = "psnr", label: str = "PSNR [dB]") -> Figure:
    """A panel per setting that was varied, a line per dataset and R: the mean over the volumes at every value."""
    settings = list(table["varied"].unique())
    fig, axes = plt.subplots(1, len(settings), figsize=(3.2 * len(settings), 3.2), squeeze=False, layout="constrained", sharey=True)
    for ax, setting in zip(axes[0], settings, strict=True):
        shown = claims.one_row_each(table[table["varied"] == setting], "value")
        values = list(shown["value"].map(claims.as_text).unique())
        for (dataset, acceleration), rows in shown.groupby(["dataset", "R"], sort=False):
            means = rows.assign(value=rows["value"].map(claims.as_text)).groupby("value")[metric].mean()
            ax.plot(values, means[values], "o-", label=f"{dataset}, R = {acceleration:g}")
        ax.set(xlabel=setting)
        ax.grid(alpha=0.3)
    axes[0, 0].set_ylabel(label)
    axes[0, 0].legend(fontsize=8)
    return fig


def orientations(table: pd.DataFrame) -> Figure:
    """PSNR and time against the number of orientations whose slices are regularised, a line per method and R: means over the volumes."""
    fig, axes = plt.subplots(1, 2, figsize=(10.5, 3.4), layout="constrained")
    lines = dict(zip(sorted(table["R"].unique()), ("-", "--", ":", "-.") * len(table), strict=False))
    for ax, (column, label) in zip(axes, {"psnr": "PSNR [dB]", "seconds": "time [s]"}.items(), strict=True):
        for (method, acceleration), rows in table.groupby(["method", "R"], sort=False):
            means = rows.groupby("value")[column].mean()
            ax.plot(
                means.index.astype(int),
                means,
                linestyle=lines[acceleration],
                **style(method) | {"label": f"{style(method)['label']}, R = {acceleration:g}"},
            )
        ax.set(xlabel="orientations", ylabel=label, xticks=sorted(table["value"].astype(int).unique()))
        ax.grid(alpha=0.3)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right upper", fontsize=8)
    return fig


def masks(drawn: dict[str, Tensor]) -> Figure:
    """Masks over the phase encodes, y to the right and z up, one panel each."""
    fig, axes = plt.subplots(1, len(drawn), figsize=(2.4 * len(drawn), 2.6), squeeze=False, layout="constrained")
    for ax, (name, mask) in zip(axes[0], drawn.items(), strict=True):
        show(ax, mask.numpy().T, (1, 1, 1), 0, name)
        ax.set(xlabel="ky", ylabel="kz")
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
    for ax, (column, label) in zip(axes, {"denoised_slices": "slices denoised", "seconds": "time [s]"}.items(), strict=True):
        for name, rows in table.groupby("method", sort=False):
            ax.plot(rows[column], rows["psnr"], linestyle="", **{k: v for k, v in style(name).items() if k != "linestyle"})
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
    fig, axes = plt.subplots(1, len(datasets), figsize=(5 * len(datasets), 3.4), squeeze=False, layout="constrained")
    for ax, dataset in zip(axes[0], datasets, strict=True):
        for solver, rows in traces[traces["dataset"] == dataset].groupby("solver", sort=False):
            ax.plot(rows["denoised_slices"], rows["psnr"], label=solver)
        ax.set(xscale="log", xlabel="slices denoised", ylabel="PSNR [dB]", title=f"{dataset}, R = {rows['R'].iloc[0]:g}")
        ax.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8)
    return fig


def comparison(
    reference: Tensor,
    volumes: dict[str, Tensor],
    voxel: Sequence[float],
    axis: int | None = None,
    index: int | None = None,
    zoom: float = 0.3,
    gain: float = 5,
) -> Figure:
    """The same slice of every volume in one window with a zoomed inset, and below it the error, magnified ``gain`` times.

    The slice is sagittal unless ``axis`` says otherwise; of a 2D scan it is the image. The inset is the part of relative size ``zoom``
    in which the reference varies most.
    """
    axis = planes(tuple(reference.shape))[0] if axis is None else axis
    truth = take(reference, axis, index)
    top = float(np.quantile(reference.numpy(), 0.998))
    panels = {"Reference": truth} | {name: take(v, axis, index) for name, v in volumes.items()}
    fig, axes = plt.subplots(2, len(panels), figsize=(2.1 * len(panels), 4.9), layout="constrained")
    for (name, image), above, below in zip(panels.items(), *axes, strict=True):
        show(above, image, voxel, axis, name, vmin=0, vmax=top)
        _inset(above, image, _busiest(truth, zoom), top)
        if name == "Reference":
            below.axis("off")
            below.text(0.5, 0.5, f"|error| × {gain:g}\n{PLANES[axis]}", ha="center", va="center", fontsize=9)
        else:
            show(below, gain * np.abs(image - truth), voxel, axis, "", vmin=0, vmax=top, cmap="magma")
    return fig


def _busiest(image: np.ndarray, zoom: float) -> tuple[slice, slice]:
    side = [max(4, int(n * zoom)) for n in image.shape]
    activity = sum(np.abs(g) for g in np.gradient(image))
    total = np.pad(activity.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    h, w = side
    window = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]
    row, column = np.unravel_index(window.argmax(), window.shape)
    return slice(row, row + h), slice(column, column + w)


def _inset(ax: Axes, image: np.ndarray, window: tuple[slice, slice], top: float) -> None:
    rows, columns = window
    inset = ax.inset_axes([0.0, 0.0, 0.42, 0.42])
    inset.imshow(image, origin="lower", cmap="gray", vmin=0, vmax=top, interpolation="none", aspect=ax.get_aspect())
    inset.set(xlim=(columns.start - 0.5, columns.stop - 0.5), ylim=(rows.start - 0.5, rows.stop - 0.5), xticks=[], yticks=[])
    for spine in inset.spines.values():
        spine.set_color("gold")
    mark_inset(ax, inset, loc1=2, loc2=4, fc="none", ec="gold", lw=0.6)


def same_slices(study: Study, table: pd.DataFrame, name: str, by: str = "method", highest: int = 1) -> None:
    """Draws and saves as ``name_DATASET_R`` what `comparison` does, of the first test subject of every dataset at its ``highest`` R.

    Panels are named by the column ``by`` and their PSNR.
    """
    for dataset, rows in table.groupby("dataset", sort=False):
        subject = study.config.datasets[dataset].test[0]
        scan = study.volume(dataset, subject)
        for acceleration in sorted(rows["R"].unique())[-highest:]:
            shown = rows[(rows["volume"] == str(subject)) & (rows["R"] == acceleration)].to_dict("records")
            volumes = {f"{style(row[by])['label']}\n{row['psnr']:.1f} dB": study.reconstruction(row) for row in shown}
            save(study, comparison(scan.reference.abs(), volumes, scan.voxel), f"{name}_{dataset}_R{acceleration:g}")


def save(study: Study, fig: Figure, name: str, table: pd.DataFrame | None = None) -> None:
    """Writes ``figures/CONFIG/name`` as .png and .svg, the table behind it as .csv, its sidecar as .json; and shows it in a notebook.

    What a notebook shows is the .png, by name: its page then links to the file and need not hold the picture a second time.
    """
    study.figures.mkdir(parents=True, exist_ok=True)
    stem = study.figures / name
    fig.savefig(f"{stem}.png", dpi=150)
    with plt.rc_context({"svg.hashsalt": name}):  # otherwise the names inside an .svg are new every time
        fig.savefig(f"{stem}.svg", dpi=150, metadata={"Date": None})
    if table is not None:
        write_text(stem.with_suffix(".csv"), table.drop(columns="key", errors="ignore").to_csv(index=False, float_format="%.6g"))
    write_text(stem.with_suffix(".json"), json.dumps(sidecar(study), indent=1))
    plt.close(fig)
    if get_ipython():
        display(Image(filename=f"{stem}.png", width=1000, metadata={"file": f"{name}.png"}))


def sidecar(study: Study) -> dict:
    """All that is needed to make a figure again, and to tell whether it has changed: inputs are those opened so far."""
    config = study.config
    tuning = {f"{d}/{m}": study.tuning(d, m).get("best") for d in config.datasets for m in config.methods_on(d)}
    return {
        "git": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", "recon", "workflow", "notebooks")),
        "config": config.model_dump(mode="json"),
        "seeds": {"config": config.seed, "mask": config.mask.seed},
        "packages": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "device": torch.cuda.get_device_name(config.device) if config.device != "cpu" else platform.processor() or platform.machine(),
        "threads": config.threads,
        "network": "bf16" if multiplies_bf16(config.device) else "float32",
        "code": {name: code_hash(*code_of(name)) for name in config.methods},
        **study.opened,
        "tuning": {"file": config.tuning.shipped or f"results/{config.name}/tuning", "best": tuning},
        "wall_time_s": round(time.perf_counter() - STARTED, 1),
    }


def _git(*arguments: str) -> str:
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""  # not a git checkout: an unpacked archive still makes figures
