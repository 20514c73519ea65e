"""Phantom scans: a subject of `recon.phantoms` measured by simulated coils."""

from recon import phantoms
from recon.data.section import Dataset
from recon.data.simulate import simulate
from recon.data.source import Source, nowhere
from recon.mri.scan import Scan


def phantom_scan(
    anatomy: str, seed: int, shape: tuple[int, int, int], coils: int, noise: float
) -> Scan:
    """The fully sampled scan of one phantom subject; ``noise`` is relative to the image, per real
    component.
    """
    fov = phantoms.FOV[anatomy]
    voxel = tuple(f / n for f, n in zip(fov, shape, strict=True))
    image = phantoms.subject(anatomy, seed).render(shape)
    return simulate(
        image,
        voxel,
        coils,
        noise,
        phantoms.stream(seed, anatomy),
        name=f"{anatomy}-{seed}",
        origin="phantom",
    )


def scan(section: Dataset, subject: str | int) -> Scan:
    """The scan of the phantom whose seed is ``subject``."""
    return phantom_scan(section.anatomy, int(subject), section.shape, section.coils, section.noise)


DATASET = Source(
    scan, takes=("anatomy", "shape", "coils", "noise"), needs=("anatomy", "shape"), file=nowhere
)
