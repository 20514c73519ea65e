"""A figure on disk: picture, table, sidecar."""

import os
from io import BytesIO

import matplotlib.pyplot as plt
import oxipng
import pandas as pd
import PIL.Image
from IPython import get_ipython
from IPython.display import Image, display, update_display
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from recon.figures.sidecar import sidecar
from recon.files import whole, write_bytes, write_json, write_text
from recon.study.study import Study


def small_png(fig: Figure) -> bytes:
    """The figure as PNG with 256 colours of its own."""
    drawn = BytesIO()
    fig.savefig(drawn, format="png", dpi=150)
    return flat(drawn.getvalue())


def flat(png: bytes) -> bytes:
    """A PNG with 256 colours of its own, at less than half of the size."""
    small = BytesIO()
    with PIL.Image.open(BytesIO(png)) as picture:
        few = picture.convert("RGB").quantize(256, dither=PIL.Image.Dither.NONE)
    few.save(small, format="png")
    return oxipng.optimize_from_memory(small.getvalue())


def save(
    study: Study,
    fig: Figure,
    name: str,
    table: pd.DataFrame | None = None,
) -> None:
    """Writes a figure, its table and its sidecar as ``figures/CONFIG/NAME``, and closes it.

    The figure becomes .png, the table .csv and the sidecar .json. Charts become .svg as well; of
    slices that would hold the same pixels again. A .pdf for print, with fonts embedded, is made
    where the environment variable ``RECON_PDF`` is set. A notebook shows the .png by its name, so
    that its page links to the file instead of holding the picture a second time.
    """
    stem = study.figures / name
    write_bytes(stem.with_suffix(".png"), small_png(fig))
    if not any(isinstance(artist, AxesImage) for artist in fig.findobj()):
        # Without a salt of its own, names inside the .svg would change every time.
        with plt.rc_context({"svg.hashsalt": name}), whole(stem.with_suffix(".svg")) as part:
            fig.savefig(part, format="svg", metadata={"Date": None})
    if os.environ.get("RECON_PDF"):
        with plt.rc_context({"pdf.fonttype": 42}), whole(stem.with_suffix(".pdf")) as part:
            fig.savefig(part, format="pdf", metadata={"CreationDate": None})
    if table is not None:
        text = table.drop(columns="key", errors="ignore").to_csv(index=False, float_format="%.6g")
        write_text(stem.with_suffix(".csv"), text)
    write_json(stem.with_suffix(".json"), sidecar(study, name))
    plt.close(fig)
    if get_ipython():
        picture = Image(filename=f"{stem}.png", width=1000, metadata={"file": f"{name}.png"})
        display(picture, display_id=name)


def redraw(fig: Figure, name: str) -> None:
    """Shows another figure in the place of the one that was saved as NAME, and closes it."""
    picture = Image(data=small_png(fig), width=1000)
    plt.close(fig)
    update_display(picture, display_id=name)
