"""Notebooks tell; the package computes. Their execution is tested with the smoke workflow."""

import ast
import json

import pytest

from recon.schema import ROOT
from recon.study.config import load

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_form(path):
    """No outputs, no definitions, at most 25 cells and 10 lines a code cell, a parameter cell, and
    text before the first code.
    """
    cells = json.loads(path.read_text())["cells"]
    code = [c for c in cells if c["cell_type"] == "code"]
    assert cells[0]["cell_type"] == "markdown" and len(cells) <= 25
    assert any("parameters" in c["metadata"].get("tags", []) for c in code)
    for cell in code:
        source = "".join(cell["source"])
        assert not cell["outputs"] and cell["execution_count"] is None
        assert len([line for line in source.splitlines() if line.strip()]) <= 11
        assert not [
            n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.ClassDef)
        ]


def test_every_notebook_runs_in_the_smoke_configuration():
    assert {p.stem for p in NOTEBOOKS} == set(load("smoke").notebooks)
