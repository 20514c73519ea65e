"""Claims about the figures of paper A, and claims of ours about the same tables."""

from functools import partial
from itertools import pairwise

import pandas as pd

from recon.figures.claims.rules import (
    Claim,
    about,
    as_text,
    entries,
    growing_gain,
    largest_gain,
    paired_gain,
    shift_of,
    smallest_gain,
)

# Better method, worse method, the lowest R of the claim, and who makes it. At low R the classical
# methods are about equal, so claims about them start at R = 8.
ORDER = [
    ("variational", "tpdm_dds", 1, "A"),
    ("tpdm_dds", "l1_wavelet", 1, "A"),
    ("variational", "l1_wavelet", 1, "A"),
    ("l1_wavelet", "cg_sense", 8, "ours"),
    ("cg_sense", "zero_filled", 8, "ours"),
    ("variational", "dds", 1, "ours"),
    ("dds", "l1_wavelet", 1, "ours"),
    ("annealed", "variational", 1, "ours"),
    ("annealed", "l1_wavelet", 1, "ours"),
]


def without_shift(table: pd.DataFrame) -> list[Claim]:
    """Paper A, Figures 3 and A.1: the order of the methods in PSNR and SSIM, for every dataset.

    Claims of ours place the methods that the paper does not show.
    """
    out = []
    for dataset, rows in table.groupby("dataset", sort=False):
        for metric, figure in (("psnr", "3"), ("ssim", "A.1")):
            for better, worse, least, paper in ORDER:
                at = "every R" if least == 1 else f"every R ≥ {least}"
                mean = f"a higher mean {metric.upper()}"
                said = f"{dataset}: {better} has {mean} than {worse} at {at}"
                words = about(figure, f"{dataset}.{better}>{worse}.{metric}", said, paper)
                gains = paired_gain(rows, better, worse, metric)
                out.append(smallest_gain(gains, words, minimum_r=least))
    return out


def noise_levels(table: pd.DataFrame) -> list[Claim]:
    """The same order of the methods, at every level of noise; ours, as the paper has one level."""
    return [
        smallest_gain(
            paired_gain(rows, better, worse, "psnr"),
            about(
                "noise",
                f"{dataset}.{better}>{worse}",
                f"{dataset}: {better} has a higher mean PSNR than {worse}",
                "ours",
            ),
        )
        for dataset, rows in table.groupby("dataset", sort=False)
        for better, worse, _, _ in ORDER
    ]


def hyperparameters(table: pd.DataFrame) -> list[Claim]:
    """Paper A, Figures A.2 and A.3: the bound of the timesteps and the number of slices.

    A claim of ours is about the schedule of the timesteps.
    """
    table = table.assign(value=table["value"].map(as_text))
    return [
        claim
        for dataset, rows in table.groupby("dataset", sort=False)
        for claim in (
            _paper_bound(str(dataset), rows[rows["varied"] == "t_max"], str(dataset)),
            _best_bound(str(dataset), rows[rows["varied"] == "t_max"], str(dataset)),
            _levels_off(str(dataset), rows[rows["varied"] == "slices"]),
            _falling(str(dataset), rows[rows["varied"] == "schedule"]),
        )
    ]


def bounds(table: pd.DataFrame, way: str) -> list[Claim]:
    """Paper A, Figure A.2, where each bound of the timesteps has a weight of its own.

    ``way`` says how the regulariser is computed. A claim of ours is about a tenth of the paper's
    bound, which is best where it is computed as the text says.
    """
    table = table.assign(value=table["value"].map(as_text))
    how, out = f"each with its own weight, {way}", []
    for dataset, rows in table.groupby("dataset", sort=False):
        name = f"{dataset}.{way}"
        out += [
            _paper_bound(str(dataset), rows, name, how),
            _best_bound(str(dataset), rows, name, how),
        ]
        said = f"{dataset}: timesteps up to 0.4 T give a higher mean PSNR than up to 0.04 T"
        words = about("A.2", f"{name}.small", f"{said} at every R, {how}", "ours")
        out.append(smallest_gain(paired_gain(rows, "400", "40", "psnr", "value"), words))
    return out


