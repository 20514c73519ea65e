"""Executes a notebook with papermill; what fails is kept with its traceback."""

import shutil
from pathlib import Path

import papermill

from recon import ReconError
from recon.config import ROOT
from recon.experiments import Study


def execute(study: Study, config: str, name: str, executed: Path) -> None:
    """Runs ``notebooks/NAME.ipynb`` into ``executed`` and, where it succeeds, copies it to the results."""
    source = ROOT / "notebooks" / f"{name}.ipynb"
    known = papermill.inspect_notebook(str(source))
    if "config" not in known:
        raise ReconError(f"{source}: has no parameter 'config' in a cell tagged parameters")
    executed.parent.mkdir(parents=True, exist_ok=True)
    target = study.results / "notebooks" / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(str(source), str(executed), {"config": config}, cwd=str(ROOT), progress_bar=False, kernel_name="python3")
    shutil.copy(executed, target)
