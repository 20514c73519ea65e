"""Pictures of volumes: slices, k-space, masks, and the same slice of every method."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mpl_toolkits.axes_grid1.inset_locator import mark_inset
from torch import Tensor

from recon.figures.saving import save
from recon.figures.style import style
from recon.mri.prepared import Prepared
from recon.mri.slices import planes
from recon.study.study import Study

PLANES = ("sagittal", "coronal", "axial")  # perpendicular to x, y, z


def take(volume: Tensor, axis: int, index: int | None = None) -> np.ndarray:
    """A slice as an image whose first axis points up: rows are the later of the two remaining axes."""
    return volume.select(axis, volume.shape[axis] // 2 if index is None else index).numpy().T


def show(
    ax: Axes, image: np.ndarray, voxel: Sequence[float], axis: int, title: str = "", **options
) -> None:
    """Draws a slice perpendicular to ``axis`` in physical proportions, without ticks."""
    across, up = [v for a, v in enumerate(voxel) if a != axis]
    ax.imshow(
        image,
        origin="lower",
        interpolation="none",
        **({"cmap": "gray", "aspect": up / across} | options),
    )
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9)


def orthogonal(volumes: dict[str, Tensor], voxel: Sequence[float], **options) -> Figure:
    """The three central slices of each volume, a row per volume."""
    fig, axes = plt.subplots(
        len(volumes), 3, figsize=(7.5, 2.7 * len(volumes)), squeeze=False, layout="constrained"
    )
    for row, (name, volume) in zip(axes, volumes.items(), strict=True):
        for axis, ax in enumerate(row):
            show(ax, take(volume, axis), voxel, axis, f"{name}, {PLANES[axis]}", **options)
    return fig


def overview(volumes: dict[str, Prepared]) -> Figure:
    """A row per volume: k-space over the phase encodes and along the readout, the maps of four
    coils, two planes of the image.
    """
    fig, axes = plt.subplots(
        len(volumes), 5, figsize=(11, 2.5 * len(volumes)), squeeze=False, layout="constrained"
    )
    for row, (name, v) in zip(axes, volumes.items(), strict=True):
        energy, (first, *_, second) = (
            v.kspace.abs().square().sum(0).sqrt(),
            2 * planes(tuple(v.reference.shape)),
        )
        level = (energy / energy.max()).clamp(min=1e-6).log10()
        show(row[0], take(level, 0), (1, 1, 1), 0, f"{name}\nlog |k|, (ky, kz)", aspect="equal")
        show(row[1], take(level, 2), (1, 1, 1), 2, "log |k|, (kx, ky)", aspect="equal")
        four = [take(s.abs(), second) for s in v.maps[:: max(1, len(v.maps) // 4)][:4]]
        four += [0 * four[0]] * (4 - len(four))
        show(
            row[2],
            np.block([four[:2], four[2:]]),
            v.voxel,
            second,
            f"4 of {len(v.maps)} maps",
            vmin=0,
        )
        for ax, axis in zip(row[3:], (first, second), strict=True):
            size = " × ".join(f"{w:.2g}" for a, w in enumerate(v.voxel) if a != axis)
            show(
                ax,
                take(v.reference.abs(), axis),
                v.voxel,
                axis,
                f"{v.origin}, {PLANES[axis]}\n{size} mm",
                vmin=0,
            )
    return fig


def voxel_sizes(
    here: dict[str, Sequence[float]], registered: dict[str, tuple[Sequence[float], int]]
) -> Figure:
    """Histogram of voxel edges, three a volume: of the volumes here and, hatched, of the volumes
    that the registry lists.
    """
    fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
    edges = np.linspace(0, 3.2, 33)
    ax.hist(
        [list(v) for v in here.values()],
        edges,
        stacked=True,
        label=[f"{name} (here)" for name in here],
    )
    listed = {
        f"{name} ({count} volumes)": list(voxel) * count
        for name, (voxel, count) in registered.items()
        if count
    }
    ax.hist(
        list(listed.values()),
        edges,
        stacked=True,
        label=list(listed),
        alpha=0.45,
        hatch="///",
        edgecolor="white",
    )
    ax.set(xlabel="edge of a voxel [mm]", ylabel="axes of volumes", yscale="symlog")
    ax.legend(fontsize=7, ncols=2)
    return fig


def masks(drawn: dict[str, Tensor]) -> Figure:
    """Masks over the phase encodes, y to the right and z up, one panel each."""
    fig, axes = plt.subplots(
        1, len(drawn), figsize=(2.4 * len(drawn), 2.6), squeeze=False, layout="constrained"
    )
    for ax, (name, mask) in zip(axes[0], drawn.items(), strict=True):
        show(ax, mask.numpy().T, (1, 1, 1), 0, name)
        ax.set(xlabel="ky", ylabel="kz")
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
    """The same slice of every volume in one window with a zoomed inset, and below it the error,
    magnified ``gain`` times.

    The slice is sagittal unless ``axis`` says otherwise; of a 2D scan it is the image. The inset is
    the part of relative size ``zoom`` in which the reference varies most.
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
            below.text(
                0.5,
                0.5,
                f"|error| × {gain:g}\n{PLANES[axis]}",
                ha="center",
                va="center",
                fontsize=9,
            )
        else:
            show(
                below, gain * np.abs(image - truth), voxel, axis, "", vmin=0, vmax=top, cmap="magma"
            )
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
    inset.imshow(
        image,
        origin="lower",
        cmap="gray",
        vmin=0,
        vmax=top,
        interpolation="none",
        aspect=ax.get_aspect(),
    )
    inset.set(
        xlim=(columns.start - 0.5, columns.stop - 0.5),
        ylim=(rows.start - 0.5, rows.stop - 0.5),
        xticks=[],
        yticks=[],
    )
    for spine in inset.spines.values():
        spine.set_color("gold")
    mark_inset(ax, inset, loc1=2, loc2=4, fc="none", ec="gold", lw=0.6)


def same_slices(
    study: Study, table: pd.DataFrame, name: str, by: str = "method", highest: int = 1
) -> None:
    """Draws and saves as ``name_DATASET_R`` what `comparison` does, of the first test subject of
    every dataset at its ``highest`` R.

    Panels are named by the column ``by`` and their PSNR.
    """
    for dataset, rows in table.groupby("dataset", sort=False):
        subject = study.config.datasets[dataset].test[0]
        scan = study.volume(dataset, subject)
        for acceleration in sorted(rows["R"].unique())[-highest:]:
            shown = rows[(rows["volume"] == str(subject)) & (rows["R"] == acceleration)].to_dict(
                "records"
            )
            volumes = {
                f"{style(row[by])['label']}\n{row['psnr']:.1f} dB": study.reconstruction(row)
                for row in shown
            }
            save(
                study,
                comparison(scan.reference.abs(), volumes, scan.voxel),
                f"{name}_{dataset}_R{acceleration:g}",
            )
