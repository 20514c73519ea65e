"""Executes a notebook with papermill; what fails is kept with its traceback."""

import shutil
import time
from pathlib import Path

import nbconvert
import nbformat
import papermill

from recon import ReconError
from recon.figures.gallery import STYLE
from recon.files import write_text
from recon.schema import ROOT
from recon.study.config import number
from recon.study.study import Study

EXTRA = """pre{background:#f6f6f6;padding:.5rem;overflow:auto;font-size:13px}.prompt,.anchor-link{display:none}"""


def execute(study: Study, name: str, executed: Path) -> None:
    """Runs ``notebooks/NAME.ipynb`` into ``executed`` and, where it succeeds, copies it to the
    results and as a page to the figures.
    """
    source = ROOT / "notebooks" / f"{name}.ipynb"
    known = papermill.inspect_notebook(str(source))
    if "config" not in known:
        raise ReconError(f"{source}: has no parameter 'config' in a cell tagged parameters")
    executed.parent.mkdir(parents=True, exist_ok=True)
    target = study.results / "notebooks" / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    begun = time.time()
    papermill.execute_notebook(
        str(source),
        str(executed),
        {"config": study.source},
        cwd=str(ROOT),
        progress_bar=False,
        kernel_name="python3",
    )
    for old in study.figures.glob(f"{number(name)}_*"):
        # what an earlier version of the notebook or of the configuration made
        if old.stat().st_mtime < begun - 1:
            old.unlink()
    page, _ = nbconvert.HTMLExporter(template_name="basic").from_notebook_node(
        linked(nbformat.read(executed, nbformat.NO_CONVERT))
    )
    title = f"<!doctype html><html lang=en><meta charset=utf-8><title>{name}</title><style>{STYLE}{EXTRA}</style>"
    write_text(study.figures / f"{name}.html", f"{title}{page}</html>\n")
    shutil.copy(executed, target)


def linked(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with links in place of the pictures that lie as files beside its page."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            file = output.get("metadata", {}).get("image/png", {}).get("file")
            if file:
                output.data = nbformat.NotebookNode(
                    {"text/html": f"<img src='{file}' alt='{Path(file).stem}'>"}
                )
    return notebook
