"""BraTS: magnitude images of brains with glioma (by agreement; through Synapse, earlier years
through CBICA at UPenn).

Layout, after https://www.med.upenn.edu/cbica/brats2020/data.html and the folder trees that public
code expects:

- one folder per subject anywhere below the release's own (``MICCAI_BraTS2020_TrainingData``,
  ``BraTS2021_Training_Data``, ``ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData``; ``HGG`` and
  ``LGG`` below it until 2019),
- to 2021 ``BraTS20_Training_001/BraTS20_Training_001_{t1,t1ce,t2,flair}.nii.gz`` (``Brats18_…``,
  ``BraTS2021_00000``); from 2023
  ``BraTS-GLI-00000-000/BraTS-GLI-00000-000-{t1n,t1c,t2w,t2f}.nii.gz``; some mirrors unpack to
  ``.nii``,
- real NIfTI of 240 × 240 × 155 voxels of 1 mm, skull-stripped, all contrasts registered to one
  template. (The voxel size is read from the file.) Some volumes of 2023 on are larger.

`recon.io.read_volume` turns volumes to canonical orientation (x to the right, y to the front, z
up), which reverses x and y of those whose header says that they run to the left and to the back, as
BraTS headers do.

Paper C evaluates on BraTS; its summary, all that is at hand, names neither the year, the contrast
nor the subjects. T2 is the default here: a choice, not a finding. There is no phase and no raw
data: scans made of these volumes are semi-synthetic.
"""

from pathlib import Path

from jaxtyping import Complex
from torch import Tensor

from recon.data.find import find
from recon.data.section import Dataset
from recon.data.simulate import semi_synthetic
from recon.data.source import Source
from recon.errors import ReconError
from recon.io import read_volume
from recon.mri.scan import Scan

# to 2021, from 2023
CONTRASTS = {
    "t1": ("_t1", "-t1n"),
    "t1ce": ("_t1ce", "-t1c"),
    "t2": ("_t2", "-t2w"),
    "flair": ("_flair", "-t2f"),
}


def brats_volume(
    folder: Path, subject: str
) -> tuple[Complex[Tensor, "x y z"], tuple[float, float, float]]:
    """The T2 ("BraTS20_Training_001") or another contrast ("BraTS20_Training_001:flair") as
    complex64 without phase; voxel size in mm.
    """
    name, _, contrast = subject.partition(":")
    if (contrast or "t2") not in CONTRASTS:
        raise ReconError(
            f"{folder}: subject '{subject}' asks for an unknown contrast; choose one of {', '.join(CONTRASTS)}"
        )
    # names have hyphens since 2023, and had none before
    suffix = CONTRASTS[contrast or "t2"]["-" in name]
    path = find(folder, "**/*.nii*", f"{name}{suffix}")
    volume, voxel = read_volume(path)
    if 1 in volume.shape:
        raise ReconError(
            f"{path}: holds one slice of shape {tuple(volume.shape)}; expected a volume: fetch the file again"
        )
    return volume, voxel


def scan(section: Dataset, subject: str | int) -> Scan:
    """The volume of one subject, measured by simulated coils."""
    return semi_synthetic(*brats_volume(section.folder, str(subject)), subject, section)


DATASET = Source(scan, takes=("path", "shape", "coils", "noise", "voxel"))
