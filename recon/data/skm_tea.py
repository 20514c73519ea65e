"""SKM-TEA: raw data of quantitative knee scans (Stanford; by agreement with Stanford AIMI).

Layout, after github.com/StanfordMIMI/skm-tea (``DATASET.md``, ``skm_tea/data/dataset.py``, issue 4,
``annotations/v1.0.0``) and the transforms of github.com/ad12/meddlr (``meddlr/ops/fft.py``), with
which that code reads the files:

- ``files_recon_calib-24/MTR_001.h5``; a file of the same name in ``image_files`` holds magnitude
  images, and is not read.
- ``kspace``: complex64 (x, ky, kz, echo, coil), 2 echoes of a 3D qDESS scan, 8 or 16 coils, 512 ×
  512 × 160 (144 to 168 along z).
- The readout is transformed already: x is the image axis. It is transformed back here.
- ky and kz are zero-padded from the acquired 416 × (Nz - 80) (the scanner's "ZIP2"). Acquired 2 × 1
  undersampled in an ellipse; the missing samples inside were filled in by the vendor's ARC. So
  "fully sampled" means measured or synthesised, and the corners are empty.
- The transform along y and z is centred and orthonormal, image = ifft(kspace), as in
  `recon.fourier`; amplitudes are kept.
- Voxel 0.3125 × 0.3125 × 0.8 mm on the padded grid, in the axis order of the file:
  superior–inferior, anterior–posterior, then left–right (or right–left, which differs from scan to
  scan).
- ``maps``, ``target`` and, for the test scans, ``masks/poisson_8.0x`` of the acquired size are
  there too, and are not read.

Four scans for a first look, lzf-compressed and under the same agreement:
https://huggingface.co/datasets/arjundd/skm-tea-mini.

Uncertain: issue 4 reads the paper's appendix as 416 samples along the readout, the authors' code
has 512 × 416 × (Nz - 80); the loader relies on neither. How the published files are chunked is not
documented.
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
    """Echo 1 ("MTR_001") or another ("MTR_001:2") of one scan, with x transformed back to k-space.

    ``matrix`` keeps only the centre of k-space, (256, 256, 80) in paper B; the field of view stays,
    voxels grow, and amplitudes of the image fall by the square root of the share that is kept. The
    whole matrix needs 2.7 GB for 8 coils, and about as much on the way.
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
                f"{path}: holds a matrix of {stored}, from which {matrix} cannot be cut; ask for one that fits"
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
            f"{path}: 'kspace' is {dataset.dtype} of shape {dataset.shape}; expected complex {AXES}: fetch the file again"
        )
    return dataset


def _read_hybrid(
    dataset: h5py.Dataset, echo: int, plane: tuple[int, int]
) -> Complex[Tensor, "coil x ky kz"]:
    """The centre of the (ky, kz) plane of one echo, read in slabs of x: coils are the fastest axis
    of the file, so they come together.
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
    """Coil by coil from x to kx, of which the central ``size`` samples are kept; in place where all
    are.
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
    """The scan of one subject, cut while it is read to the matrix that the section asks for."""
    return skm_tea_scan(section.folder, str(subject), section.shape)


DATASET = Source(scan, takes=("path", "shape"))