def _paper_bound(dataset: str, rows: pd.DataFrame, name: str, how: str = "all else equal") -> Claim:
    """The paper's bound of the timesteps against no bound."""
    said = (
        f"{dataset}: timesteps up to 0.4 T give a higher mean PSNR than up to T at every R, {how}"
    )
    gains = paired_gain(rows, "400", "1000", "psnr", "value")
    return smallest_gain(gains, about("A.2", f"{name}.t_max", said))


def _best_bound(dataset: str, rows: pd.DataFrame, name: str, how: str = "all else equal") -> Claim:
    """The paper's bound of the timesteps against the best of all others, volume by volume."""
    said = (
        f"{dataset}: no other bound of the timesteps gives a PSNR more than 0.1 dB above that of "
        f"0.4 T, at any R, {how}"
    )
    others = rows[rows["value"] != "400"]
    best = others.groupby(["dataset", "volume", "R"], as_index=False)["psnr"].max()
    both = pd.concat([rows, best.assign(value="best other")])
    gains = paired_gain(both, "best other", "400", "psnr", "value")
    return largest_gain(gains, about("A.2", f"{name}.best", said), 0.1)


def _levels_off(dataset: str, rows: pd.DataFrame) -> Claim:
    """The gain of the last increase in the number of slices."""
    counts = sorted(rows["value"].unique(), key=float)
    said = (
        f"{dataset}: the last step to more slices per iteration, {' → '.join(counts[-2:])}, "
        "gains less than 0.1 dB"
    )
    fewer, more = counts[-2:] if len(counts) > 1 else ("0", "0")  # zero slices occur in no table
    gains = paired_gain(rows, more, fewer, "psnr", "value")
    return largest_gain(gains, about("A.3", f"{dataset}.slices", said), 0.1)


def _falling(dataset: str, rows: pd.DataFrame) -> Claim:
    """Ours: falling timesteps against the paper's uniform ones."""
    said = (
        f"{dataset}: falling timesteps give a higher mean PSNR than uniform ones at every R, "
        "all else equal"
    )
    gains = paired_gain(rows, "annealed", "uniform", "psnr", "value")
    return smallest_gain(gains, about("A.2", f"{dataset}.schedule", said, "ours"))


def resolution_shift(
    table: pd.DataFrame, psnr: str = "1, A.4, 4", ssim: str = "A.6"
) -> list[Claim]:
    """Paper A, Figures 1, 4, A.4–A.6 and A.10: what priors of other voxel sizes lose.

    They lose more at higher R, and a diverse prior does not lose. ``psnr`` and ``ssim`` are the
    numbers of the figures that show these metrics.
    """
    table = table.assign(shift=shift_of(table))
    served = table[table["shift"] != ""]
    out = []
    for (dataset, method), rows in served.groupby(["dataset", "method"], sort=False):
        name, start = f"{dataset}.{method}", f"{dataset}, {method}: "
        for way in ("coarser", "finer"):
            steps = ["matched", *sorted(s for s in rows["shift"].unique() if s.endswith(way))]
            for better, worse in pairwise(steps):
                for metric, figure in (("psnr", psnr), ("ssim", ssim)):
                    gains = paired_gain(rows, better, worse, metric, "shift")
                    said = (
                        f"{start}a prior with {better} voxels beats one with {worse} voxels "
                        f"at every R, in {metric.upper()}"
                    )
                    words = about(figure, f"{name}.{better}>{worse}.{metric}", said)
                    out.append(smallest_gain(gains, words))
            if len(steps) > 1:
                gains = paired_gain(rows, "matched", steps[-1], "psnr", "shift")
                said = (
                    f"{start}a prior with {steps[-1]} voxels loses more at the highest R "
                    "than at the lowest"
                )
                out.append(growing_gain(gains, about(psnr, f"{name}.{way}.grows", said)))
        gains = paired_gain(rows, "diverse", "matched", "psnr", "shift")
        said = f"{start}the diverse prior is within 0.3 dB of the matched one at every R"
        out.append(smallest_gain(gains, about(psnr, f"{name}.diverse", said), -0.3))
    return out


