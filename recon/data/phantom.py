"""Phantom scans: a subject of `recon.phantoms` measured by simulated coils."""

from recon import phantoms
from recon.data.scan import Scan
from recon.data.simulate import simulate


def phantom_scan(anatomy: str, seed: int, shape: tuple[int, int, int], coils: int, noise: float) -> Scan:
    """The fully sampled scan of one phantom subject; ``noise`` is relative to the image, per real component."""
    fov = phantoms.FOV[anatomy]
    voxel = tuple(f / n for f, n in zip(fov, shape, strict=True))
    image = phantoms.subject(anatomy, seed).render(shape)
    return simulate(image, voxel, coils, noise, phantoms.stream(seed, anatomy), name=f"{anatomy}-{seed}", origin="phantom")
