"""Notebooks that fail end in one line, stay to be looked at, and are run anew."""

import os

import nbformat
import pytest

from recon.errors import ReconError
from recon.schema import ROOT
from recon.study.config import load
from recon.study.study import Study
from workflow.scripts import notebooks

PARAMETERS = nbformat.v4.new_code_cell('config = "smoke"', metadata={"tags": ["parameters"]})


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Runs a notebook of some cells, in a repository that has nothing else."""
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    study = Study(load("smoke"), root=tmp_path)
    (tmp_path / "notebooks").mkdir()
    study.figures.mkdir(parents=True)

    def run(*cells: str):
        made = [PARAMETERS, *map(nbformat.v4.new_code_cell, cells)]
        source = tmp_path / "notebooks" / "99_x.ipynb"
        about = {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        }
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=about), source)
        notebooks.execute(study, "99_x", executed)

    executed = tmp_path / "logs" / "99_x.ipynb"
    target = study.results / "notebooks" / "99_x.ipynb"
    return run, study, executed, target


def outputs(path) -> str:
    """All that the cells of an executed notebook print."""
    cells = nbformat.read(path, nbformat.NO_CONVERT).cells
    return "".join(out.get("text", "") for cell in cells for out in cell.get("outputs", []))


def test_a_killed_kernel_is_one_line_and_the_next_run_does_it_anew(execute):
    run, _, executed, target = execute
    dies = (
        "import os, pathlib\nif not pathlib.Path('mended').exists():\n    os.kill(os.getpid(), 9)"
    )
    cells = "print('so far')", dies, "print('done')"
    with pytest.raises(ReconError, match="its kernel died") as refused:
        run(*cells)
    assert "\n" not in str(refused.value) and str(executed) in str(refused.value)
    assert outputs(executed) == "so far\n" and not target.exists()
    (target.parents[3] / "mended").touch()
    run(*cells)
    assert outputs(target) == "so far\ndone\n"


def test_an_error_in_a_cell_is_one_line_and_its_traceback_is_kept(execute):
    run, _, executed, target = execute
    raises = "from recon import ReconError\nraise ReconError('disk is full; make room')"
    with pytest.raises(ReconError, match=r"cell \[3\] fails with ReconError: disk is full; make"):
        run(raises)
    assert "Traceback" in executed.read_text() and not target.exists()


def test_old_figures_go_and_new_ones_stay_whatever_the_clock_says(execute):
    """The clock jumps back by a day while the notebook runs, so its figures look old."""
    run, study, _, target = execute
    old, kept, other = (study.figures / n for n in ("99_old.png", "99_kept.png", "98_a.png"))
    for path in (old, kept, other):
        path.write_text("old")
    write = (
        f"from pathlib import Path; from recon.files import write_text; import os\n"
        f"path = Path('{kept}')\nwrite_text(path, 'new')\nos.utime(path, (1, 1))"
    )
    run(write)
    assert kept.read_text() == "new" and other.exists() and not old.exists() and target.exists()
    assert os.path.getmtime(kept) == 1
