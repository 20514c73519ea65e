"""From an image to a scan: coil sensitivities, k-space and noise."""

import zlib

import torch
from jaxtyping import Complex
from torch import Tensor

from recon import phantoms
from recon.data.section import Dataset
from recon.mri import fourier
from recon.mri.resample import to_voxel
from recon.mri.scan import Scan


def simulate(
    image: Complex[Tensor, "x y z"],
    voxel: tuple[float, float, float],
    coils: int,
    noise: float,
    seed: int,
    name: str,
    origin: str,
) -> Scan:
    """The fully sampled scan of ``image`` with simulated coils, and a noise scan.

    ``voxel`` is in mm. ``noise`` is the standard deviation of the noise per real component of
    k-space, relative to that of the image. As the transform is orthonormal, each coil image has
    noise of the same standard deviation.
    """
    generator = torch.Generator().manual_seed(phantoms.stream(seed, "noise"))
    fov = tuple(v * n for v, n in zip(voxel, image.shape, strict=True))
    maps = phantoms.coil_maps(coils, image.shape, fov, phantoms.stream(seed, "coils"))
    std = noise * float(torch.view_as_real(image).std())
    kspace = torch.stack(
        [fourier.fft(s * image) + phantoms.complex_noise(image.shape, std, generator) for s in maps]
    )
    noise_scan = phantoms.complex_noise((coils, 4096), std, generator)
    everything = torch.ones(image.shape[1:], dtype=torch.bool)
    meta = {"coils": coils, "noise_std": std, "seed": seed}
    seen = image * maps.abs().square().sum(0).sqrt()
    return Scan(
        kspace, voxel, everything, name=name, noise=noise_scan, truth=seen, origin=origin, meta=meta
    )


def crop_or_pad(
    volume: Complex[Tensor, "x y z"], shape: tuple[int, int, int]
) -> Complex[Tensor, "nx ny nz"]:
    """Crops and zero-pads around the centre to ``shape``."""
    smaller = tuple(min(a, b) for a, b in zip(volume.shape, shape, strict=True))
    return fourier.pad(fourier.crop(volume, smaller), shape)


def semi_synthetic(
    volume: Complex[Tensor, "x y z"],
    stored_voxel: tuple[float, float, float],
    subject: str | int,
    section: Dataset,
) -> Scan:
    """The fully sampled scan that simulated coils make of a volume.

    Where the section gives a voxel size, the volume is resampled to it; where it gives a shape, the
    volume is cropped and zero-padded to it. ``stored_voxel`` is in mm. A magnitude gets a smooth
    phase. Phase, coils and noise are drawn from a seed that follows from the subject's name.
    """
    volume, voxel = (
        to_voxel(volume, stored_voxel, section.voxel, "trilinear")
        if section.voxel
        else (volume, stored_voxel)
    )
    volume = crop_or_pad(volume, section.shape or tuple(volume.shape))
    seed = zlib.crc32(str(subject).encode())
    if not volume.imag.any():
        fov = tuple(v * n for v, n in zip(voxel, volume.shape, strict=True))
        volume = torch.polar(
            volume.real.clamp(min=0),
            phantoms.smooth_phase(tuple(volume.shape), fov, phantoms.stream(seed, "phase")),
        )
    volume = volume / volume.abs().amax().clamp(min=torch.finfo(torch.float32).tiny)
    return simulate(
        volume,
        voxel,
        section.coils,
        section.noise,
        seed,
        name=str(subject),
        origin="semi-synthetic",
    )