def posterior_sampling(table: pd.DataFrame) -> list[Claim]:
    """Paper A, Figures A.5 and A.6: posterior sampling with priors of other voxel sizes.

    It suffers as the variational method does, and loses more SSIM.
    """
    out = resolution_shift(table[table["method"] == "tpdm_dds"], psnr="A.5")
    for dataset, rows in table.assign(shift=shift_of(table)).groupby("dataset", sort=False):
        for shift in sorted(s for s in rows["shift"].unique() if s.endswith("coarser")):
            drops = [
                paired_gain(part, "matched", shift, "ssim", "shift").assign(method=method)
                for method, part in rows.groupby("method")
            ]
            every = pd.concat(drops).rename(columns={"gain": "drop"})
            gains = paired_gain(every, "tpdm_dds", "variational", "drop")
            said = (
                f"{dataset}: with a prior of {shift} voxels TPDM+DDS loses more SSIM "
                "than the variational method at every R"
            )
            out.append(smallest_gain(gains, about("A.6", f"{dataset}.{shift}.drop", said)))
    return out


# Better entry, worse entry (see `entries`), by how many dB at every R, and who says so.
LARGER = [
    ("field_trilinear", "matched", -0.3, "A"),
    ("field_trilinear", "variational", 0.0, "A"),
    ("field_trilinear", "field_nearest", 0.0, "ours"),
    ("field_trilinear", "field_implicit", 0.0, "ours"),
]
SMALLER = [
    ("diverse", "field_gaussians", 0.0, "A"),
    ("diverse", "field_trilinear", 0.0, "A"),
    ("field_gaussians", "field_trilinear", 0.5, "A"),
    ("field_gaussians", "field_nearest", 0.5, "A"),
    ("variational", "field_trilinear", 0.0, "A"),
]
KERNELS = [
    ("fourier kernels", "as it is", 0.0, "A"),
    ("fourier kernels", "bilinear kernels", -0.1, "A"),
    ("bilinear kernels", "padding kernels", 0.5, "A"),
    ("fourier kernels", "fourier kernels, gain not kept", 0.0, "ours"),
    ("bilinear kernels", "bilinear kernels, gain not kept", 0.0, "ours"),
]
LARGER_KERNELS = [
    *KERNELS,
    # On smaller voxels padding cuts no taps off.
    ("padding kernels", "padding kernels, gain not kept", 0.0, "ours"),
]
SMALLER_KERNELS = [
    ("diverse", "fourier kernels", 0.0, "A"),
    ("fourier kernels", "field_trilinear", 0.0, "A"),
    ("bilinear kernels", "field_trilinear", 0.0, "A"),
    *KERNELS,
]
# Where the voxels are smaller by more: what of it is due to the small difference?
SMALLEST_KERNELS = [
    ("diverse", "fourier kernels", 0.0, "A"),
    ("fourier kernels", "field_trilinear", 0.0, "A"),
    ("fourier kernels", "as it is", 0.0, "A"),
    ("bilinear kernels", "padding kernels", 0.5, "A"),
    ("field_gaussians", "field_trilinear", 0.5, "A"),
]


def other_voxels(
    table: pd.DataFrame, pairs: list[tuple[str, str, float, str]], figure: str, by: str = "method"
) -> list[Claim]:
    """Paper A, Figures 5, 6 and A.9: what helps a prior of other voxels, pair by pair."""
    out = []
    for dataset, rows in entries(table, by).groupby("dataset", sort=False):
        for better, worse, threshold, paper in pairs:
            said = f"{dataset}, at every R: {_distance(better, worse, threshold)} in mean PSNR"
            words = about(figure, f"{dataset}.{better}>{worse}", said, paper)
            gains = paired_gain(rows, better, worse, "psnr", "entry")
            out.append(smallest_gain(gains, words, threshold))
    return out


