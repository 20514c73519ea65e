"""Stanford Fullysampled 3D FSE Knees: 3D CUBE k-space of 20 knees at 3 T, 8 coils.

Source: mridata.org; Epperson et al., SMRT 2013.

The layout below is taken from the headers of 19 files in github.com/ad12/meddlr
(``annotations/mridata_knee_2019/metadata.csv``), from the readers in github.com/MRSRL/dl-cs
(``data_prep.py``) and meddlr (``datasets/format_mridata_org.py``), and from the settings of paper
A's own code (github.com/MLI-lab/robust_diffusion_prior_based_3d_mri,
``hydra/dataset/stanford_3d.yaml``).

- A file is ISMRMRD, ``<uuid>.h5``: 81920 acquisitions of 8 coils × 320 samples, not oversampled,
  ``center_sample`` 160, without a noise scan. mridata.org converted it from GE's P-files.
- The header describes 2D data: encoded matrix 320 × 320 × 1 over 160 × 160 × 153.6 mm,
  ``kspace_encoding_step_2`` unused, ``slice`` 0 to 255. (``kspace_encoding_step_1`` goes from 0 to
  319, although the header gives a maximum of 320. The reconstructed 512 × 512 × 256 is
  interpolated.)
- kx and ky are centred k-space. **The slices are images along z.** The converter transformed them
  without a shift, so their sign alternates. A transform along the slices puts kz = 0 at index 0;
  then it is rolled to the middle. The later version of dl-cs, meddlr, atommic and paper A do the
  same with the sign (−1)^slice, or by omitting one shift. The first version of dl-cs took the
  slices for kz. Here the data decide (`recon.mri.centring`): a file of any of these kinds is read
  correctly or refused.
- The data are fully sampled. The transform along z is orthonormal; amplitudes are those of the file
  (about 1e7).
- Voxels are 0.5 × 0.5 × 0.6 mm in the order (readout, ky, kz). Slices are sagittal: z runs from one
  side of the knee to the other.

So a scan has the shape 320 × 320 × 256. Paper A writes 256 × 320 × 320, and its code repeats the
mask along the *slices*: it undersamples (kx, ky), which no scanner can do. Here the mask covers the
two phase encodes, ky and kz.

Uncertain: an array ``rec_std`` (noise per coil). Where dl-cs finds one, it divides by it. It is not
read here: coils keep their scale, and `recon.data.preparation` estimates the noise. Paper A uses 19
of the 20 volumes; probably they are those of meddlr's list, without 2588bfa8-….
"""

from dataclasses import replace
from pathlib import Path

from recon.data.find import find
from recon.data.section import Dataset
from recon.data.source import Source
from recon.errors import ReconError
from recon.io import read_scan
from recon.mri.centring import centre_spectrum
from recon.mri.scan import Scan


def stanford_scan(folder: Path, subject: str) -> Scan:
    """The knee in the file ``subject``.h5, which may lie anywhere below ``folder``.

    ``subject`` is a UUID of mridata.org.
    """
    path = find(folder, "**/*.h5", subject)
    scan = read_scan(path).volume()  # the slices are those of a 3D scan
    if scan.meta["format"] != "ISMRMRD":
        raise ReconError(f"{path}: is not an ISMRMRD file; fetch it again from mridata.org")
    rolled = centre_spectrum(scan.kspace, (-1,), path)
    # by the header, the whole slab is one slice: its thickness is divided by the number of slices
    voxel = (*scan.voxel[:2], scan.meta["recon_fov"][2] / scan.shape[2])
    return replace(
        scan,
        name=subject,
        voxel=voxel,
        meta=scan.meta | {"alternating sign of slices removed": bool(rolled)},
    )


def scan(section: Dataset, subject: str | int) -> Scan:
    """The scan of one knee; ``subject`` is its UUID at mridata.org."""
    return stanford_scan(section.folder, str(subject))


DATASET = Source(scan)
