"""What is in a file, and what was read of it, in words."""

import math
from collections import Counter
from pathlib import Path

import h5py
import nibabel
import numpy as np
import scipy.io
from safetensors import safe_open

from recon.errors import ReconError
from recon.io.acquisitions import NOT_IMAGING, flagged
from recon.io.arrays import npz_shapes
from recon.io.bart import read_dimensions
from recon.io.checks import existing, member, printable, reading
from recon.io.frames import COUNTERS
from recon.io.matlab import is_complex
from recon.io.mrd import open_table
from recon.io.scans import is_bart
from recon.mri.coils import calibration_region
from recon.mri.masks import acceleration
from recon.mri.problem import Problem
from recon.mri.scan import Scan


def described(scan: Scan, problem: Problem) -> list[str]:
    """What was read of a scan: sizes, sampling, noise, and what was assumed or left out."""
    size = " × ".join(map(str, scan.shape))
    unknown = " (not given)" if scan.meta.get("voxel") == "unknown" else ""
    voxel = " × ".join(f"{v:.3g}" for v in scan.voxel)
    mask = problem.operator.mask
    ny, nz = mask.shape
    along = [f"y {ny / max(1, int(mask.any(1).sum())):.2g}"]
    if nz > 1 and not scan.stack:
        along.append(f"z {nz / max(1, int(mask.any(0).sum())):.2g}")
    what = "slices of a stack" if scan.stack else "x × y × z"
    used = len(problem.kspace)
    coils = f"{scan.coils} coils" if used == scan.coils else f"{scan.coils} coils as {used}"
    lines = [
        f"{scan.name}: {scan.meta.get('format', 'k-space')}, {coils}, {size} ({what}), "
        f"voxels {voxel} mm{unknown}",
        f"  R = {acceleration(mask):.2f} ({', '.join(along)}), signal-to-noise about "
        f"{1 / max(problem.noise, 1e-6):.0f} (noise of {problem.noise / problem.scale:.2g} in each "
        "component)",
        f"  fully sampled centre: {_times(calibration_region(mask))} phase encodes",
    ]
    return lines + [f"  {note}" for note in scan.notes]


def summary(path: str | Path) -> dict:
    """What the headers of a file say; its samples are not read.

    Arrays of a file with several stand under ``arrays``. Text from the file is made printable.
    Raises `ReconError` for a file that is missing, damaged or of an unknown kind.
    """
    return {key: _plain(value) for key, value in _facts(Path(path)).items()}


def _plain(value: object) -> object:
    """A value whose texts are safe to print."""
    if isinstance(value, dict):
        return {_plain(key): _plain(part) for key, part in value.items()}
    if isinstance(value, str) and len(value) >= 1000:  # settings of weights, which are whole
        return "".join(c for c in value if c.isprintable())
    return printable(value) if isinstance(value, str) else value


def _facts(path: Path) -> dict:
    if is_bart(path):
        base = path.with_suffix("") if path.suffix in (".cfl", ".hdr") else path
        header = Path(f"{base}.hdr")
        existing(header)
        existing(Path(f"{base}.cfl"), empty=True)
        with reading(header):
            dims = read_dimensions(header)
        return {"format": "BART", "dimensions": _trimmed(dims), "type": "complex64"}
    existing(path)
    name = path.name
    with reading(path):
        if path.suffix in (".h5", ".hdf5", ".mrd") or (path.suffix == ".mat" and _hdf5(path)):
            with h5py.File(path, "r") as file:
                return _hdf5_facts(file, path)
        if path.suffix == ".mat":
            held = {n: f"{kind} {_times(shape)}" for n, shape, kind in scipy.io.whosmat(path)}
            return {"format": "MATLAB 5", "arrays": held}
        if path.suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return {"format": "npy", "shape": list(array.shape), "type": str(array.dtype)}
        if path.suffix == ".npz":
            return {"format": "npz", "arrays": npz_shapes(path)}
        if name.endswith((".nii", ".nii.gz")):
            return _nifti_facts(path)
        if path.suffix == ".safetensors":
            with safe_open(path, framework="np") as file:
                return {"format": "weights", **(file.metadata() or {})}
    raise ReconError(f"{path}: unknown kind of file; see python -m recon info --help")


def _hdf5(path: Path) -> bool:
    return h5py.is_hdf5(path)


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _trimmed(dims: list[int]) -> list[int]:
    """Dimensions without the ones at the end."""
    last = max((i for i, n in enumerate(dims) if n > 1), default=0)
    return dims[: last + 1]


def _hdf5_facts(file: h5py.File, path: Path) -> dict:
    if isinstance(member(file, "dataset", path), h5py.Group):
        return _ismrmrd_facts(file, path)
    kspace = member(file, "kspace", path)
    arrays = {}
    for name in file:
        node = member(file, name, path)
        if isinstance(node, h5py.Dataset) and node.shape is not None:
            shape = node.shape[::-1] if is_complex(node) else node.shape
            arrays[str(name)] = f"{node.dtype} {_times(shape)}".strip()
    kind = "HDF5"
    if isinstance(kspace, h5py.Dataset):
        kind = "MATLAB 7.3" if is_complex(kspace) else "fastMRI (slice, coil, row, column)"
    elif any(is_complex(member(file, name, path)) for name in file):
        kind = "MATLAB 7.3"
    return {"format": kind, "arrays": arrays}


def _ismrmrd_facts(file: h5py.File, path: Path) -> dict:
    table, header, heads = open_table(file, path)
    imaging = heads[~flagged(heads, *NOT_IMAGING)]
    facts = {
        "format": "ISMRMRD",
        "trajectory": header.trajectory,
        "matrix": list(header.matrix),
        "field of view": [round(f, 3) for f in header.fov],
        "reconstructed matrix": list(header.recon_matrix),
        "reconstructed field of view": [round(f, 3) for f in header.recon_fov],
        "voxel": [round(f / n, 4) for f, n in zip(header.fov, header.matrix, strict=True)],
        "acceleration": list(header.acceleration),
        "calibration": header.calibration or "not given",
        "acquisitions": len(heads),
        "imaging": len(imaging),
        "noise": int(flagged(heads, *NOT_IMAGING[:1]).sum()),
    }
    if len(imaging):
        facts["channels"] = dict(Counter(imaging["active_channels"].tolist()))
        facts["samples"] = dict(Counter(imaging["number_of_samples"].tolist()))
        for counter in ("slice", *COUNTERS, "average"):
            facts[f"{counter}s"] = len(np.unique(imaging["idx"][counter]))
    return facts


def _nifti_facts(path: Path) -> dict:
    image = nibabel.load(path)
    if not isinstance(image, nibabel.spatialimages.SpatialImage):
        raise ReconError(f"{path}: holds {type(image).__name__}, not a volume on a grid")
    codes = {f"{c}_code": int(image.header[f"{c}_code"]) for c in ("sform", "qform")}
    claimed = any(codes.values())
    axes = "".join(a or "?" for a in nibabel.aff2axcodes(image.affine)) if claimed else "not given"
    zooms = np.linalg.norm(image.affine[:3, :3], axis=0) if claimed else image.header.get_zooms()
    return {
        "format": "NIfTI",
        "shape": list(map(int, image.shape)),
        "type": str(image.get_data_dtype()),
        "voxel": [round(float(z), 4) for z in zooms[:3] if math.isfinite(z)],
        "orientation": axes,
        **codes,
    }
