"""Phantom scans: subjects of `recon.phantoms`, measured by simulated coils.

A phantom is sampled at twice the matrix of the scan, and its k-space is cropped.
"""

from recon import phantoms
from recon.data.section import Dataset
from recon.data.simulate import simulate
from recon.data.source import Source, nowhere
from recon.mri.scan import Scan

OVERSAMPLING = 2  # samples of the object for each voxel of the scan, along each axis


def scan(section: Dataset, subject: str | int) -> Scan:
    """The fully sampled scan of one phantom; ``subject`` is its seed.

    The section gives anatomy, shape, number of coils, and noise relative to the image.
    """
    anatomy, seed, shape = section.anatomy, int(subject), section.shape
    fine = tuple(OVERSAMPLING * n for n in shape)
    return simulate(
        phantoms.subject(anatomy, seed).render(fine, supersample=1),
        tuple(f / n for f, n in zip(phantoms.FOV[anatomy], fine, strict=True)),
        section.coils,
        section.noise_of(subject, shape),
        phantoms.stream(seed, anatomy),
        name=f"{anatomy}-{seed}",
        origin="phantom",
        shape=shape,
    )


DATASET = Source(
    scan,
    takes=("anatomy", "shape", "coils", "noise", "training_noise"),
    needs=("anatomy", "shape"),
    file=nowhere,
)
