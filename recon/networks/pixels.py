"""At which pixels a network was trained, from what the header of its weights says."""

from collections.abc import Sequence

from recon import phantoms
from recon.mri.prepared import Prepared


def factors(data: dict, settings: dict) -> tuple[float, float]:
    """The smallest and the largest voxels of the training, relative to those of the data."""
    coarsest, finest = settings.get("factors") or (1.0, 1.0)  # of the matrix
    factor = data.get("voxel_factor", 1.0)
    larger = max(factor) if isinstance(factor, list) else factor
    return larger / finest, larger / coarsest


def pixels(data: dict, settings: dict) -> tuple[float, float] | None:
    """The smallest and the largest pixel in mm; None where the header does not say it."""
    if settings.get("transfer"):
        low, high = settings["transfer"]["pixels"]
        return low, high
    field = phantoms.FOV.get(data.get("anatomy")) if data.get("kind") == "phantom" else None
    shape = data.get("shape") or (0, 0, 0)
    voxel = [f / n for f, n in zip(field, shape, strict=True)] if field else data.get("voxel")
    if not voxel:
        return None
    finest, coarsest = factors(data, settings)
    return min(voxel) * finest, max(voxel) * coarsest


def as_trained(data: dict, volumes: Sequence[Prepared], axes: Sequence[int] = (0, 1, 2)) -> dict:
    """``data`` with voxels and matrix of the training volumes, where the dataset does not say them.

    Files of k-space have their own. Of all sides of slices across ``axes`` the smallest and the
    largest are kept, as they were before the dataset's ``voxel_factor``.
    """
    factor = data.get("voxel_factor", 1.0)
    larger = max(factor) if isinstance(factor, list) else factor
    sides = [
        (edge / larger, round(n * larger))
        for volume in volumes
        for axis, (edge, n) in enumerate(zip(volume.voxel, volume.reference.shape, strict=True))
        if n > 1 and any(axis != a for a in axes)
    ]
    widths, counts = zip(*sides, strict=True)
    seen = {"voxel": [min(widths), max(widths)], "shape": [min(counts), max(counts)]}
    return data | {key: value for key, value in seen.items() if not data.get(key)}
