"""AHEAD: MP2RAGEME k-space of 77 brains at 7 T, 32 coils, 0.7 mm.

Source: DataverseNL, doi:10.34894/IHZGQM; Alkemade et al., NeuroImage 2020.

The layout below is taken from github.com/wdika/atommic and from the settings of paper A's own code
(``hydra/exps/ahead/base_recon.yaml``). In atommic, the README of ``projects/qMRI/AHEAD`` repeats
the page of the dataset; ``getting-started.ipynb`` and ``scripts/preprocessing.py`` read the files.

- Every subject has one ISMRMRD file per image: ``mp2rageme_001_inv2_te1.h5`` to ``…_te4.h5``
  (second inversion, four echoes) and one file of the first inversion, ``…_inv1….h5``.
  ``coilsens_001.h5`` holds maps (``0real`` and ``1imag``, (coil, z, y, x)), which are not read.
- An acquisition is one line along x of all coils, at ``kspace_encode_step_1`` and ``_2`` of the
  encoded matrix. The matrix is complete: 234 × 292 × 290 over 164 × 205 × 205 mm. The data are not
  hybrid; the transform is centred along all three axes, as in `recon.mri.fourier`.
- The images were corrected for motion with fat navigators and defaced *in image space*, then
  transformed back. So "fully sampled" k-space is a product of the makers' reconstruction: its noise
  is not white, and the face was not measured.
- Voxels are 0.7 mm, from the header; x runs left–right. The scale is the makers'.

Image: paper A takes "the volumes acquired with T1 weighting". That fits the first inversion, the
default here. The published T1-weighted images are a ratio of both inversions, which has no k-space.
A subject such as "001:inv2_te1" asks for another image.

Subjects: the digits of the file names. `recon fetch ahead` takes their list from the Dataverse.
Where the files were put in place by hand, all 77 files together give the list. Downloads, and
checks of what is missing, cover only the first inversion, also for "001:inv2_te1".

Uncertain: the exact name of the first inversion's file; which axis was the readout; and what the
header says about the centre of k-space (atommic does not look). Where the header's centre is not
the middle of the matrix, `recon.io` refuses the file. Where the centre of the data is not at the
middle or at the ends, `recon.mri.centring` refuses it.

Memory: the scan takes 5.1 GB, and twice that while it is sorted into a grid.
"""

from dataclasses import replace
from glob import escape
from pathlib import Path

from recon.data.section import Dataset
from recon.data.source import Source
from recon.errors import ReconError
from recon.io import read_scan
from recon.io.checks import measured
from recon.mri.centring import centre_spectrum
from recon.mri.scan import Scan

IMAGE = "inv1"  # the T1-weighted inversion


def ahead_scan(folder: Path, subject: str) -> Scan:
    """The first inversion of one brain ("001"), or another image of it ("001:inv2_te1").

    The file may lie anywhere below ``folder``.
    """
    number, _, image = subject.partition(":")
    path = _file(folder, number, image or IMAGE)
    scan = read_scan(path)
    if scan.meta["format"] != "ISMRMRD":
        raise ReconError(f"{path}: is not an ISMRMRD file; fetch it again from the dataset's page")
    centre_spectrum(scan.kspace, (-3, -2, -1), path)
    # after the centring, which may move k-space; a line of zeros was not measured
    mask = measured(scan.kspace, path)
    return replace(scan, name=subject, mask=mask, meta=scan.meta | {"image": image or IMAGE})


def _file(folder: Path, number: str, image: str) -> Path:
    """The one file of that image; its name may go on, as the names of echoes do."""
    if not folder.is_dir():
        raise ReconError(f"{folder}: no such folder; correct the dataset's path")
    name = f"mp2rageme_{number}_{image}"
    found = sorted(folder.glob(f"**/{escape(name)}*.h5"))
    if len(found) != 1:
        raise ReconError(
            f"{folder}: {len(found)} files are called {name}*.h5, expected one; "
            "fetch it, or say which as in '001:inv2_te1'"
        )
    return found[0]


def scan(section: Dataset, subject: str | int) -> Scan:
    """The scan of one image; ``subject`` is "001" or, for another image, "001:inv2_te1"."""
    return ahead_scan(section.folder, str(subject))


DATASET = Source(scan)
