"""Figures: pictures of volumes, charts of tables, their files, claims and the gallery page.

A newcomer adds a function that takes a table or volumes and returns a figure. A notebook passes
this figure to `save`.
"""

from recon.figures.charts import (
    averages,
    boxes,
    capacity,
    convergence,
    cost,
    counts,
    coverage,
    curves,
    losses,
    profiles,
    sizes,
    spectra,
    sweeps,
    verdicts,
)
from recon.figures.images import (
    PLANES,
    comparison,
    masks,
    orthogonal,
    overview,
    same_slices,
    show,
    take,
    voxel_sizes,
)
from recon.figures.saving import save
from recon.figures.sliders import browse
from recon.figures.style import quality, style

__all__ = [
    "PLANES",
    "averages",
    "boxes",
    "browse",
    "capacity",
    "comparison",
    "convergence",
    "cost",
    "counts",
    "coverage",
    "curves",
    "losses",
    "masks",
    "orthogonal",
    "overview",
    "profiles",
    "quality",
    "same_slices",
    "save",
    "show",
    "sizes",
    "spectra",
    "style",
    "sweeps",
    "take",
    "verdicts",
    "voxel_sizes",
]
