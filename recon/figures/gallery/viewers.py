"""What the viewers of the page show: one slice by every method, and one volume in three planes."""

import base64
from io import BytesIO

import numpy as np
import pandas as pd
import PIL.Image
from jaxtyping import Float
from torch import Tensor

from recon.figures.gallery.words import Words
from recon.figures.images import take
from recon.mri.resample import trilinear
from recon.mri.slices import planes
from recon.study.study import Study

VOXELS = 60_000  # of a volume inside the page, at most
MOST = 10  # methods


def data(study: Study, words: Words) -> dict | None:
    """The slices and volumes of the first comparison of methods whose results are here.

    They are those of its first test subject at the highest R. None where no results are.
    """
    table = first(study)
    if table is None:
        return None
    dataset, subject = str(table["dataset"].iloc[0]), table["volume"].iloc[0]
    scan = study.volume(dataset, subject)
    truth = scan.target.abs()
    if len(planes(tuple(truth.shape))) < 3:
        return None
    top = float(np.quantile(truth.numpy(), 0.998))
    rows = table.sort_values("psnr", ascending=False).to_dict("records")
    found = {row["method"]: study.reconstruction(row) for row in rows[:MOST]}
    best = rows[0]["method"]
    slices = {"Truth": truth} | {
        f"{words.entry('method', row['method'])}, {row['psnr']:.1f} dB": found[row["method"]]
        for row in rows[:MOST]
    }
    return {
        "about": f"{words.dataset(dataset)}, R = {table['R'].iloc[0]:g}",
        "aspect": scan.voxel[2] / scan.voxel[1],
        "slices": {label: png(take(v, 0), top) for label, v in slices.items()},
        "volumes": {
            "Truth": volume(truth, top),
            words.entry("method", best): volume(found[best], top),
        },
        "voxel": list(scan.voxel),
    }


def first(study: Study) -> pd.DataFrame | None:
    """The rows of one subject at the highest R, of the first comparison of several methods."""
    for name, section in study.config.comparisons.items():
        for dataset, subject in study.config.compared(name)[:1]:
            path = study.table_path(name, dataset, subject)
            table = pd.read_csv(path) if path.exists() else pd.DataFrame({"method": []})
            if table["method"].nunique() < 3 or section.vary or section.priors:
                continue
            table = table[table["R"] == table["R"].max()]
            if all(study.case_path(key).with_suffix(".h5").exists() for key in table["key"]):
                return table
    return None


def png(image: Float[np.ndarray, "up across"], top: float) -> str:
    """A slice as a picture inside the page; z runs up."""
    grey = (np.clip(image[::-1] / top, 0, 1) * 255).astype(np.uint8)
    out = BytesIO()
    PIL.Image.fromarray(grey).save(out, format="png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()


def volume(values: Float[Tensor, "x y z"], top: float) -> dict:
    """A volume in 256 greys, on a coarser grid where it is large."""
    factor = max(1.0, (values.numel() / VOXELS) ** (1 / 3))
    shape = tuple(max(1, round(n / factor)) for n in values.shape)
    small = trilinear(values, shape) if factor > 1 else values
    grey = ((small / top).clamp(0, 1) * 255).round().byte().numpy()
    return {"shape": list(shape), "data": base64.b64encode(grey.tobytes()).decode()}
