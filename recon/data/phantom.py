"""Phantom scans: subjects of `recon.phantoms`, measured by simulated coils."""

from recon import phantoms
from recon.data.section import Dataset
from recon.data.simulate import simulate
from recon.data.source import Source, nowhere
from recon.mri.scan import Scan


def scan(section: Dataset, subject: str | int) -> Scan:
    """The fully sampled scan of one phantom; ``subject`` is its seed.

    The section gives anatomy, shape, number of coils, and noise relative to the image.
    """
    anatomy, seed, shape = section.anatomy, int(subject), section.shape
    voxel = tuple(f / n for f, n in zip(phantoms.FOV[anatomy], shape, strict=True))
    return simulate(
        phantoms.subject(anatomy, seed).render(shape),
        voxel,
        section.coils,
        section.noise,
        phantoms.stream(seed, anatomy),
        name=f"{anatomy}-{seed}",
        origin="phantom",
    )


DATASET = Source(
    scan, takes=("anatomy", "shape", "coils", "noise"), needs=("anatomy", "shape"), file=nowhere
)
