"""A small picture of a volume: its middle slice in three planes."""

from pathlib import Path

import nibabel
import numpy as np
from PIL import Image

from recon.files import whole

HEIGHT = 256  # pixels of the picture
BRIGHTEST = 0.995  # the share of voxels that is not clipped


def write_preview(
    path: Path,
    magnitude: np.ndarray,
    voxel: tuple[float, float, float],
    affine: np.ndarray | None = None,
) -> None:
    """Writes the middle slice across each axis, side by side, as a grey PNG.

    Pixels are made square by the voxel size in mm. With an ``affine`` the panels are sagittal,
    coronal and axial, with the head up and the patient's left on the right, as radiologists look at
    them. Without one they are the planes of the array. A 2D scan has one panel.
    """
    if affine is not None:
        image = nibabel.as_closest_canonical(nibabel.Nifti1Image(magnitude, affine))
        magnitude = np.asarray(image.dataobj)
        voxel = tuple(map(float, image.header.get_zooms()[:3]))
        magnitude = magnitude[::-1]  # left of the patient on the right
    top = float(np.quantile(magnitude, BRIGHTEST)) or float(magnitude.max()) or 1.0
    grey = (255 * np.clip(magnitude / top, 0, 1)).astype(np.uint8)
    panels = [panel(grey, voxel, axis) for axis in range(3) if _is_image(grey.shape, axis)]
    rows = np.concatenate([p for p in panels if p is not None], axis=1)
    with whole(path) as part:
        Image.fromarray(rows).save(part, format="PNG")


def panel(grey: np.ndarray, voxel: tuple[float, float, float], axis: int) -> np.ndarray:
    """The middle slice across an axis, with square pixels and the last axis upwards."""
    plane = np.take(grey, grey.shape[axis] // 2, axis)
    across, up = (voxel[a] * grey.shape[a] for a in range(3) if a != axis)
    size = max(1, round(HEIGHT * across / up)), HEIGHT
    picture = Image.fromarray(np.ascontiguousarray(plane.T[::-1]))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def _is_image(shape: tuple[int, ...], axis: int) -> bool:
    return all(n > 1 for a, n in enumerate(shape) if a != axis)
