"""``python -m workflow.scripts.readme`` writes the tables of README.md and docs/ from those in
figures/.

A table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``. A newcomer adds a function
that returns its rows and names it in `TABLES`. A test fails where a page does not say what the
tables say.
"""

import json
import re
from collections.abc import Callable, Sequence

import pandas as pd

from recon.figures.style import style
from recon.files import write_text
from recon.schema import ROOT

Rows = list[list[str]]  # the first one is the head
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def read(*names: str) -> pd.DataFrame:
    """Tables of figures, one below the other."""
    return pd.concat([pd.read_csv(ROOT / "figures" / f"{name}.csv") for name in names])


def methods(config: str, slices: bool = False) -> Rows:
    """Mean PSNR and SSIM of every method at every R."""
    table = read(f"{config}/10_methods_without_shift")
    rates = sorted(table["R"].unique())
    rows = [["method", *(f"R = {r:g}" for r in rates), *(["slices denoised"] if slices else [])]]
    for name, group in table.groupby("method", sort=False):
        means = group.groupby("R")[["psnr", "ssim"]].mean()
        cells = [f"{means.psnr[r]:.1f} ({means.ssim[r]:.2f})" for r in rates]
        seen = group["denoised_slices"].mean()
        cells += [f"{seen:.0f}" if seen else "–"] if slices else []
        rows.append([style(name)["label"], *cells])
    return rows


def priors(config: str, scans: Sequence[tuple[str, float, str]], names: dict[str, str]) -> Rows:
    """Mean PSNR of the variational method with priors of each voxel size, the best one in bold.

    ``scans`` are datasets with their R and what the page calls them; ``names`` call the priors.
    """
    table = read(f"{config}/12_resolution_shift", f"{config}/14_gaussian_mask")
    table["trained_at"] = table["trained_at"].astype(str)
    rows = [["reconstructed", *names.values()]]
    for dataset, rate, called in scans:
        here = table[(table["dataset"] == dataset) & (table["R"] == rate)]
        means = here.groupby("trained_at")["psnr"].mean()
        cells = [f"{means[p]:.1f}" if p in means else "–" for p in names]
        best = max((c for c in cells if c != "–"), key=float)
        rows.append([called, *(f"**{c}**" if c == best else c for c in cells)])
    return rows


def fields() -> Rows:
    """Mean PSNR of what carries a volume, with a prior of other voxels; see notebooks 15 and 16."""
    sides = ["larger", "smaller"]
    tables = [read(f"demo/15_{s}_voxels", f"demo/16_{s}_voxels") for s in sides]
    named = {
        "matched": "voxels, matched prior",
        "diverse": "voxels, diverse prior",
        "as it is": "voxels, the same prior unchanged",
        "padding kernels": "kernels padded with zeros",
    }
    columns, cells = [], {}
    for side, table in zip(("4× voxels, 2× prior", "2× voxels, 4× prior"), tables, strict=True):
        table = table.drop_duplicates(["entry", "volume", "R"])
        for rate in sorted(table["R"].unique()):
            columns.append(f"{side}, R = {rate:g}")
            means = table[table["R"] == rate].groupby("entry", sort=False)["psnr"].mean()
            for entry, value in means.items():
                cells.setdefault(entry, {})[columns[-1]] = f"{value:.1f}"
    cells.pop("variational")  # the other prior as it is
    rows = [["what carries the volume", *columns]]
    for entry, found in cells.items():
        label = named.get(entry, style(entry)["label"].replace(" (paper A)", ""))
        label = label.replace("fourier", "Fourier")
        rows.append([label, *(found.get(c, "–") for c in columns)])
    return rows


def infusion() -> Rows:
    """Mean NRMSE in percent, PSNR and SSIM of paper B's methods on slices and volumes."""
    table = read(*(f"infusion/{n}" for n in ("20_slices", "20_one_and_four_coils", "21_volumes")))
    scans = {
        ("slices", 8): "4 to 20 coils, R = 8",
        ("slices", 9): "R = 9",
        ("slices_1_coil", 4): "1 coil, R = 4",
        ("slices_4_coils", 6): "4 coils, R = 6",
        ("small", 2): "small volume, 1 coil, R = 2",
        ("regular", 4): "volume, lines, true R = 2.5",
    }

    def cell(mean: pd.Series) -> str:
        return f"{100 * mean.nrmse:.1f} ({mean.psnr:.1f}, {mean.ssim:.2f})"

    rows = [["method", *scans.values()]]
    means = table.groupby(["method", "dataset", "R"])[["nrmse", "psnr", "ssim"]].mean()
    for name in table["method"].unique():
        found = [means.loc[(name, *s)] if (name, *s) in means.index else None for s in scans]
        rows.append([style(name)["label"], *("–" if m is None else cell(m) for m in found)])
    return rows


