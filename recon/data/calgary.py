"""Calgary-Campinas (CC-359): raw 12-channel brain scans, T1-weighted 3D gradient echo at 3 T.

Source: Souza et al., NeuroImage 2018.

The layout below is taken from the makers' github.com/rmsouza01/MC-MRI-Rec
(``JNotebooks/getting-started``, ``Modules/zero_filled_rec.py``) and the dataset's README (copied in
github.com/wdika/atommic, ``projects/REC/CC359``). Readers are in github.com/NKI-AI/direct
(``direct/data/datasets.py``), github.com/hellopipu/PromptMR-plus
(``prepare_h5_dataset_cc_brain.py``) and github.com/MLI-lab/MRI_MotionTTT
(``prepare_CC359_dataset.py``).

- ``e14089s3_P53248.7.h5`` holds ``kspace``, a real array (x, ky, kz, 2 · coils). Real and imaginary
  parts alternate along the last axis. The size is 256 × 218 × 170 (40 files of ``Train``, 16 of
  ``Val``) or 256 × 218 × 180 (7 and 4).
- The data are hybrid: the scanner has transformed the readout. x is an image axis with its origin
  in the middle, as in paper A's code.
- The makers' image is ``ifft2(kspace)`` *without any shift*. It appears centred, although ky = kz =
  0 lies in the *middle* of the array (218 // 2, 170 // 2). So its magnitude is right, but its sign
  alternates from voxel to voxel. The image without alternating signs is
  ``ifft2(ifftshift(kspace))``, as in PromptMR-plus. MotionTTT computes the same with a centred
  transform and a shift of the image. In the centred convention of `recon.mri.fourier` the shift is
  a factor (−1)^(m − n/2) for phase encode m, along y and along z.
- kz is sampled up to 85 % (145 of 170) and zero-filled, but the rest is not exactly zero, "for
  numerical reasons" (MotionTTT). direct cuts at ceil(0.85 · nz). MotionTTT cuts one plane before
  values drop below 1. Here the data decide: the tail begins where the energy of a kz plane drops by
  a factor of more than 100, and it is set to zero. The undersampled test files hold exact zeros
  where nothing was measured.
- The transform along x is orthonormal and the phase encodes keep their amplitudes. So a coil image
  is √(ny · nz) times the makers'.
- Voxels are 1 × 1 × 1 mm: x along the body, then front–back, then left–right.

Uncertain: ``dtype``. The archive's 58 GB suggest float32; float64 is read as well. The paper's
split (40 / 7 / 20) gives no names.
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
from recon.mri.centring import centre_spectrum
from recon.mri.scan import Scan

VOXEL = (1.0, 1.0, 1.0)  # mm
SLAB = 8  # positions along x read at a time
DROP = 100  # ratio of the energies of neighbouring kz planes at the end of the sampled part


def calgary_scan(folder: Path, subject: str) -> Scan:
    """The brain in the file ``subject``.7.h5, which may lie anywhere below ``folder``.

    ``subject`` is a name such as "e14089s3_P53248".
    """
    path = find(folder, "**/*.h5", subject)
    existing(path)
    with reading(path), h5py.File(path, "r") as file:
        kspace = _read_hybrid(_check_layout(check_dataset(file, path, "kspace"), path))
    check_finite(kspace, path, "'kspace'")
    ramp = _half_field_of_view(kspace.shape[2])[:, None] * _half_field_of_view(kspace.shape[3])
    for coil in kspace:
        coil.copy_(fourier.fft(coil, (0,)) * ramp)
    centre_spectrum(kspace, (-3, -2, -1), path)
    sampled = _sampled_planes(kspace)
    kspace[..., sampled:] = 0
    meta = {"format": "Calgary-Campinas", "kz planes sampled": f"{sampled} of {kspace.shape[3]}"}
    return Scan(kspace, VOXEL, measured(kspace, path), name=subject, meta=meta)


def _check_layout(dataset: h5py.Dataset, path: Path) -> h5py.Dataset:
    if dataset.dtype.kind != "f" or dataset.ndim != 4 or dataset.shape[3] % 2:
        held = f"{dataset.dtype} of shape {dataset.shape}"
        raise ReconError(
            f"{path}: 'kspace' is {held}; expected real (x, ky, kz, 2 * coils): "
            "take the multi-channel file as downloaded"
        )
    return dataset


def _read_hybrid(dataset: h5py.Dataset) -> Complex[Tensor, "coil x ky kz"]:
    """The hybrid k-space, read in slabs of x.

    Coils are the fastest axis of the file, so all coils of a slab are read together.
    """
    nx, ny, nz, parts = dataset.shape
    hybrid = torch.empty((parts // 2, nx, ny, nz), dtype=torch.complex64)
    for start in range(0, nx, SLAB):
        # numbers too large for float32 become infinite, which is refused later
        with np.errstate(over="ignore"):
            slab = np.ascontiguousarray(dataset[start : start + SLAB], np.float32)
        hybrid[:, start : start + SLAB] = torch.from_numpy(slab.view(np.complex64)).movedim(-1, 0)
    return hybrid


def _half_field_of_view(size: int) -> Complex[Tensor, "size"]:
    """The factor on k-space that moves the image by ``size // 2`` voxels; ±1 for even sizes."""
    turns = (torch.arange(size, dtype=torch.float64) - size // 2) * (size // 2) / size
    return torch.polar(torch.ones_like(turns), 2 * torch.pi * turns).to(torch.complex64)


def _sampled_planes(kspace: Complex[Tensor, "coil x y z"]) -> int:
    """How many kz planes were sampled, judged by their energy.

    The sampled part ends at the steepest drop in the last quarter of the planes, if the drop is
    larger than `DROP`; else all planes were sampled.
    """
    if kspace.shape[3] < 2:
        return kspace.shape[3]
    energy = sum(
        torch.view_as_real(coil).square().sum((0, 1, 3), dtype=torch.float64) for coil in kspace
    )
    start = 3 * len(energy) // 4
    drops = energy[start - 1 : -1] / energy[start:].clamp(min=torch.finfo(torch.float64).tiny)
    return start + int(drops.argmax()) if drops.max() > DROP else len(energy)


def scan(section: Dataset, subject: str | int) -> Scan:
    """The scan of the subject called ``subject``, such as "e14089s3_P53248"."""
    return calgary_scan(section.folder, str(subject))


DATASET = Source(scan)
