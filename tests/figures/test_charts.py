import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color

from recon import figures
from recon.errors import ReconError
from recon.figures.style import looks, style

METRICS = {"psnr": "PSNR [dB]", "ssim": "SSIM of slices"}
PSNR = "PSNR in the object [dB]"  # of tables that do not say what was compared with


def table(by="method", names=("cg_sense", "annealed"), datasets=("knee",), seed=0):
    """Three volumes, R = 4, 8 and 16, and random scores."""
    index = pd.MultiIndex.from_product(
        [datasets, ("a", "b", "c"), (4.0, 8.0, 16.0), names], names=["dataset", "volume", "R", by]
    )
    scores = np.random.default_rng(seed).uniform(1, 2, (len(index), 3))
    rows = pd.DataFrame(scores, index, columns=["psnr", "ssim", "seconds"]).reset_index()
    return rows.assign(origin="phantom")


def labels(fig):
    return [text.get_text() for text in fig.legends[0].get_texts()]


def line(ax, label):
    (found,) = [one for one in ax.get_lines() if one.get_label() == label]
    return found


def test_curves_draw_the_means_and_deviations_of_the_table():
    rows = table(datasets=("knee", "brain"))
    fig = figures.curves(rows, METRICS)
    panels = np.reshape(fig.axes, (2, 2))
    for row, dataset in zip(panels, ("knee", "brain"), strict=True):
        for ax, (metric, label) in zip(row, METRICS.items(), strict=True):
            assert (ax.get_xlabel(), ax.get_ylabel()) == ("acceleration R", label)
            assert ax.get_title() == f"{dataset} (phantom)"
            assert ax.get_xticks().tolist() == [4, 8, 16]
            assert len(ax.containers) == 2
            for bars, method in zip(ax.containers, ("cg_sense", "annealed"), strict=True):
                chosen = rows[(rows["dataset"] == dataset) & (rows["method"] == method)]
                scores = chosen.groupby("R")[metric]
                assert bars[0].get_xdata().tolist() == [4, 8, 16]
                means = np.asarray(bars[0].get_ydata(), float)
                np.testing.assert_allclose(means, scores.mean())
                ends = np.array(bars[2][0].get_segments())[:, :, 1]  # below and above each mean
                np.testing.assert_allclose(ends[:, 1] - ends[:, 0], 2 * scores.std())
                np.testing.assert_allclose(ends.mean(1), scores.mean())


def test_titles_have_the_labels_of_datasets_in_lines_that_fit():
    rows = table()
    rows.attrs["labels"] = {"knee": "Knee phantom, 2× voxels, with the prior of 4× voxels"}
    kept = rows[rows["R"] == 8]  # as the notebooks take parts
    [ax] = figures.boxes(kept, "psnr", "PSNR").axes
    assert ax.get_title().split("\n") == [
        *("Knee phantom, 2×", "voxels, with the prior", "of 4× voxels"),
        "R = 8, 3 volumes",
    ]
    assert figures.losses(table("shift", ("matched", "diverse")), METRICS).axes[0].get_title() == (
        "knee"
    )


def test_curves_show_each_method_in_its_own_look():
    fig = figures.curves(table(), METRICS)
    for ax in fig.axes:
        for bars, method in zip(ax.containers, ("cg_sense", "annealed"), strict=True):
            look = style(method)
            assert bars.get_label() == look["label"]
            assert bars[0].get_marker() == look["marker"]
            assert same_color(bars[0].get_color(), look["color"])
    assert labels(fig) == ["CG-SENSE", "Annealed (ours)"]  # once, though there are two panels


def test_one_volume_has_bars_of_no_length():
    rows = table()
    fig = figures.curves(rows[rows["volume"] == "a"], {"psnr": "PSNR [dB]"})
    ends = np.array(fig.axes[0].containers[0][2][0].get_segments())[:, :, 1]
    np.testing.assert_array_equal(ends[:, 0], ends[:, 1])


def test_curves_refuse_a_table_with_several_rows_for_one_point():
    """The rows of two priors have no common mean."""
    rows = pd.concat([table(), table(seed=1)])
    with pytest.raises(ReconError, match="several rows for one volume, R and method"):
        figures.curves(rows, METRICS)
    assert len(figures.curves(table(), METRICS).axes) == 2


