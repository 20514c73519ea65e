"""BraTS: magnitude images of brains with glioma.

They are given under an agreement: through Synapse, in earlier years through CBICA at UPenn.

The layout below is taken from https://www.med.upenn.edu/cbica/brats2020/data.html and from the
folder trees that public code expects.

- Every subject has a folder, anywhere below the folder of the release
  (``MICCAI_BraTS2020_TrainingData``, ``BraTS2021_Training_Data``,
  ``ASNR-MICCAI-BraTS2023-GLI-Challenge-TrainingData``). Until 2019 there are folders ``HGG`` and
  ``LGG`` in between.
- Until 2021 a file is ``BraTS20_Training_001/BraTS20_Training_001_{t1,t1ce,t2,flair}.nii.gz``
  (other years: ``Brats18_…``, ``BraTS2021_00000``). From 2023 it is
  ``BraTS-GLI-00000-000/BraTS-GLI-00000-000-{t1n,t1c,t2w,t2f}.nii.gz``. Some mirrors unpack to
  ``.nii``.
- Volumes are real NIfTI of 240 × 240 × 155 voxels of 1 mm, skull-stripped; all contrasts are
  registered to one template. Some volumes of 2023 and later are larger. The voxel size is read from
  the file.

BraTS headers say that x runs to the left and y to the back. `recon.io.read_volume` turns volumes to
canonical orientation (x to the right, y to the front, z up), which reverses both.

Paper C evaluates on BraTS. Only its summary was at hand, which names neither the year nor the
contrast nor the subjects. So T2, the default here, is a choice and not a finding. BraTS has no
phase and no raw data: scans made from these volumes are semi-synthetic.
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

# what a file's name ends in: until 2021, from 2023
CONTRASTS = {
    "t1": ("_t1", "-t1n"),
    "t1ce": ("_t1ce", "-t1c"),
    "t2": ("_t2", "-t2w"),
    "flair": ("_flair", "-t2f"),
}


def brats_volume(
    folder: Path, subject: str
) -> tuple[Complex[Tensor, "x y z"], tuple[float, float, float]]:
    """The T2 image of a subject, or another contrast, and its voxel size in mm.

    ``subject`` is "BraTS20_Training_001" or, for another contrast, "BraTS20_Training_001:flair".
    The volume is complex64 without phase. The file may lie anywhere below ``folder``.
    """
    name, _, contrast = subject.partition(":")
    if (contrast or "t2") not in CONTRASTS:
        raise ReconError(
            f"{folder}: subject '{subject}' asks for an unknown contrast; "
            f"choose one of {', '.join(CONTRASTS)}"
        )
    # names have hyphens only since 2023
    suffix = CONTRASTS[contrast or "t2"]["-" in name]
    path = find(folder, "**/*.nii*", f"{name}{suffix}")
    volume, voxel = read_volume(path)
    if 1 in volume.shape:
        raise ReconError(
            f"{path}: holds one slice of shape {tuple(volume.shape)}, expected a volume; "
            "fetch the file again"
        )
    return volume, voxel


def scan(section: Dataset, subject: str | int) -> Scan:
    """The semi-synthetic scan that simulated coils make of one subject's volume."""
    return semi_synthetic(*brats_volume(section.folder, str(subject)), subject, section)


DATASET = Source(scan, takes=("path", "shape", "coils", "noise", "training_noise", "voxel"))
