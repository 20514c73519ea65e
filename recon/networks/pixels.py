"""At which pixels a network was trained, from what the header of its weights says."""

from recon import phantoms


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
