"""Stanford Fullysampled 3D FSE Knees: 3D CUBE k-space of 20 knees at 3 T, 8 coils (mridata.org;
Epperson et al., SMRT 2013).

Layout, after the headers of 19 files in github.com/ad12/meddlr
(``annotations/mridata_knee_2019/metadata.csv``), the readers in github.com/MRSRL/dl-cs
(``data_prep.py``) and meddlr (``datasets/format_mridata_org.py``), and the settings of paper A's
own code (github.com/MLI-lab/robust_diffusion_prior_based_3d_mri,
``hydra/dataset/stanford_3d.yaml``):

- ISMRMRD, ``<uuid>.h5``: 81920 acquisitions of 8 coils × 320 samples, not oversampled,
  ``center_sample`` 160; no noise scan. GE's P-files, converted by mridata.org.
- The header calls it 2D: encoded matrix 320 × 320 × 1 over 160 × 160 × 153.6 mm,
  ``kspace_encoding_step_2`` unused, ``slice`` 0 to 255. (``kspace_encoding_step_1`` goes from 0 to
  319, though its maximum reads 320; the reconstructed 512 × 512 × 256 is interpolated.)
- kx and ky are centred k-space. **The slices are images along z**, transformed by the converter
  without a shift, so that they change sign from one to the next; a transform along them puts kz = 0
  at index 0, from where it is rolled to the middle. That is what dl-cs (its later version), meddlr,
  atommic and paper A do with the sign (−1)^slice, or with one shift left out. A first version of
  dl-cs took the slices for kz. The data decide (`recon.data.centring`): a file of any of these
  kinds is read rightly or refused.
- Fully sampled; the transform along z is orthonormal, amplitudes are those of the file (about 1e7).
- Voxel 0.5 × 0.5 × 0.6 mm in the order (readout, ky, kz): sagittal, z from one side of the knee to
  the other.

So a scan has the shape 320 × 320 × 256. Paper A writes 256 × 320 × 320, and its code spreads the
mask along the *slices*: it undersamples (kx, ky), which no scanner can. Here the mask covers the
two phase encodes, ky and kz, as DESIGN.md has it.

Uncertain: an array ``rec_std`` (noise per coil), which dl-cs divides by where it finds one. It is
not read: coils keep their scale, and `recon.data.prepare` estimates the noise. The paper's 19 of
the 20 volumes are probably those of meddlr's list, without 2588bfa8-….
"""

from dataclasses import replace
from pathlib import Path

from recon.data.centring import centre_spectrum
from recon.data.find import find
from recon.data.section import Dataset
from recon.data.source import Source
from recon.errors import ReconError
from recon.io import read_scan
from recon.mri.scan import Scan


def stanford_scan(folder: Path, subject: str) -> Scan:
    """The knee whose file is called ``subject``.h5 (a UUID of mridata.org), anywhere below
    ``folder``.
    """
    path = find(folder, "**/*.h5", subject)
    scan = read_scan(path)  # transforms the slices along z, as those of any 2D stack
    if scan.meta["format"] != "ISMRMRD":
        raise ReconError(f"{path}: is not an ISMRMRD file; fetch it again from mridata.org")
    rolled = centre_spectrum(scan.kspace, (-1,), path)
    # read_scan took all of the slab for one slice
    voxel = (*scan.voxel[:2], scan.meta["recon_fov"][2] / scan.shape[2])
    return replace(
        scan,
        name=subject,
        voxel=voxel,
        meta=scan.meta | {"alternating sign of slices removed": bool(rolled)},
    )


def scan(section: Dataset, subject: str | int) -> Scan:
    """The scan of one subject of a configured dataset."""
    return stanford_scan(section.folder, str(subject))


DATASET = Source(scan)
