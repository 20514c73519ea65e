"""Pages of notebooks are complete without a network."""

from base64 import b64decode, b64encode
from io import BytesIO

import nbformat
import numpy as np
import PIL.Image
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


def test_other_pictures_stay_in_the_page_and_become_small():
    noise = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
    drawn = BytesIO()
    PIL.Image.fromarray(noise).save(drawn, "PNG")
    picture = {"image/png": b64encode(drawn.getvalue()).decode()}
    output = nbformat.v4.new_output("display_data", picture)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[output])])
    small = linked(notebook).cells[0].outputs[0].data["image/png"]
    with PIL.Image.open(BytesIO(b64decode(small))) as kept:
        assert kept.mode == "P" and kept.size == (50, 40)
