"""fastMRI knee and brain k-space (NYU Langone; by agreement at https://fastmri.med.nyu.edu).

Layout, after github.com/facebookresearch/fastMRI (``fastmri/data/README.md``, ``mri_data.py``,
``fftc.py``) and arXiv:1811.08839:

- Archives unpack to ``singlecoil_{train,val,test}`` and ``multicoil_{train,val,test}``; one HDF5
  file per stack of 2D slices: ``file1000001.h5`` (knee), ``file_brain_AXT2_200_2000019.h5``
  (brain). Knee files have one name in both tracks.
- ``kspace``: complex64 (slice, coil, row, column), or (slice, row, column) in the single-coil
  track, whose one coil is emulated from the real ones. Rows are the readout, oversampled twofold;
  columns the phase encodes, zero-padded at both ends to the encoded matrix.
- ``mask`` (column), in test files only; ``ismrmrd_header``: XML with the encoded and the
  reconstructed matrix and field of view.
- The transform is centred and orthonormal, image = ifft(kspace), as in `recon.fourier`: amplitudes
  are kept as stored (about 1e-4).
- Voxel, from the header: knee 640 × 368 over 280 × 161 × 4.5 mm, reconstructed 140 × 140 × 3 mm,
  which is 0.44 × 0.44 × 3 mm; brain 640 × 322 over 440 × 222 × 7.5 mm, reconstructed 220 × 220 × 5
  mm. (The headers in the tests of mrpro; the sizes vary between files.) The readout is cropped to
  the reconstructed field of view. The phase encodes are not: cropping the image along them would
  undo the zero-padding's mask; crop reconstructions to the header's ``recon_matrix`` (in ``meta``)
  before comparing with published images.

Images come out as stored, x along rows from the first: upside down for a radiologist
(github.com/microsoft/fastmri-plus flips the rows of all images for labelling, and notes that this
does not suit every one). Nothing is flipped here.

Uncertain: gaps between slices. The header tells the slice thickness alone, and that is what stands
for the voxel size along z.
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
from recon.mri.scan import Scan


def fastmri_scan(folder: Path, subject: str) -> Scan:
    """One file as a 3D scan ("file1000001"), or one slice of it, counted from 0, as a 2D scan with
    z = 1 ("file1000001:17").

    The file may lie anywhere below ``folder``; the last of its folders can be given too:
    "multicoil_val/file1000001".
    """
    name, colon, number = subject.partition(":")
    if colon and not (number.isascii() and number.isdigit()):
        raise ReconError(
            f"{folder}: subject '{subject}' names no slice; write the file's name, a colon and the slice counted from 0"
        )
    path = _file(folder, name)
    existing(path)
    with reading(path), h5py.File(path, "r") as file:
        scan = fastmri.read_fastmri(file, path, int(number) if colon else None)
    return replace(scan, name=subject)


def _file(folder: Path, name: str) -> Path:
    """The one file of that name; knee files have one name in the single-coil and the multi-coil
    track.
    """
    pattern = f"**/{escape(name)}.h5"
    found = sorted(folder.glob(pattern))
    if len(found) > 1:
        track = found[0].parent.name
        raise ReconError(
            f"{folder}: {len(found)} files are named {name}.h5; give the folder too, as in '{track}/{found[0].stem}'"
        )
    return find(folder, pattern, name.rpartition("/")[2])


def scan(section: Dataset, subject: str | int) -> Scan:
    """The scan of one subject of a configured dataset."""
    return fastmri_scan(section.folder, str(subject))
