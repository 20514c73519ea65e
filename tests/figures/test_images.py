from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from recon import figures
from recon.errors import ReconError
from recon.figures import images, sliders
from recon.mri.prepared import Prepared
from recon.study.config import load
from recon.study.study import Study

SHAPE, BRIGHT = (6, 8, 10), (1, 5, 7)
VOXEL = (1.0, 2.0, 3.0)


def bright():
    volume = torch.zeros(SHAPE)
    volume[BRIGHT] = 1
    return volume


def drawn(ax):
    return np.asarray(ax.get_images()[0].get_array())


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_bright_voxel_appears_where_its_coordinates_say(axis):
    """The earlier of the two axes in the plane runs right and the later one runs up."""
    across, up = [n for a, n in enumerate(BRIGHT) if a != axis]
    image = figures.take(bright(), axis, BRIGHT[axis])
    assert np.argwhere(image).tolist() == [[up, across]]
    assert not figures.take(bright(), axis).any()  # the central slice does not hold it

    fig, ax = plt.subplots()
    figures.show(ax, image, VOXEL, axis, "title")
    fig.canvas.draw()
    low, high = ax.transData.transform([(0, 0), (across, up)])
    assert (high > low).all() and ax.get_title() == "title"
    assert not ax.get_xticks().size and not ax.get_yticks().size


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_have_physical_proportions(axis):
    """On paper a panel is as many times higher than wide as the slice is in mm."""
    fig, ax = plt.subplots()
    figures.show(ax, figures.take(bright(), axis), VOXEL, axis)
    fig.canvas.draw()
    box = ax.get_window_extent()
    across, up = [n * v for a, (n, v) in enumerate(zip(SHAPE, VOXEL, strict=True)) if a != axis]
    assert box.height / box.width == pytest.approx(up / across, rel=1e-6)