def r3dm(config: str, places: dict[str, str]) -> Rows:
    """Mean PSNR and SSIM of paper C's methods, at home and away, for both masks.

    ``places`` are what the names of datasets end in, and what the page calls them.
    """
    table = read(f"{config}/31_out_of_distribution")
    scans = {
        f"{mask}{ending}": f"{place}, {called}"
        for mask, called in (("regular", "lines, R = 4"), ("gaussian", "Gaussian, R = 8"))
        for ending, place in places.items()
    }
    means = table.groupby(["method", "dataset"])[["psnr", "ssim"]].mean()
    rows = [["method", *scans.values()]]
    for name in table["method"].unique():
        found = [means.loc[(name, scan)] for scan in scans]
        rows.append([style(name)["label"], *(f"{m.psnr:.1f} ({m.ssim:.2f})" for m in found)])
    return rows


def real_slices() -> Rows:
    """ℓ1-wavelet with the best of its weights for each slice, and annealed with its defaults."""
    weights, defaults = (
        read("real_multicoil/44_weights_l1_wavelet"),
        read("real_multicoil/44_defaults"),
    )
    labels = {
        "heads": "of one head in three contrasts (semi-synthetic)",
        "brains": "of T1w brains, 1 mm (semi-synthetic)",
        "coils_7": "of a brain, 7 coils (measured)",
        "coils_32": "of a brain, 32 coils (measured maps and image)",
    }
    rows = [["slices", "ℓ1-wavelet, best weight", "annealed, defaults", "gain"]]
    keys = ["dataset", "volume", "R"]
    best = weights.groupby(keys)["psnr"].max()
    ours = defaults[defaults["method"] == "annealed"].set_index(keys)["psnr"]
    for dataset, label in labels.items():
        pair = pd.DataFrame({"l1": best, "ours": ours}).loc[dataset].dropna()
        means = pair.groupby("R").mean()
        gains = means["ours"] - means["l1"]
        count = pair.index.get_level_values("volume").nunique()
        cells = [" / ".join(f"{v:.1f}" for v in column) for column in (means.l1, means.ours, gains)]
        rows.append([f"{count} {label}", cells[0], f"**{cells[1]}**", cells[2]])
    return rows


def speed() -> Rows:
    """What `make bench` measured of our code and of its peers on the CPU."""
    rows = [["what", "ours", "peer", "its time", "ratio"]]
    for found in json.loads((ROOT / "figures" / "benchmarks.json").read_text()):
        if found["device"] == "cpu":
            times = [clock(found[side]) for side in ("ours_s", "peer_s")]
            ratio = f"{found['ratio']:.0f}" if found["ratio"] >= 10 else f"{found['ratio']:.1f}"
            rows.append([found["name"], times[0], found["peer"], times[1], ratio])
    return rows


def clock(seconds: float) -> str:
    """A time in milliseconds or seconds, with two digits or whole."""
    value, unit = (1e3 * seconds, "ms") if seconds < 1 else (seconds, "s")
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


TABLES: dict[str, Callable[[], Rows]] = {
    "methods": lambda: methods("demo", slices=True),
    "priors": lambda: priors(
        "demo",
        [
            ("knee", 8, "knee, 1×"),
            ("knee_2x", 8, "knee, 2×"),
            ("knee_4x", 4, "knee, 4×, R = 4"),
            ("brain_2x", 8, "brain, 2×"),
            ("brain_2x_gaussian", 8, "brain, 2×, Gaussian mask"),
        ],
        {"1": "prior of 1× voxels", "2": "of 2×", "4": "of 4×", "diverse": "diverse"},
    ),
    "fields": fields,
    "infusion": infusion,
    "r3dm": lambda: r3dm("r3dm", {"": "knee", "_brain": "brain", "_roots": "roots"}),
    "real r3dm": lambda: r3dm("real_r3dm", {"": "T1w brains", "_heads": "others"}),
    "real methods": lambda: methods("real_brain"),
    "real priors": lambda: priors(
        "real_brain",
        [
            ("brain", 4, "2 mm, R = 4"),
            ("brain", 16, "2 mm, R = 16"),
            ("brain_2x", 8, "4 mm, R = 8"),
            ("brain_4x", 4, "8 mm, R = 4"),
            ("brain_2x_gaussian", 8, "4 mm, Gaussian mask, R = 8"),
        ],
        {"1": "prior of 2 mm", "2": "of 4 mm", "4": "of 8 mm", "diverse": "diverse"},
    ),
    "real slices": real_slices,
    "speed": speed,
}


def markdown(rows: Rows) -> str:
    """Rows as a table in Markdown."""
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def written(page: str) -> str:
    """The page with its tables made anew."""

    def table(match: re.Match) -> str:
        name = match[1]
        return f"<!-- table: {name} -->\n{markdown(TABLES[name]())}\n<!-- end -->"

    return re.sub(r"<!-- table: ([\w ]+) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


if __name__ == "__main__":
    for path in PAGES:
        write_text(path, written(path.read_text()))