def test_losses_draw_paired_differences_and_a_dot_for_every_volume():
    rows = table("shift", ("matched", "2× coarser", "diverse"))
    fig = figures.losses(rows, {"psnr": "PSNR [dB]"})
    (ax,) = fig.axes
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("acceleration R", "Δ PSNR [dB]")
    assert ax.get_title() == "knee" and ax.get_xticks().tolist() == [4, 8, 16]
    wide = rows.pivot(index=["volume", "R"], columns="shift", values="psnr")
    dots = [one for one in ax.get_lines() if one.get_linestyle() == "None"]
    assert len(dots) == 2
    for spots, name in zip(dots, ("2× coarser", "diverse"), strict=True):
        gain = wide[name] - wide["matched"]
        means = line(ax, f"prior: {name}")
        np.testing.assert_allclose(means.get_ydata(), gain.groupby("R").mean())
        drawn = sorted(zip(spots.get_xdata(), spots.get_ydata(), strict=True))
        wanted = sorted(zip(gain.index.get_level_values("R"), gain, strict=True))
        np.testing.assert_allclose(drawn, wanted)
        assert len(drawn) == 9 and same_color(spots.get_color(), means.get_color())
    assert labels(fig) == ["prior: 2× coarser", "prior: diverse"]  # the matched one is the zero
    assert [list(one.get_ydata()) for one in ax.get_lines()].count([0, 0]) == 1


def test_losses_leave_out_what_cannot_be_paired():
    """Anisotropic voxels have no matched prior; a prior that was never run has no entry."""
    rows = table("shift", ("1", "diverse"))
    fig = figures.losses(rows, {"psnr": "PSNR [dB]"})
    assert len(fig.axes[0].get_lines()) == 1 and not labels(fig)
    against = figures.losses(rows, {"psnr": "PSNR [dB]"}, best="1")
    assert labels(against) == ["prior: diverse"]


def varied(setting, values, **about):
    rows = table("value", values, **about)
    return rows.assign(varied=setting, method="variational")


def test_sweeps_draw_the_mean_at_every_value_of_every_setting():
    bounds = varied("t_max", (100.0, 400.0, 1000.0))
    words = varied("schedule", ("uniform", "annealed"), seed=1)
    fig = figures.sweeps(pd.concat([bounds, words]))
    assert [ax.get_xlabel() for ax in fig.axes] == ["highest timestep T'", "timesteps"]
    assert [ax.get_ylabel() for ax in fig.axes] == [PSNR, ""]
    for ax, rows, names in zip(
        fig.axes, (bounds, words), (["100", "400", "1000"], ["uniform", "annealed"]), strict=True
    ):
        assert [one.get_label() for one in ax.get_lines()] == [f"knee, R = {r}" for r in (4, 8, 16)]
        for one, acceleration in zip(ax.get_lines(), (4, 8, 16), strict=True):
            means = rows[rows["R"] == acceleration].groupby("value", sort=False)["psnr"].mean()
            assert list(one.get_xdata(orig=True)) == names
            np.testing.assert_allclose(one.get_ydata(), means)


def test_sweeps_leave_a_gap_where_a_value_was_not_run():
    rows = varied("slices", (3.0, 6.0, 12.0), datasets=("knee", "brain"))
    some = rows[(rows["dataset"] == "knee") | (rows["value"] != 6)]
    for one in figures.sweeps(some).axes[0].get_lines():
        gaps = np.isnan(np.asarray(one.get_ydata(), float)).tolist()
        assert gaps == [False, "brain" in one.get_label(), False]


def test_counts_draw_quality_and_time_against_a_number():
    rows = pd.concat(
        [
            varied("planes", (1.0, 2.0, 3.0)),
            varied("planes", (1.0, 2.0, 3.0), seed=1).assign(method="annealed"),
        ]
    )
    fig = figures.counts(rows, "orientations")
    assert [ax.get_ylabel() for ax in fig.axes] == [PSNR, "time [s]"]
    for ax, column in zip(fig.axes, ("psnr", "seconds"), strict=True):
        assert ax.get_xlabel() == "orientations" and ax.get_xticks().tolist() == [1, 2, 3]
        seen = set()
        for method in ("variational", "annealed"):
            for acceleration in (4, 8, 16):
                chosen = rows[(rows["method"] == method) & (rows["R"] == acceleration)]
                one = line(ax, f"{style(method)['label']}, R = {acceleration}")
                assert one.get_xdata().tolist() == [1, 2, 3]
                np.testing.assert_allclose(one.get_ydata(), chosen.groupby("value")[column].mean())
                assert same_color(one.get_color(), style(method)["color"])
                seen.add((one.get_color(), one.get_linestyle()))
        assert len(seen) == 6  # every line can be told apart
    assert len(labels(fig)) == 6


