"""A folder of magnitude or complex volumes, turned into semi-synthetic scans.

The anatomy is real; where a volume is a magnitude, its phase is simulated. Coils and noise always are.
"""

import zlib
from pathlib import Path

import torch
from jaxtyping import Complex
from torch import Tensor

from recon import fourier, phantoms
from recon.data.scan import Scan
from recon.data.simulate import simulate
from recon.errors import ReconError
from recon.io import read_volume
from recon.resample import to_voxel


def find(folder: Path, pattern: str, subject: str | int) -> Path:
    """The one file of ``folder`` that matches ``pattern`` and whose name starts with the subject."""
    if not folder.is_dir():
        raise ReconError(f"{folder}: no such folder; correct the dataset's path")
    found = [p for p in sorted(folder.glob(pattern)) if p.name.split(".")[0] == str(subject)]
    if len(found) != 1:
        raise ReconError(f"{folder}: {len(found)} files match {pattern} and are named {subject}.*; expected exactly one")
    return found[0]


def fit(volume: Complex[Tensor, "x y z"], shape: tuple[int, int, int]) -> Complex[Tensor, "nx ny nz"]:
    """Crops and zero-pads around the centre to ``shape``."""
    smaller = tuple(min(a, b) for a, b in zip(volume.shape, shape, strict=True))
    return fourier.pad(fourier.crop(volume, smaller), shape)


def folder_scan(
    folder: Path, pattern: str, subject: str | int, shape: tuple[int, int, int], voxel: tuple[float, float, float], coils: int, noise: float
) -> Scan:
    """The semi-synthetic, fully sampled scan of one volume, resampled to ``voxel`` (mm) and fitted to ``shape``."""
    path = find(folder, pattern, subject)
    volume, stored_voxel = read_volume(path)
    volume, voxel = to_voxel(volume, stored_voxel, voxel, "trilinear")
    volume = fit(volume, shape)
    seed = zlib.crc32(str(subject).encode())
    if not volume.imag.any():
        fov = tuple(v * n for v, n in zip(voxel, shape, strict=True))
        volume = torch.polar(volume.real.clamp(min=0), phantoms.smooth_phase(shape, fov, seed))
    volume = volume / volume.abs().amax().clamp(min=torch.finfo(torch.float32).tiny)
    return simulate(volume, voxel, coils, noise, seed, name=str(subject), origin="semi-synthetic")
