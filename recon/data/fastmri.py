"""fastMRI k-space of knees and brains: the shared reader of both datasets.

Source: NYU Langone, by agreement at https://fastmri.med.nyu.edu. The records of the datasets are in
fastmri_knee.py and fastmri_brain.py.

The layout below is taken from github.com/facebookresearch/fastMRI (``fastmri/data/README.md``,
``mri_data.py``, ``fftc.py``) and arXiv:1811.08839.

- Archives unpack to ``singlecoil_{train,val,test}`` and ``multicoil_{train,val,test}``. A stack of
  2D slices is one HDF5 file: ``file1000001.h5`` (knee), ``file_brain_AXT2_200_2000019.h5`` (brain).
  A knee file has the same name in both tracks.
- ``kspace`` is complex64 (slice, coil, row, column). In the single-coil track it is (slice, row,
  column); its one coil is emulated from the real coils. Rows are the readout, oversampled twofold.
  Columns are the phase encodes, zero-padded at both ends to the encoded matrix.
- ``mask`` (column) is in test files only. ``ismrmrd_header`` is XML with the encoded and the
  reconstructed matrix and field of view.
- The transform is centred and orthonormal, image = ifft(kspace), as in `recon.mri.fourier`.
  Amplitudes are kept as stored (about 1e-4).
- The voxel size comes from the header. A knee has 640 × 368 samples over 280 × 161 × 4.5 mm,
  reconstructed over 140 × 140 × 3 mm, which is 0.44 × 0.44 × 3 mm. A brain has 640 × 322 samples
  over 440 × 222 × 7.5 mm, reconstructed over 220 × 220 × 5 mm. These numbers are from the headers
  in the tests of mrpro; sizes vary between files.
- The readout is cropped to the reconstructed field of view. The phase encodes are not: cropping the
  image along them would undo the mask of the zero-padding. Crop reconstructions to the header's
  ``recon_matrix`` (in ``meta``) before you compare them with published images.

Images come out as stored, with x along the rows from the first one. For a radiologist they are
upside down. github.com/microsoft/fastmri-plus flips the rows of all images for labelling, and notes
that this does not suit every image. Nothing is flipped here.

Uncertain: gaps between slices. The header gives only the slice thickness, so that is used as the
voxel size along z.
"""

from dataclasses import replace
from glob import escape
from pathlib import Path

import h5py

from recon.data.find import find
from recon.data.section import Dataset
from recon.errors import ReconError
from recon.io import fastmri
from recon.io.checks import existing, reading
from recon.io.frames import Selection
from recon.mri.scan import Scan
from recon.schema import Strict


def fastmri_scan(folder: Path, subject: str) -> Scan:
    """One file as a 3D scan, or one of its slices as a 2D scan (z = 1).

    ``subject`` is "file1000001", or "file1000001:17" for one slice, counted from 0. The file may
    lie anywhere below ``folder``; its own folder can be given too: "multicoil_val/file1000001".
    """
    name, colon, number = subject.partition(":")
    if colon and not (number.isascii() and number.isdigit()):
        raise ReconError(
            f"{folder}: subject '{subject}' names no slice; "
            "write the file's name, a colon and the slice counted from 0"
        )
    path = _file(folder, name)
    existing(path)
    with reading(path), h5py.File(path, "r") as file:
        chosen = Selection(slice=int(number) if colon else None)
        scan = fastmri.read_fastmri(file, path, chosen)
    return replace(scan, name=subject).volume()


def _file(folder: Path, name: str) -> Path:
    """The one file of that name.

    A knee file has the same name in the single-coil and the multi-coil track, so its folder may
    have to be given.
    """
    pattern = f"**/{escape(name)}.h5"
    found = sorted(folder.glob(pattern))
    if len(found) > 1:
        track = found[0].parent.name
        raise ReconError(
            f"{folder}: {len(found)} files are named {name}.h5; "
            f"give the folder too, as in '{track}/{found[0].stem}'"
        )
    return find(folder, pattern, name.rpartition("/")[2])


class FastMRIOptions(Strict):
    """What only fastMRI's datasets can be asked for."""

    # Paper B undersamples single slices along both axes, though a scanner reads out one of them.
    # This makes the readout of a slice a second axis of phase encodes.
    two_phase_encodes: bool = False


def scan(section: Dataset, subject: str | int) -> Scan:
    """The scan of a stack of slices ("file1000001") or of one slice ("file1000001:17").

    Raises `ReconError` for a stack of slices that is to have two axes of phase encodes.
    """
    found = fastmri_scan(section.folder, str(subject))
    if not FastMRIOptions(**section.options).two_phase_encodes:
        return found
    if found.shape[2] != 1:
        raise ReconError(
            f"{found.name}: two_phase_encodes is for single slices; "
            "name them as FILE:K, counted from 0"
        )
    return without_readout(found)


def without_readout(scan: Scan) -> Scan:
    """A slice (x, y, 1) as (1, x, y), so that masks undersample both of its axes."""
    kspace = scan.kspace.permute(0, 3, 1, 2)
    mask = scan.mask[None, :, 0].expand(kspace.shape[-2:])
    x, y, z = scan.voxel
    return replace(scan, kspace=kspace.contiguous(), mask=mask.clone(), voxel=(z, x, y))
