"""SKM-TEA: raw data of quantitative knee scans (Stanford; by agreement with Stanford AIMI).

The layout below is taken from github.com/StanfordMIMI/skm-tea (``DATASET.md``,
``skm_tea/data/dataset.py``, issue 4, ``annotations/v1.0.0``) and from the transforms with which
that code reads the files (github.com/ad12/meddlr, ``meddlr/ops/fft.py``).

- A scan is ``files_recon_calib-24/MTR_001.h5``. A file of the same name in ``image_files`` holds
  magnitude images and is not read.
- ``kspace`` is complex64 (x, ky, kz, echo, coil): 2 echoes of a 3D qDESS scan, 8 or 16 coils, 512 ×
  512 × 160 (144 to 168 along z).
- The readout is already transformed: x is an image axis. It is transformed back here.
- ky and kz are zero-padded from the acquired 416 × (Nz - 80) (the scanner's "ZIP2"). The scan was
  undersampled by 2 × 1 within an ellipse, and the vendor's ARC filled in the missing samples inside
  it. So "fully sampled" means measured or synthesised, and the corners are empty.
- The transform along y and z is centred and orthonormal, image = ifft(kspace), as in
  `recon.mri.fourier`; amplitudes are kept.
- Voxels are 0.3125 × 0.3125 × 0.8 mm on the padded grid, in the axis order of the file:
  superior–inferior, anterior–posterior, then left–right in some scans and right–left in others.
- The file also holds ``maps``, ``target`` and, for the test scans, ``masks/poisson_8.0x`` of the
  acquired size. They are not read.

Four lzf-compressed scans for a first look are under the same agreement at
https://huggingface.co/datasets/arjundd/skm-tea-mini.

Uncertain: issue 4 reads the paper's appendix as 416 samples along the readout, while the authors'
code has 512 × 416 × (Nz - 80). This reader relies on neither. How the published files are chunked
is not documented.
"""

from pathlib import Path

import h5py
import numpy as np
import torch
from jaxtyping import Complex
from torch import Tensor

from recon.data.find import find
from recon.data.section import Dataset
from recon.data.source import Source
from recon.errors import ReconError
from recon.io.checks import check_dataset, check_finite, existing, measured, reading
from recon.mri import fourier
from recon.mri.scan import Scan

# mm, of the stored (zero-padded) grid: the same for all 155 scans of annotations/v1.0.0
VOXEL = (0.3125, 0.3125, 0.8)
AXES = "(x, ky, kz, echo, coil)"


def skm_tea_scan(folder: Path, subject: str, matrix: tuple[int, int, int] | None = None) -> Scan:
    """One echo of a scan, with x transformed back to k-space.

    ``subject`` is "MTR_001" for echo 1, or "MTR_001:2" for another echo. ``matrix`` keeps only the
    centre of k-space, (256, 256, 80) in paper B: the field of view stays, voxels grow, and the
    amplitudes of the image are multiplied by the square root of the share that is kept. The whole
    matrix of 8 coils needs 2.7 GB, and about as much again while it is read.
    """
    name, colon, number = subject.partition(":")
    path = find(folder, "**/files_recon_calib-24/*.h5", name)
    existing(path)
    with reading(path), h5py.File(path, "r") as file:
        dataset = _check_layout(check_dataset(file, path, "kspace"), path)
        stored, echoes = dataset.shape[:3], dataset.shape[3]
        matrix = matrix or stored
        if colon and number not in map(str, range(1, echoes + 1)):
            raise ReconError(f"{path}: has no echo '{number}'; choose one of 1 to {echoes}")
        if any(not 0 < m <= n for m, n in zip(matrix, stored, strict=True)):
            raise ReconError(
                f"{path}: holds a matrix of {stored}, from which {matrix} cannot be cut; "
                "ask for one that fits"
            )
        echo = int(number or 1)
        kspace = _transform_readout(_read_hybrid(dataset, echo - 1, matrix[1:]), matrix[0])
    check_finite(kspace, path, "'kspace'")
    voxel = tuple(v * n / m for v, n, m in zip(VOXEL, stored, matrix, strict=True))
    meta = {
        "format": "SKM-TEA",
        "echo": echo,
        "stored matrix": stored,
        "sampling": "2 × 1, elliptical; filled in by ARC",
    }
    return Scan(kspace, voxel, measured(kspace, path), name=subject, meta=meta)


def _check_layout(dataset: h5py.Dataset, path: Path) -> h5py.Dataset:
    if dataset.dtype.kind != "c" or dataset.ndim != 5:
        raise ReconError(
            f"{path}: 'kspace' is {dataset.dtype} of shape {dataset.shape}; "
            f"expected complex {AXES}: fetch the file again"
        )
    return dataset


def _read_hybrid(
    dataset: h5py.Dataset, echo: int, plane: tuple[int, int]
) -> Complex[Tensor, "coil x ky kz"]:
    """The centre of the (ky, kz) plane of one echo, read in slabs of x.

    Coils are the fastest axis of the file, so all coils of a slab are read together.
    """
    nx, *full, _, coils = dataset.shape
    ky, kz = (slice(n // 2 - m // 2, n // 2 - m // 2 + m) for n, m in zip(full, plane, strict=True))
    hybrid = torch.empty((coils, nx, *plane), dtype=torch.complex64)
    step = dataset.chunks[0] if dataset.chunks else 8
    for start in range(0, nx, step):
        slab = dataset[start : start + step, ky, kz, echo].astype(np.complex64, copy=False)
        hybrid[:, start : start + step] = torch.from_numpy(slab).movedim(-1, 0)
    return hybrid


def _transform_readout(
    hybrid: Complex[Tensor, "coil x ky kz"], size: int
) -> Complex[Tensor, "coil kx ky kz"]:
    """Transforms x to kx, coil by coil, and keeps the central ``size`` samples.

    Works in place where all samples are kept.
    """
    kspace = (
        hybrid
        if size == hybrid.shape[1]
        else hybrid.new_empty((len(hybrid), size, *hybrid.shape[2:]))
    )
    for one, out in zip(hybrid, kspace, strict=True):
        out.copy_(fourier.crop(fourier.fft(one, (0,)), (size,), (0,)))
    return kspace


def scan(section: Dataset, subject: str | int) -> Scan:
    """The scan of one echo ("MTR_001" or "MTR_001:2").

    Where the section gives a shape, the scan is cut to it while it is read.
    """
    return skm_tea_scan(section.folder, str(subject), section.shape)


DATASET = Source(scan, takes=("path", "shape"))
