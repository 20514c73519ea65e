"""From an image to a scan: coil sensitivities, k-space and noise."""

import torch
from jaxtyping import Complex
from torch import Tensor

from recon import fourier, phantoms
from recon.data.scan import Scan


def simulate(
    image: Complex[Tensor, "x y z"], voxel: tuple[float, float, float], coils: int, noise: float, seed: int, name: str, origin: str
) -> Scan:
    """Measures ``image`` with ``coils`` simulated coils and, as at a scanner, the noise alone.

    ``noise`` is the standard deviation per real component of the k-space noise (the transform is orthonormal, so it is also that of
    each coil image), relative to the standard deviation of the image.
    """
    generator = torch.Generator().manual_seed(phantoms.stream(seed, "noise"))
    fov = tuple(v * n for v, n in zip(voxel, image.shape, strict=True))
    maps = phantoms.coil_maps(coils, image.shape, fov, phantoms.stream(seed, "coils"))
    std = noise * float(torch.view_as_real(image).std())
    kspace = torch.stack([fourier.fft(s * image) + phantoms.complex_noise(image.shape, std, generator) for s in maps])
    noise_scan = phantoms.complex_noise((coils, 4096), std, generator)
    everything = torch.ones(image.shape[1:], dtype=torch.bool)
    meta = {"coils": coils, "noise_std": std, "seed": seed}
    seen = image * maps.abs().square().sum(0).sqrt()
    return Scan(kspace, voxel, everything, name=name, noise=noise_scan, truth=seen, origin=origin, meta=meta)
