"""Coil images in files: measured ones, or coil maps and the image that they see."""

from pathlib import Path

import numpy as np
import scipy.io
import torch
from jaxtyping import Complex
from torch import Tensor

from recon.errors import ReconError
from recon.io.arrays import load_npy, load_npz
from recon.io.checks import existing, reading

Images = Complex[Tensor, "coil y z"]


def read_coil_images(path: Path) -> tuple[Images, bool]:
    """The coil images of one slice, and whether they are a product of maps and an image.

    ``.npy`` and ``.npz`` hold one complex array (y, z, coil). ``.mat`` holds that, or maps (y, z,
    coil) and an image (y, z), where further axes have one entry. Raises `ReconError` for anything
    else.
    """
    existing(path)
    if path.suffix == ".mat":
        with reading(path):
            held = scipy.io.loadmat(path)
        arrays = [np.squeeze(v) for v in held.values() if isinstance(v, np.ndarray)]
        arrays = [v for v in arrays if np.iscomplexobj(v)]
    elif path.suffix == ".npz":
        arrays = [np.squeeze(load_npz(path, "images", ())["images"])]
    elif path.suffix == ".npy":
        arrays = [np.squeeze(load_npy(path))]
    else:
        raise ReconError(f"{path}: coil images are read from .npy, .npz and .mat")
    stacks = [v for v in arrays if v.ndim == 3 and np.iscomplexobj(v)]
    flat = [v for v in arrays if v.ndim == 2]
    if len(stacks) != 1 or len(flat) > 1 or (flat and flat[0].shape != stacks[0].shape[:2]):
        shapes = ", ".join(str(v.shape) for v in arrays[:6]) or "none"
        expected = "one complex array (y, z, coil), and with maps an image (y, z)"
        raise ReconError(f"{path}: complex arrays {shapes}; expected {expected}")
    images = stacks[0] * flat[0][..., None] if flat else stacks[0]
    if not np.isfinite(images).all() or not images.any():
        raise ReconError(f"{path}: the images are zero, or hold NaN or infinite values")
    images = images / np.abs(images).max()
    images = torch.from_numpy(np.ascontiguousarray(np.moveaxis(images, -1, 0), np.complex64))
    return images, bool(flat)
