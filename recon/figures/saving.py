"""A figure on disk: picture, table, sidecar."""

import json

import matplotlib.pyplot as plt
import pandas as pd
from IPython import get_ipython
from IPython.display import Image, display
from matplotlib.figure import Figure

from recon.figures.sidecar import sidecar
from recon.files import whole, write_text
from recon.mri.prepared import Prepared
from recon.study.study import Study


def save(
    study: Study,
    fig: Figure,
    name: str,
    table: pd.DataFrame | None = None,
    volumes: dict[str, Prepared] | None = None,
) -> None:
    """Writes a figure, its table and its sidecar as ``figures/CONFIG/NAME``, and closes it.

    The figure becomes .png and .svg, the table .csv and the sidecar .json. ``volumes`` are inputs
    in addition to those that the notebook's metadata names. A notebook shows the .png by its name,
    so that the notebook's page links to the file instead of holding the picture a second time.
    """
    stem = study.figures / name
    with whole(stem.with_suffix(".png")) as part:
        fig.savefig(part, format="png", dpi=150)
    # Without a salt of its own, names inside the .svg would change every time.
    with plt.rc_context({"svg.hashsalt": name}), whole(stem.with_suffix(".svg")) as part:
        fig.savefig(part, format="svg", dpi=150, metadata={"Date": None})
    if table is not None:
        text = table.drop(columns="key", errors="ignore").to_csv(index=False, float_format="%.6g")
        write_text(stem.with_suffix(".csv"), text)
    write_text(stem.with_suffix(".json"), json.dumps(sidecar(study, name, volumes), indent=1))
    plt.close(fig)
    if get_ipython():
        display(Image(filename=f"{stem}.png", width=1000, metadata={"file": f"{name}.png"}))
