"""Plant roots in soil: magnitude volumes that you bring yourself.

Paper C (Forschungszentrum Jülich) evaluates on MRI of plant roots. Only its summary was at hand,
which names no source. No public download of plant-root MRI volumes in a documented layout was
found. These places were looked at:

- https://jugit.fz-juelich.de/ias-8/r3dm/ has the code of paper C, according to its page on
  arxiv.org. Whether it has data is not known.
- github.com/temporaer/wurzel (root extraction; ``config.xml``, ``main.py``) describes Jülich
  volumes as ``.dat`` files without a header: lupine uint8 256 × 256 × 120 and barley float32 410 ×
  192 × 192, with in-plane voxels of 0.39 and 0.47 mm. The files are not published there.
- github.com/yzhao1849/plant_root_MRI_segmentation (3D U-Nets for roots, Uni Bonn): the volumes are
  on a machine of the authors.
- Papers on such images (doi:10.1186/s13007-017-0252-9, PMC4775118,
  doi:10.34133/plantphenomics.0076, arXiv:1903.06855): no archive of the volumes was found.
- The "root datasets" that are easy to find are X-ray CT or photographs, not MRI.

So this dataset takes any file that `recon.io.read_volume` reads: ``.nii``, ``.nii.gz``, ``.npz``
(``volume`` and ``voxel`` in mm) or ``.npy`` (1 mm is assumed, as it holds no voxel size). A file
without a header is converted with

    numpy.savez(
        "pot1.npz",
        volume=numpy.fromfile("pot1.dat", "uint8").reshape(shape),
        voxel=[0.39, 0.39, 1.1],
    )

Check by eye whether the last axis of the shape runs fastest. Without such files, use the phantom
`recon.phantoms.roots`.
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


def roots_volume(
    folder: Path, subject: str
) -> tuple[Complex[Tensor, "x y z"], tuple[float, float, float]]:
    """The complex64 volume of one subject and its voxel size in mm.

    The file is ``subject``.nii, .nii.gz, .npz or .npy, anywhere below ``folder``.
    """
    path = find(folder, "**/*.n[ip][iyz]*", subject)
    volume, voxel = read_volume(path)
    if 1 in volume.shape:
        raise ReconError(
            f"{path}: holds one slice of shape {tuple(volume.shape)}, expected a volume; "
            "export all slices into one file"
        )
    return volume, voxel


def scan(section: Dataset, subject: str | int) -> Scan:
    """The semi-synthetic scan that simulated coils make of one subject's volume."""
    return semi_synthetic(*roots_volume(section.folder, str(subject)), subject, section)


DATASET = Source(scan, takes=("path", "shape", "coils", "noise", "training_noise", "voxel"))
