"""Volumes: NIfTI is read and written, NumPy is read."""

import gzip
import json
import math
from pathlib import Path

import nibabel
import numpy as np
import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon import __version__
from recon.errors import ReconError
from recon.files import write_bytes
from recon.io.arrays import as_voxel, load_npy, load_npz
from recon.io.checks import DEFLATE, check_finite, check_kind, check_size, existing, reading

Voxel = tuple[float, float, float]
MADE = {"recon": __version__}  # marks a ``.json`` as ours
SCANNER = 1  # NIfTI's code of coordinates in the scanner
# NIfTI's units of length; most files without a unit are in mm
MM = {"meter": 1e3, "mm": 1.0, "micron": 1e-3, "unknown": 1.0}


def read_volume(path: str | Path) -> tuple[Complex[Tensor, "x y z"], Voxel]:
    """A complex64 volume and its voxel size in mm from ``.nii``, ``.nii.gz``, ``.npy`` or ``.npz``.

    A ``.npz`` holds ``volume`` (or a single array of any name) and, where known, ``voxel``. NIfTI
    is turned to the closest canonical orientation (x to the right, y to the front, z up). Trailing
    dimensions of size 1 after the third are dropped. Raises `ReconError` for other shapes,
    non-finite values and damaged files.

    The voxel size of NIfTI is that of its affine, where the file claims an orientation; ``pixdim``
    counts only where it claims none, and such a volume is not turned.
    """
    path = Path(path)
    existing(path)
    if path.name.endswith((".nii", ".nii.gz")):
        array, voxel = _read_nifti(path)
    elif path.suffix == ".npy":
        array, voxel = load_npy(path), as_voxel({}, path)
    elif path.suffix == ".npz":
        arrays = load_npz(path, "volume", ("voxel",))
        array, voxel = arrays["volume"], as_voxel(arrays, path)
    else:
        raise ReconError(
            f"{path}: unknown kind of volume file; expected .nii, .nii.gz, .npy or .npz"
        )
    return _as_volume(array, path), _check_voxel(voxel, path)


def write_volume(
    path: str | Path, volume: Float[Tensor, "x y z"] | Complex[Tensor, "x y z"], voxel: Voxel,
    affine: np.ndarray | None = None, meta: dict | None = None, complex: bool = False,
    signed: bool = False,
) -> None:  # fmt: skip
    """Writes NIfTI (``.nii.gz`` or ``.nii``) and ``meta`` as ``<stem>.json`` beside it.

    The file holds the magnitude as float32. It holds the complex64 volume if ``complex`` is True or
    the stem ends with ``_complex``, and the real part if ``signed``. Each file appears whole or not
    at all. ``affine`` (4, 4) places the volume in the scanner; it must scale by ``voxel``. Without
    it the file claims no orientation: its codes are 0. Raises `ReconError` where `check_output`
    does.
    """
    path = Path(path)
    sidecar = sidecar_of(path)
    stem = sidecar.name.removesuffix(".json")
    if volume.ndim != 3 or 0 in volume.shape:
        raise ReconError(f"{path}: volume has shape {tuple(volume.shape)}; expected (x, y, z)")
    check_finite(volume, path, "the volume to write")
    code = 0 if affine is None else SCANNER
    affine = (
        np.diag([*_check_voxel(voxel, path), 1.0])
        if affine is None
        else np.asarray(affine, dtype=np.float64)
    )
    if affine.shape != (4, 4) or not np.allclose(
        np.linalg.norm(affine[:3, :3], axis=0), voxel, rtol=1e-2
    ):
        raise ReconError(
            f"{path}: the affine does not scale by the voxel size {tuple(voxel)} mm; "
            "pass the affine of this grid or none"
        )
    data = volume.detach().cpu().to(torch.complex64).numpy()
    if signed:
        data = data.real
    elif not complex and not stem.endswith("_complex"):
        data = np.abs(data)
    image = nibabel.Nifti1Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    encoded = (
        gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)
        if path.suffix == ".gz"
        else image.to_bytes()
    )
    write_bytes(path, encoded)
    write_bytes(sidecar, json.dumps(MADE | (meta or {}), indent=2, default=str).encode() + b"\n")


def check_output(path: Path) -> None:
    """Refuses, before any work, an output that could not be written; see `sidecar_of`."""
    if sidecar_of(path) and not path.parent.is_dir():
        raise ReconError(f"{path}: the folder {path.parent} does not exist; make it first")


def sidecar_of(path: Path) -> Path:
    """The path of the ``.json`` beside a volume.

    Raises `ReconError` for another kind of file, and for a ``.json`` that we did not write, such as
    one of BIDS.
    """
    if not path.name.endswith((".nii", ".nii.gz")) or path.name in (".nii", ".nii.gz"):
        raise ReconError(f"{path}: the volume is written as NIfTI; end the name in .nii.gz")
    sidecar = path.with_name(f"{path.name.removesuffix('.gz').removesuffix('.nii')}.json")
    if path.is_dir() or sidecar.is_dir():
        raise ReconError(f"{path}: there is a folder of this name; choose another name")
    if sidecar.exists():
        try:
            ours = "recon" in json.loads(sidecar.read_text())
        except (OSError, ValueError, TypeError):
            ours = False
        if not ours:
            raise ReconError(
                f"{sidecar}: is there already and was not written by recon; "
                "move it, or choose another name for the volume"
            )
    return sidecar


def _read_nifti(path: Path) -> tuple[np.ndarray, Voxel]:
    with reading(path):
        image = nibabel.load(path)
        if not isinstance(image, nibabel.spatialimages.SpatialImage):
            raise ReconError(
                f"{path}: holds {type(image).__name__}, not a volume on a grid; give a NIfTI volume"
            )
        room = path.stat().st_size * (DEFLATE if path.suffix == ".gz" else 1)
        dtype = image.get_data_dtype()
        check_kind(dtype, path, "voxels")
        check_size(path, math.prod(int(n) for n in image.shape), dtype.itemsize, room)
        placed = image.header["sform_code"] > 0 or image.header["qform_code"] > 0
        image = nibabel.as_closest_canonical(image) if placed else image
        scale = MM[image.header.get_xyzt_units()[0]]
        zooms = [*image.header.get_zooms(), 1.0, 1.0][:3]  # a 2D image has fewer
        if placed:
            zooms = np.linalg.norm(image.affine[:3, :3], axis=0)
        return np.asanyarray(image.dataobj), tuple(float(z) * scale for z in zooms)


def _as_volume(array: np.ndarray, path: Path) -> Complex[Tensor, "x y z"]:
    check_kind(array.dtype, path, "volume")
    shape = array.shape
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    array = array[..., None] if array.ndim == 2 else array
    if array.ndim != 3 or 0 in array.shape:
        raise ReconError(
            f"{path}: the volume has shape {shape}; expected (x, y, z): "
            "a series must be split into its volumes"
        )
    # numbers too large for complex64 become infinite, which is refused below
    with np.errstate(over="ignore", invalid="ignore"):
        volume = torch.from_numpy(np.array(array, dtype=np.complex64, order="C"))
    check_finite(volume, path, "the volume")
    return volume


def _check_voxel(voxel: Voxel, path: Path) -> Voxel:
    if len(voxel) != 3 or not all(0 < v < 1000 for v in voxel):
        raise ReconError(
            f"{path}: voxel size {tuple(voxel)} mm is not plausible; "
            "expected three positive numbers in axis order"
        )
    return voxel
