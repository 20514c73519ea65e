"""Sliders redraw a figure, which is there without them."""

import nbformat
import papermill
import pytest
from matplotlib.figure import Figure

from recon.figures import sliders
from recon.schema import ROOT
from recon.study.config import load
from recon.study.study import Study
from workflow.scripts.notebooks import WIDGET, page

CELLS = [
    """
import matplotlib.pyplot as plt
from recon.figures import saving, sliders
from recon.study.config import load
from recon.study.study import Study

saving.sidecar = lambda *_: {}
kept, drawn, made = [], [], sliders.sliders
sliders.sliders = lambda *given: kept.append(made(*given)) or kept[-1]
""",
    """
def draw(R, slice):
    drawn.append((R, slice))
    fig, ax = plt.subplots(figsize=(2, 1))
    ax.plot([0, R], [0, slice])
    return fig

study = Study(load("smoke"), root=FOLDER)
sliders.browse(study, draw, "09_moved", R=[4, 8], slice=range(5))
sliders.browse(study, draw, "09_still", slice=range(5), R=[4])
""",
    """
kept[0].children[1].value = 4
kept[0].children[0].value = 4
print(drawn, plt.get_fignums())
""",
]


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook of these cells, run by papermill in a kernel of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS]
    cells.insert(0, nbformat.v4.new_code_cell("FOLDER = ''", metadata={"tags": ["parameters"]}))
    kernel = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
    source, target = folder / "source.ipynb", folder / "executed.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), source)
    options = {"cwd": str(ROOT), "progress_bar": False, "kernel_name": "python3"}
    papermill.execute_notebook(str(source), str(target), {"FOLDER": str(folder)}, **options)
    return target


def test_in_a_kernel_moving_a_slider_redraws_the_figure_in_its_place(executed):
    *_, shown, moved = nbformat.read(executed, nbformat.NO_CONVERT).cells
    assert "[(8, 2), (4, 2), (8, 4), (4, 4)] []" in moved.outputs[0].text  # all are closed
    first, widget, still, _ = shown.outputs
    assert WIDGET in widget.data
    assert "file" not in first.metadata["image/png"]  # the picture that was drawn last
    assert still.metadata["image/png"]["file"] == "09_still.png"


def test_the_page_of_an_executed_notebook_has_the_figures_and_no_sliders(executed):
    text = page(executed, "a")
    assert 'src="09_still.png"' in text.replace("'", '"') and text.count("data:image") == 1
    assert "VBox" not in text and "widget" not in text and "<script" not in text


def draw(R, slice=None):
    """A figure that is named by what it was drawn for."""
    return Figure(label=f"R = {R}, slice = {slice}")


@pytest.fixture
def shown(monkeypatch):
    """What `browse` saves, and what it displays, as if in a notebook."""
    saved, displayed = {}, []
    monkeypatch.setattr(sliders, "save", lambda _, fig, name: saved.update({name: fig.get_label()}))
    monkeypatch.setattr(sliders, "display", displayed.append)
    monkeypatch.setattr(sliders, "get_ipython", lambda: True)
    return saved, displayed


STUDY = Study(load("smoke"))


def test_the_figure_is_that_of_the_middle_unless_told(shown):
    sliders.browse(STUDY, draw, "a", R=[4, 8, 12], slice=range(6))
    sliders.browse(STUDY, draw, "b", {"R": 4}, R=[4, 8, 12])
    assert shown[0] == {"a": "R = 8, slice = 3", "b": "R = 4, slice = None"}
    first, second = shown[1]
    assert [s.description for s in first.children] == ["R", "slice"]
    assert [s.value for s in (*first.children, *second.children)] == [8, 3, 4]


def test_without_ipywidgets_or_a_notebook_the_figure_is_all(shown, monkeypatch):
    monkeypatch.setattr(sliders, "get_ipython", lambda: None)
    sliders.browse(STUDY, draw, "a", R=[4, 8])
    monkeypatch.setattr(sliders, "get_ipython", lambda: True)
    monkeypatch.setattr(sliders, "ipywidgets", None)
    sliders.browse(STUDY, draw, "b", R=[4, 8])
    assert list(shown[0]) == ["a", "b"] and shown[1] == []


def test_one_value_needs_no_slider(shown):
    sliders.browse(STUDY, draw, "a", R=[4], slice=range(4))
    sliders.browse(STUDY, draw, "b", R=[4])
    (box,) = shown[1]
    assert [s.description for s in box.children] == ["slice"] and list(shown[0]) == ["a", "b"]