def test_orthogonal_shows_the_three_central_slices():
    volume = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    fig = figures.orthogonal({"a": volume, "b": 2 * volume}, VOXEL)
    assert [ax.get_title() for ax in fig.axes[:3]] == [f"a, {plane}" for plane in figures.PLANES]
    for axis, (first, second) in enumerate(zip(fig.axes[:3], fig.axes[3:], strict=True)):
        wanted = volume.select(axis, SHAPE[axis] // 2).numpy().T
        np.testing.assert_array_equal(drawn(first), wanted)
        np.testing.assert_array_equal(drawn(second), 2 * wanted)


def test_orthogonal_cuts_where_it_is_told():
    volume = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
    fig = figures.orthogonal({"a": volume}, VOXEL, (1, None, 9))
    for axis, (index, ax) in enumerate(zip((1, SHAPE[1] // 2, 9), fig.axes, strict=True)):
        np.testing.assert_array_equal(drawn(ax), volume.select(axis, index).numpy().T)


def test_masks_have_ky_to_the_right_and_kz_up():
    mask = torch.zeros(8, 10, dtype=torch.bool)
    mask[5, 7] = True
    fig = figures.masks({"R = 80": mask, "all": ~mask})
    first, second = fig.axes
    assert [ax.get_title() for ax in fig.axes] == ["R = 80", "all"]
    assert (first.get_xlabel(), first.get_ylabel()) == ("ky", "kz")
    assert np.argwhere(drawn(first)).tolist() == [[7, 5]]
    np.testing.assert_array_equal(drawn(second), ~drawn(first).astype(bool))


def scene():
    """A flat object with a checkerboard in one part of every sagittal slice."""
    reference = torch.ones(4, 40, 60)
    reference[:, 24:34, 8:22] += torch.arange(14) % 2
    return reference


def test_comparison_shows_every_volume_and_its_magnified_error():
    reference = scene()
    noise = 0.1 * torch.randn(reference.shape, generator=torch.Generator().manual_seed(0))
    volumes = {"none": reference.clone(), "noisy": reference + noise}
    fig = figures.comparison(reference, volumes, VOXEL, index=1, gain=7)
    above, below = np.reshape(fig.axes, (2, 3))
    assert [ax.get_title() for ax in above] == ["Reference", "none", "noisy"]
    truth = reference[1].numpy().T
    for ax, volume in zip(above, (reference, *volumes.values()), strict=True):
        np.testing.assert_array_equal(drawn(ax), volume[1].numpy().T)
    assert not below[0].axison
    assert below[0].texts[0].get_text() == "|error| × 7\nsagittal"
    assert not drawn(below[1]).any()
    np.testing.assert_allclose(drawn(below[2]), 7 * np.abs(volumes["noisy"][1].numpy().T - truth))
    windows = {ax.get_images()[0].get_clim() for ax in (*above, *below[1:])}
    assert windows == {(0, float(np.quantile(reference.numpy(), 0.998)))}  # one window for all


@pytest.mark.parametrize(("axis", "plane"), [(1, "coronal"), (2, "axial")])
def test_comparison_takes_other_planes(axis, plane):
    reference = scene()
    fig = figures.comparison(reference, {"same": reference}, VOXEL, axis=axis, index=2)
    np.testing.assert_array_equal(drawn(fig.axes[0]), reference.select(axis, 2).numpy().T)
    assert fig.axes[2].texts[0].get_text().endswith(plane)


def test_comparison_of_a_2d_scan_shows_its_image():
    reference = scene()[0][:, :, None]
    fig = figures.comparison(reference, {"same": reference}, VOXEL)
    np.testing.assert_array_equal(drawn(fig.axes[0]), reference[:, :, 0].numpy().T)


def test_the_inset_shows_the_busiest_part_of_the_reference():
    """It covers the same part of every panel: the checkerboard, in 30 % of each side."""
    reference = scene()
    fig = figures.comparison(reference, {"flat": torch.ones_like(reference)}, VOXEL)
    for ax in fig.axes[:2]:
        (inset,) = [a for a in ax.child_axes if a.get_images()]
        (left, right), (low, high) = inset.get_xlim(), inset.get_ylim()
        assert (right - left, high - low) == (12, 18)
        assert left < 24 and right > 33 and low < 8 and high > 21  # all of the checkerboard
        np.testing.assert_array_equal(drawn(inset), drawn(ax))
        assert inset.get_aspect() == VOXEL[2] / VOXEL[1]


def test_the_window_of_the_inset_fits_into_thin_images():
    rows, columns = images._busiest(np.eye(3, 50, dtype=np.float32), 0.3)
    assert (rows, columns) == (slice(0, 3), slice(0, 15))


def prepared(coils=5, shape=SHAPE):
    ones = torch.ones(coils, *shape, dtype=torch.complex64)
    number = torch.arange(1, coils + 1)[:, None, None, None]
    return Prepared(
        kspace=ones,
        mask=torch.ones(shape[1:], dtype=torch.bool),
        maps=ones * number,
        reference=bright().to(torch.complex64)[: shape[0], : shape[1], : shape[2]],
        support=torch.ones(shape, dtype=torch.bool),
        noise=0.0,
        voxel=VOXEL,
        name="a",
        origin="phantom",
        hash="",
    )


def test_overview_shows_kspace_four_maps_and_two_planes():
    fig = figures.overview({"a": prepared()})
    titles = [ax.get_title().replace("\n", "; ") for ax in fig.axes]
    assert titles == [
        "a; log |k|, (ky, kz)",
        "log |k|, (kx, ky)",
        "4 of 5 maps",
        "phantom, sagittal; 2 × 3 mm",
        "phantom, axial; 1 × 2 mm",
    ]
    assert [drawn(ax).shape for ax in fig.axes] == [(10, 8), (8, 6), (16, 12), (10, 8), (8, 6)]
    assert np.unique(drawn(fig.axes[0])).tolist() == [0]  # log of the share of the maximum
    assert np.unique(drawn(fig.axes[2])).tolist() == [1, 2, 3, 4]


def test_overview_of_a_2d_scan_with_few_coils():
    """Panels that no coil fills are black, and both planes are its one image."""
    fig = figures.overview({"a": prepared(coils=2, shape=(6, 8, 1))})
    assert np.unique(drawn(fig.axes[2])).tolist() == [0, 1, 2]
    assert drawn(fig.axes[3]).shape == drawn(fig.axes[4]).shape == (8, 6)


def bars(ax):
    """The left edges and heights of the bars of a histogram, by label."""
    return {
        found.patches[0].get_label(): {
            round(patch.get_x(), 6): patch.get_height() for patch in found if patch.get_height()
        }
        for found in ax.containers
    }


@pytest.mark.parametrize("largest", [3.0, 8.0])
def test_voxel_sizes_count_every_edge_where_it_lies(largest):
    """Edges on a boundary of two bins count in the upper one, and large ones count as well."""
    here = {"knee": (2.0, 2.0, 2.0), "thick": (0.6, 0.7, largest)}
    listed = {"stanford": ((0.5, 0.5, 0.6), 19), "empty": ((1.0, 1.0, 1.0), 0)}
    (ax,) = figures.voxel_sizes(here, listed).axes
    assert ax.get_xlabel() == "edge of a voxel [mm]" and ax.get_ylabel() == "axes of volumes"
    assert bars(ax) == {
        "knee (here)": {2.0: 3},
        "thick (here)": {0.6: 1, 0.7: 1, largest: 1},
        "stanford (19 volumes)": {0.5: 38, 0.6: 19},
    }


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of a volume that is not computed; reconstructions are named by their key."""
    study = Study(load("smoke"), root=tmp_path)
    true = scene().to(torch.complex64)  # the reference has noise, and is no truth
    volume = SimpleNamespace(reference=true + 1, truth=true, target=true, voxel=VOXEL)
    monkeypatch.setattr(study, "volume", lambda dataset, subject: volume)
    monkeypatch.setattr(study, "reconstruction", lambda row: scene() * row["key"])
    return study


def cases():
    """Two subjects at R = 4 and 8, of two methods; the key is the scale of the volume."""
    return pd.DataFrame(
        [
            {"dataset": "knee", "volume": v, "R": r, "method": m, "psnr": 10.0 * k + r, "key": k}
            for v in ("200", "201")
            for r in (4.0, 8.0)
            for k, m in enumerate(("cg_sense", "annealed"), start=1)
        ]
    )


def test_same_slices_saves_a_figure_for_each_of_the_highest_accelerations(study, monkeypatch):
    saved = {}
    monkeypatch.setattr(sliders, "save", lambda study, fig, name: saved.update({name: fig}))
    figures.same_slices(study, cases(), "10_slices")
    assert list(saved) == ["10_slices_knee_R8"]
    figures.same_slices(study, cases(), "10_slices", highest=2)
    assert list(saved) == ["10_slices_knee_R8", "10_slices_knee_R4"]
    panels = saved["10_slices_knee_R8"].axes[:3]
    titles = ["Truth", "CG-SENSE\n18.0 dB", "Annealed (ours)\n28.0 dB"]
    assert [ax.get_title() for ax in panels] == titles
    for ax, scale in zip(panels, (1, 1, 2), strict=True):
        np.testing.assert_array_equal(drawn(ax), scale * scene()[2].numpy().T)


def test_sliders_go_through_accelerations_and_slices(study, monkeypatch):
    """Of each picture: the first is its own, and the others are drawn as they are asked for."""
    asked = {}
    monkeypatch.setattr(
        images,
        "browse",
        lambda study, draw, name, start, **c: asked.update({name: (draw, start, c)}),
    )
    figures.same_slices(study, cases(), "10_slices", highest=2)
    draw, start, choices = asked["10_slices_knee_R4"]
    assert start == {"R": 4} and choices == {"R": [4, 8], "slice": range(4)}
    fig = draw(R=8, slice=3)
    assert [ax.get_title() for ax in fig.axes[1:3]] == [
        "CG-SENSE\n18.0 dB",
        "Annealed (ours)\n28.0 dB",
    ]
    np.testing.assert_array_equal(drawn(fig.axes[0]), scene()[3].numpy().T)


def test_same_slices_refuses_rows_that_would_hide_each_other(study):
    """Two priors of one method would be two panels with one name."""
    with pytest.raises(ReconError, match="several rows"):
        figures.same_slices(study, pd.concat([cases(), cases()]), "10_slices")


def test_same_slices_takes_a_table_from_a_file(study, monkeypatch):
    """There the subjects are numbers."""
    saved = []
    monkeypatch.setattr(sliders, "save", lambda study, fig, name: saved.append(len(fig.axes)))
    figures.same_slices(study, cases().astype({"volume": int}), "10_slices")
    assert saved == [6]


@pytest.mark.parametrize(("voxel", "bar"), [(0.5, "2 mm"), (2.0, "10 mm"), (0.02, "0.1 mm")])
def test_a_scale_bar_has_a_round_length_and_the_right_one(voxel, bar):
    fig = images.comparison(
        torch.rand(20, 30, 40), {"A": torch.rand(20, 30, 40)}, (1.0, voxel, 1.0), 0
    )
    (found,) = [a for a in fig.axes[0].artists if isinstance(a, AnchoredSizeBar)]
    assert found.txt_label.get_text() == bar
    (line,) = found.size_bar.get_children()
    assert line.get_width() * voxel == pytest.approx(float(bar.split()[0]))
