"""Notebooks tell; the package computes. Their execution is tested with the smoke workflow."""

import ast
import json
import re

import pytest

from recon.schema import ROOT
from recon.study.config import load
from recon.study.needs import KNOWN, stated

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# A measured number: a quality in decibels, or a decimal in a sentence about SSIM.
MEASURED = re.compile(r"\d\s*dB\b|\bSSIM\b[^.\n]*?\d\.\d|\d\.\d+[^.\n]*?\bSSIM\b")


def cells_of(path, kind):
    cells = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


def prose(path):
    """The text of a notebook without its formulas, every paragraph on a line of its own."""
    text = re.sub(r"\$\$?[^$]*\$\$?", "", "\n\n".join(cells_of(path, "markdown")))
    return re.sub(r"(?<!\n)\n(?!\n|- |#)", " ", text)


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
        assert len([line for line in source.splitlines() if line.strip()]) <= 10
        assert not [
            n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.ClassDef)
        ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_line_is_longer_than_100_characters(path):
    lines = "\n".join(cells_of(path, "markdown") + cells_of(path, "code")).splitlines()
    assert [line for line in lines if len(line) > 100] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_formulas_stand_beside_the_code(path):
    """Every notebook computes something, so every one states a formula; dollars come in pairs."""
    for cell in cells_of(path, "markdown"):
        assert cell.count("$") % 2 == 0
    assert any("$" in cell for cell in cells_of(path, "markdown"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_measured_number_is_typed(path):
    """Findings are computed by `recon.figures.findings`, so that they fit what ran."""
    assert MEASURED.findall(prose(path)) == []


@pytest.mark.parametrize(
    ("text", "measured"),
    [
        ("it is 1.5 dB ahead", True),
        ("loses 9 dB at R = 4", True),
        ("ahead by 0.05 to 0.06 in SSIM", True),
        ("SSIM rises by 0.05", True),
        ("timesteps up to 0.4 T, 50 slices, 2000 steps", False),
        ("in PSNR [dB] and in SSIM. Voxels of 0.3 mm", False),
    ],
)
def test_measured_numbers_are_told_from_settings(text, measured):
    assert bool(MEASURED.search(text)) is measured


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_needs_are_known(path):
    """`stated` refuses unknown words; here every notebook says what it needs itself."""
    assert "needs" in json.loads(path.read_text())["metadata"]["recon"]
    assert set(stated(path)) <= set(KNOWN)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_cells_keep_distinct_names(path):
    names = [cell["id"] for cell in json.loads(path.read_text())["cells"]]
    assert len(set(names)) == len(names)


def test_every_notebook_runs_in_the_smoke_configuration():
    assert {p.stem for p in NOTEBOOKS} == set(load("smoke").notebooks)
