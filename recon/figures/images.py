"""Pictures of volumes: slices, k-space, masks, and the same slice of every method."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Shaped
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patheffects import withStroke
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from mpl_toolkits.axes_grid1.inset_locator import mark_inset
from torch import Tensor

from recon.figures import claims
from recon.figures.sliders import browse
from recon.figures.style import style
from recon.mri.prepared import Prepared
from recon.mri.slices import planes
from recon.study.study import Study

PLANES = ("sagittal", "coronal", "axial")  # perpendicular to x, y, z


def take(
    volume: Shaped[Tensor, "x y z"], axis: int, index: int | None = None
) -> Shaped[np.ndarray, "up across"]:
    """The slice of a volume perpendicular to ``axis``, the central one unless ``index`` is given.

    The earlier of the two other axes runs across, and the later one runs up.
    """
    return volume.select(axis, volume.shape[axis] // 2 if index is None else index).numpy().T


def show(
    ax: Axes,
    image: Shaped[np.ndarray, "up across"],
    voxel: Sequence[float],
    axis: int,
    title: str = "",
    **options,
) -> None:
    """Draws a slice perpendicular to ``axis`` in physical proportions, without ticks.

    ``voxel`` is the size of the volume's voxels in mm. ``options`` go to matplotlib's ``imshow``.
    """
    across, up = [v for a, v in enumerate(voxel) if a != axis]
    ax.imshow(
        image,
        origin="lower",
        interpolation="none",
        **({"cmap": "gray", "aspect": up / across} | options),
    )
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=9)


def scale_bar(ax: Axes, across: float, width: int) -> None:
    """A white bar of a round length in the lower right corner, about a fifth of the image.

    ``across`` is the size of a pixel along the horizontal axis, in mm, and ``width`` their number.
    """
    lengths = [m * 10.0**e for e in range(-2, 4) for m in (1, 2, 5)]
    length = min(lengths, key=lambda mm: abs(math.log(mm / (0.2 * across * width))))
    look = {"color": "white", "frameon": False, "pad": 0.3, "sep": 2, "size_vertical": width / 100}
    label, font = f"{length:g} mm", FontProperties(size=7)
    bar = AnchoredSizeBar(
        ax.transData, length / across, label, "lower right", fontproperties=font, **look
    )
    bar.txt_label._text.set_path_effects([withStroke(linewidth=2, foreground="black")])
    bar.size_bar.get_children()[0].set(edgecolor="black", linewidth=0.5, facecolor="white")
    ax.add_artist(bar)


def orthogonal(
    volumes: dict[str, Shaped[Tensor, "x y z"]],
    voxel: Sequence[float],
    index: Sequence[int | None] = (None, None, None),
    **options,
) -> Figure:
    """Three slices of each volume, a row of panels for each; ``voxel`` is in mm.

    They are the central ones, unless ``index`` says where they cut x, y and z. The first row has a
    scale bar.
    """
    fig, axes = plt.subplots(
        len(volumes), 3, figsize=(7.5, 2.7 * len(volumes)), squeeze=False, layout="constrained"
    )
    for row, (name, volume) in zip(axes, volumes.items(), strict=True):
        for axis, ax in enumerate(row):
            image = take(volume, axis, index[axis])
            show(ax, image, voxel, axis, f"{name}, {PLANES[axis]}", **options)
            if name == next(iter(volumes)):
                scale_bar(ax, voxel[0 if axis else 1], image.shape[1])
    return fig


def overview(volumes: dict[str, Prepared]) -> Figure:
    """K-space in two planes, the maps of four coils and the image in two planes, for each volume.

    K-space is shown over the phase encodes and along the readout, as the logarithm of its
    magnitude over all coils.
    """
    fig, axes = plt.subplots(
        len(volumes), 5, figsize=(11, 2.5 * len(volumes)), squeeze=False, layout="constrained"
    )
    for row, (name, v) in zip(axes, volumes.items(), strict=True):
        energy = sum(coil.abs().square() for coil in v.kspace).sqrt()  # one coil at a time
        first, *_, second = 2 * planes(tuple(v.reference.shape))  # the same one twice for a 2D scan
        level = (energy / energy.max()).clamp(min=1e-6).log10()
        show(row[0], take(level, 0), (1, 1, 1), 0, f"{name}\nlog |k|, (ky, kz)", aspect="equal")
        show(row[1], take(level, 2), (1, 1, 1), 2, "log |k|, (kx, ky)", aspect="equal")
        four = [take(s.abs(), second) for s in v.maps[:: max(1, len(v.maps) // 4)][:4]]
        four += [0 * four[0]] * (4 - len(four))
        mosaic = np.block([four[:2], four[2:]])
        show(row[2], mosaic, v.voxel, second, f"4 of {len(v.maps)} maps", vmin=0)
        for ax, axis in zip(row[3:], (first, second), strict=True):
            size = " × ".join(f"{w:.2g}" for a, w in enumerate(v.voxel) if a != axis)
            title = f"{v.origin}, {PLANES[axis]}\n{size} mm"
            show(ax, take(v.reference.abs(), axis), v.voxel, axis, title, vmin=0)
    return fig


def voxel_sizes(
    here: dict[str, Sequence[float]], registered: dict[str, tuple[Sequence[float], int]]
) -> Figure:
    """Histogram of voxel edges in mm, three for each volume, in bins of 0.1 mm.

    ``here`` are the voxel sizes of the volumes that are here. ``registered`` are the voxel size and
    the number of volumes of each dataset that the registry lists; they are hatched.
    """
    fig, ax = plt.subplots(figsize=(8, 3.4), layout="constrained")
    sizes = [*here.values(), *(voxel for voxel, count in registered.values() if count)]
    bins = max([32, *(math.floor(10 * edge) + 1 for voxel in sizes for edge in voxel)])
    edges = np.arange(bins + 1) / 10  # exact decimals, so that 0.6 mm lies in the bin from 0.6 mm
    labels = [f"{name} (here)" for name in here]
    ax.hist([list(v) for v in here.values()], edges, stacked=True, label=labels)
    listed = {
        f"{name} ({count} volumes)": list(voxel) * count
        for name, (voxel, count) in registered.items()
        if count
    }
    look = {"alpha": 0.45, "hatch": "///", "edgecolor": "white"}
    ax.hist(list(listed.values()), edges, stacked=True, label=list(listed), **look)
    ax.set(xlabel="edge of a voxel [mm]", ylabel="axes of volumes", yscale="symlog")
    ax.legend(fontsize=7, ncols=2)
    return fig


def masks(drawn: dict[str, Bool[Tensor, "y z"]]) -> Figure:
    """Masks over the phase encodes, a panel for each: ky runs to the right and kz runs up."""
    fig, axes = plt.subplots(
        1, len(drawn), figsize=(2.4 * len(drawn), 2.6), squeeze=False, layout="constrained"
    )
    for ax, (name, mask) in zip(axes[0], drawn.items(), strict=True):
        show(ax, mask.numpy().T, (1, 1, 1), 0, name)
        ax.set(xlabel="ky", ylabel="kz")
    return fig


def comparison(
    reference: Float[Tensor, "x y z"],
    volumes: dict[str, Float[Tensor, "x y z"]],
    voxel: Sequence[float],
    axis: int | None = None,
    index: int | None = None,
    zoom: float = 0.3,
    gain: float = 5,
    called: str = "Reference",
) -> Figure:
    """The same slice of every volume with a zoomed inset, and below it ``gain`` times its error.

    The first panel is the reference, under the name that it is ``called`` by. All panels share one
    grey window. The slice is sagittal unless ``axis`` says otherwise; of a 2D
    scan it is the image. The inset shows the part of relative size ``zoom`` in which the reference
    varies most. ``voxel`` is in mm, and the reference has a scale bar.
    """
    axis = planes(tuple(reference.shape))[0] if axis is None else axis
    truth = take(reference, axis, index)
    top = float(np.quantile(reference.numpy(), 0.998))
    panels = {called: truth} | {name: take(v, axis, index) for name, v in volumes.items()}
    fig, axes = plt.subplots(2, len(panels), figsize=(2.1 * len(panels), 4.9), layout="constrained")
    for (name, image), above, below in zip(panels.items(), *axes, strict=True):
        show(above, image, voxel, axis, name, vmin=0, vmax=top)
        _inset(above, image, _busiest(truth, zoom), top)
        if name == called:
            scale_bar(above, voxel[0 if axis else 1], image.shape[1])
            below.axis("off")
            said = f"|error| × {gain:g}\n{PLANES[axis]}"
            below.text(0.5, 0.5, said, ha="center", va="center", fontsize=9)
        else:
            error = gain * np.abs(image - truth)
            show(below, error, voxel, axis, vmin=0, vmax=top, cmap="magma")
    return fig


def _busiest(image: Float[np.ndarray, "up across"], zoom: float) -> tuple[slice, slice]:
    """The window of relative size ``zoom``, at least 4 pixels wide, with the largest gradients."""
    side = [min(n, max(4, int(n * zoom))) for n in image.shape]
    activity = sum(np.abs(g) for g in np.gradient(image))
    total = np.pad(activity.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    h, w = side
    window = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w]
    row, column = np.unravel_index(window.argmax(), window.shape)
    return slice(row, row + h), slice(column, column + w)


def _inset(
    ax: Axes, image: Float[np.ndarray, "up across"], window: tuple[slice, slice], top: float
) -> None:
    """Draws a window of the image enlarged in the lower left corner, and marks where it lies."""
    rows, columns = window
    inset = ax.inset_axes([0.0, 0.0, 0.42, 0.42])
    grey = {"cmap": "gray", "vmin": 0, "vmax": top}
    inset.imshow(image, origin="lower", interpolation="none", aspect=ax.get_aspect(), **grey)
    inset.set(xlim=(columns.start - 0.5, columns.stop - 0.5), xticks=[])
    inset.set(ylim=(rows.start - 0.5, rows.stop - 0.5), yticks=[])
    for spine in inset.spines.values():
        spine.set_color("gold")
    mark_inset(ax, inset, loc1=2, loc2=4, fc="none", ec="gold", lw=0.6)


def same_slices(
    study: Study,
    table: pd.DataFrame,
    name: str,
    by: str = "method",
    highest: int = 1,
    axes: Sequence[int] | None = None,
) -> None:
    """Draws and saves `comparison` for the first test subject of every dataset.

    It does so at the ``highest`` largest accelerations, and names the figures
    ``NAME_DATASET_R12``, for example. A panel is named by the column ``by`` and by its PSNR. The
    table needs one row for each subject, acceleration and value of ``by``. With ``axes`` there is a
    figure for the central slice across each of them, and its plane ends the name. Sliders go
    through the slices and the accelerations.
    """
    for dataset, rows in table.groupby("dataset", sort=False):
        subject = study.config.datasets[dataset].test[0]
        shape = tuple(study.volume(dataset, subject).reference.shape)
        own = claims.one_row_each(rows[rows["volume"].astype(str) == str(subject)], by)
        rates = sorted(rows["R"].unique().tolist())
        for rate, axis in product(rates[-highest:], axes or planes(shape)[:1]):
            draw = partial(_same_slice, study, own, by, axis)
            called = f"{name}_{dataset}_R{rate:g}" + (f"_{PLANES[axis]}" if axes else "")
            browse(study, draw, called, {"R": rate}, R=rates, slice=range(shape[axis]))


def _same_slice(
    study: Study, rows: pd.DataFrame, by: str, axis: int, R: float, slice: int
) -> Figure:
    """One slice of a subject in every row of one acceleration, against what is scored."""
    scan = study.volume(rows["dataset"].iloc[0], rows["volume"].iloc[0])
    volumes = {
        f"{style(row[by])['label']}\n{row['psnr']:.1f} dB": study.reconstruction(row)
        for row in rows[rows["R"] == R].to_dict("records")
    }
    called = "Reference" if scan.truth is None else "Truth"
    return comparison(scan.target.abs(), volumes, scan.voxel, axis, slice, called=called)