def test_counts_never_mix_datasets():
    rows = varied("planes", (1.0, 3.0), datasets=("knee", "brain"))
    fig = figures.counts(rows, "orientations")
    assert [ax.get_title() for ax in fig.axes] == ["knee", "knee", "brain", "brain"]
    means = rows[rows["R"] == 8].groupby(["dataset", "value"])["psnr"].mean()
    for ax, dataset in ((fig.axes[0], "knee"), (fig.axes[2], "brain")):
        one = line(ax, "Variational (paper A), R = 8")
        np.testing.assert_allclose(one.get_ydata(), means[dataset])
    with pytest.raises(ReconError, match="several rows"):
        figures.counts(pd.concat([rows, rows.assign(prior="other")]), "orientations")


def test_averages_draw_a_line_for_every_volume():
    rows = pd.DataFrame(
        {"volume": ["a", "a", "b", "b"], "draws": [1, 4, 1, 4], "psnr": [30.0, 32, 28, 31]}
        | {"psnr_limit": [33.0, 33, 32, 32], "bias": [2.0, 2, 3, 3], "spread": [4.0, 4, 5, 5]}
    )
    ax, parts = figures.averages(rows).axes
    assert [bar.get_height() for bar in parts.patches] == [2, 3, 4, 5]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("draws averaged", PSNR)
    assert ax.get_xticks().tolist() == [1, 4]
    for name, psnr in (("a", [30, 32]), ("b", [28, 31])):
        one = line(ax, f"volume {name}")
        assert one.get_xdata().tolist() == [1, 4] and one.get_ydata().tolist() == psnr


def test_cost_is_a_dot_for_every_case():
    rows = table(names=("dds", "annealed")).assign(denoised_slices=lambda t: 1000 * t["ssim"])
    fig = figures.cost(rows)
    columns = {"denoised_slices": "slices denoised", "seconds": "time [s]"}
    assert fig.axes[0].get_ylabel() == PSNR
    for ax, (column, label) in zip(fig.axes, columns.items(), strict=True):
        assert (ax.get_xlabel(), ax.get_xscale()) == (label, "log")
        for method in ("dds", "annealed"):
            dots, chosen = line(ax, style(method)["label"]), rows[rows["method"] == method]
            assert dots.get_linestyle() == "None" and dots.get_marker() == style(method)["marker"]
            np.testing.assert_array_equal(dots.get_xdata(), chosen[column])
            np.testing.assert_array_equal(dots.get_ydata(), chosen["psnr"])


def test_convergence_draws_a_line_for_every_solver():
    traces = pd.DataFrame(
        [
            {"dataset": d, "R": r, "solver": s, "denoised_slices": 36 * n, "psnr": 20.0 + n + r}
            for d, r in (("knee", 16.0), ("brain", 8.0))
            for s in ("Adam", "CG")
            for n in (1, 2, 3)
        ]
    )
    fig = figures.convergence(traces)
    for ax, (dataset, r) in zip(fig.axes, (("knee", 16), ("brain", 8)), strict=True):
        assert ax.get_title() == f"{dataset}, R = {r}" and ax.get_xscale() == "log"
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("slices denoised", PSNR)
        assert [one.get_label() for one in ax.get_lines()] == ["Adam", "CG"]
        for one in ax.get_lines():
            assert one.get_xdata().tolist() == [36, 72, 108]
            assert one.get_ydata().tolist() == [21 + r, 22 + r, 23 + r]


def test_axes_say_what_volumes_are_compared_with():
    truth = pd.DataFrame({"target": ["noise-free truth"] * 2})
    label = "PSNR in the object\nagainst the noise-free truth [dB]"
    assert figures.quality(truth)["psnr"] == label
    assert "noise-free truth" in figures.quality(truth)["ssim"]
    both = pd.concat([truth, pd.DataFrame({"target": ["noisy reference"]})])
    label = figures.quality(both)["psnr"]
    assert "noise-free truth or noisy reference" in label.replace("\n", " ")
    assert max(map(len, label.split("\n"))) < 45  # it fits beside a panel


def test_lines_without_a_look_of_their_own_are_told_apart():
    found = looks(["everything", "no_phase", "matched", "dds", *map(str, range(50, 60))])
    own = [tuple(look[key] for key in ("color", "marker")) for look in found.values()]
    assert len(set(own)) == len(own) and found["matched"] == style("matched")
    known = looks(["new", "diffusion_mbir"])["diffusion_mbir"]  # its grey is its own
    assert known == style("diffusion_mbir")