def _distance(better: str, worse: str, threshold: float) -> str:
    """By how much one entry is above another, in words."""
    if threshold < 0:
        return f"{better} is at most {-threshold:g} dB below {worse}"
    least = f"at least {threshold:g} dB " if threshold else ""
    return f"{better} is {least}above {worse}"


def in_distribution(table: pd.DataFrame) -> list[Claim]:
    """Paper A, Figure A.8: Gaussians against voxels with the matched prior.

    A claim of ours is about Gabor functions.
    """
    out = []
    for dataset, rows in table.groupby("dataset", sort=False):
        for better, worse, paper in (
            ("field_gaussians", "variational", "A"),
            ("field_gabor", "field_gaussians", "ours"),
        ):
            said = f"{dataset}: {better} is within 0.3 dB of {worse}, or above, at every R"
            words = about("A.8", f"{dataset}.{better}>{worse}", said, paper)
            out.append(smallest_gain(paired_gain(rows, better, worse, "psnr"), words, -0.3))
    return out


def capacity(table: pd.DataFrame) -> list[Claim]:
    """Paper A, Figure A.7: an implicit network must be wide to hold a volume.

    A claim of ours is that Gaussians need fewer numbers than the widest network to fit as well.
    """
    out, table = [], table.assign(R=1.0)
    networks, rest = (table[table["representation"] == k] for k in ("implicit", "gaussians"))
    for dataset, rows in networks.groupby("dataset", sort=False):
        ends = {rows["width"].min(): "narrowest", rows["width"].max(): "widest"}
        best = rows.assign(way=rows["width"].map(ends)).dropna(subset="way")
        keys = ["dataset", "volume", "R", "way"]
        best = best.loc[best.groupby(keys)["psnr"].idxmax()]
        gains = paired_gain(best, "widest", "narrowest", "psnr", "way")
        said = f"{dataset}: the widest network fits the volume 10 dB better than the narrowest"
        out.append(smallest_gain(gains, about("A.7", f"{dataset}.width", said), 10.0))
        fewer = rest[rest["parameters"] < best.loc[best["way"] == "widest", "parameters"].min()]
        most = fewer.loc[fewer.groupby(["dataset", "volume"])["psnr"].idxmax()]
        both = pd.concat([best, most.assign(way="Gaussians")])
        gains = paired_gain(both, "Gaussians", "widest", "psnr", "way")
        said = (
            f"{dataset}: Gaussians of fewer numbers fit the volume better than the widest network"
        )
        out.append(smallest_gain(gains, about("A.7", f"{dataset}.gaussians", said, "ours")))
    return out


CLAIMS = {
    "10_methods_without_shift": without_shift,
    "11_hyperparameters": hyperparameters,
    "12_resolution_shift": resolution_shift,
    "13_posterior_sampling": posterior_sampling,
    "14_gaussian_mask": partial(resolution_shift, psnr="A.10", ssim="A.10"),
    "15_larger_voxels": partial(other_voxels, pairs=LARGER, figure="5"),
    "15_smaller_voxels": partial(other_voxels, pairs=SMALLER, figure="6"),
    "16_larger_voxels": partial(other_voxels, pairs=LARGER_KERNELS, figure="5, A.9", by="prior"),
    "16_smaller_voxels": partial(other_voxels, pairs=SMALLER_KERNELS, figure="6, A.9", by="prior"),
    "16_smallest_voxels": partial(
        other_voxels, pairs=SMALLEST_KERNELS, figure="6, A.9", by="prior"
    ),
    "17_capacity": capacity,
    "17_in_distribution": in_distribution,
    "43_noise_levels": noise_levels,
    "43_bounds": partial(bounds, way="as in the paper's text"),
    "43_bounds_of_means": partial(bounds, way="with means multiplied as in its code"),
    "43_bounds_as_coded": partial(bounds, way="as in its code, with slices twice as large"),
}
