"""Pages of notebooks are complete without a network."""

import nbformat
import pytest

from recon.schema import ROOT
from workflow.scripts.notebooks import linked, mathml, typeset


def test_formulas_become_mathml():
    """Inline and in blocks, over several lines, beside ordinary text."""
    text = mathml("A volume $x_0$ and\n\n$$\ny = A x\n+ n\n$$\n\nfor 5 dB.")
    assert text.count("<math") == 2 and 'display="block"' in text and "$" not in text
    assert "<msub>" in text and text.endswith("for 5 dB.")


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_every_formula_of_a_notebook_is_understood(path):
    """What the converter does not know it leaves as a LaTeX command, which a reader would see."""
    notebook = typeset(nbformat.read(path, nbformat.NO_CONVERT))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert "$" not in cell.source and "<mi>\\" not in cell.source


def test_pictures_that_lie_beside_the_page_are_linked():
    picture = nbformat.v4.new_output(
        "display_data", {"image/png": "AAAA"}, metadata={"image/png": {"file": "10_a.png"}}
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[picture])])
    output = linked(notebook).cells[0].outputs[0]
    assert output.data == {"text/html": "<img src='10_a.png' alt='10_a'>"}
