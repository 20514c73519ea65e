"""A folder of magnitude or complex volumes, turned into semi-synthetic scans.

The anatomy is real; where a volume is a magnitude, its phase is simulated. Coils and noise always are.
"""

import re
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
    """The one file below ``folder`` that matches ``pattern`` and is called SUBJECT.*; a subject may name its folder, too."""
    if not folder.is_dir():
        raise ReconError(f"{folder}: no such folder; correct the dataset's path")
    called = re.compile(rf"(^|/){re.escape(str(subject))}\.[^/]*$")
    found = [p for p in sorted(folder.glob(pattern)) if called.search(p.relative_to(folder).as_posix())]
    if len(found) != 1:
        raise ReconError(f"{folder}: {len(found)} files match {pattern} and are named {subject}.*; expected exactly one")
    return found[0]


def fit(volume: Complex[Tensor, "x y z"], shape: tuple[int, int, int]) -> Complex[Tensor, "nx ny nz"]:
    """Crops and zero-pads around the centre to ``shape``."""
    smaller = tuple(min(a, b) for a, b in zip(volume.shape, shape, strict=True))
    return fourier.pad(fourier.crop(volume, smaller), shape)


def folder_volume(folder: Path, subject: str | int, pattern: str = "*") -> tuple[Complex[Tensor, "x y z"], tuple[float, float, float]]:
    """The volume of one subject and its voxel size in mm."""
    return read_volume(find(folder, pattern, subject))


def semi_synthetic(
    volume: Complex[Tensor, "x y z"],
    stored_voxel: tuple[float, float, float],
    subject: str | int,
    coils: int,
    noise: float,
    shape: tuple[int, int, int] | None = None,
    voxel: tuple[float, float, float] | None = None,
) -> Scan:
    """The fully sampled scan that simulated coils make of a volume, resampled to ``voxel`` (mm) and fitted to ``shape`` where given.

    A magnitude is given a smooth phase; phase, coils and noise follow from the subject's name.
    """
    volume, voxel = to_voxel(volume, stored_voxel, voxel, "trilinear") if voxel else (volume, stored_voxel)
    volume = fit(volume, shape or tuple(volume.shape))
    seed = zlib.crc32(str(subject).encode())
    if not volume.imag.any():
        fov = tuple(v * n for v, n in zip(voxel, volume.shape, strict=True))
        volume = torch.polar(volume.real.clamp(min=0), phantoms.smooth_phase(tuple(volume.shape), fov, phantoms.stream(seed, "phase")))
    volume = volume / volume.abs().amax().clamp(min=torch.finfo(torch.float32).tiny)
    return simulate(volume, voxel, coils, noise, seed, name=str(subject), origin="semi-synthetic")
