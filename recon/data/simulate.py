"""The one imaging model of simulated scans: from an image to k-space, at any voxel size.

A continuous object is measured by coils, and a scanner keeps the low frequencies of what they see.
So an image is given on a finer grid than the scan's, coils act on it there, and k-space is cropped.
Averages over voxels of the scan's own grid would have no frequencies beyond it. A reconstruction on
that grid would then know more of the object than a scanner does.
"""

import math
import zlib

import torch
from jaxtyping import Complex
from torch import Tensor

from recon import phantoms
from recon.data.section import Dataset
from recon.data.sliced import Place
from recon.mri import fourier
from recon.mri.resample import central_frequencies, crop_kspace
from recon.mri.scan import Scan


def simulate(
    image: Complex[Tensor, "x y z"],
    voxel: tuple[float, float, float],
    coils: int,
    noise: float,
    seed: int,
    name: str,
    origin: str,
    shape: tuple[int, int, int] | None = None,
    place: Place | None = None,
) -> Scan:
    """The fully sampled scan of ``shape`` voxels that simulated coils make of ``image``.

    ``voxel`` is that of the image, in mm. The scan has the same field of view. ``noise`` is the
    standard deviation of the noise per real component of k-space, relative to that of the image at
    the scan's voxels. As the transform is orthonormal, each coil image has noise of the same
    standard deviation. The scan comes with a noise scan, and with the truth: the image as the coils
    see it, at the scan's resolution. With ``place`` the image is a slice (1, x, y) of a volume, and
    the coils lie around that volume.
    """
    noise_of = "noise" if place is None else f"noise of slice {place.index}"
    generator = torch.Generator().manual_seed(phantoms.stream(seed, noise_of))
    shape = shape or tuple(image.shape)
    fov = tuple(v * n for v, n in zip(voxel, image.shape, strict=True))
    maps = maps_around(coils, tuple(image.shape), fov, phantoms.stream(seed, "coils"), place)
    std = noise * float(torch.view_as_real(crop_kspace(image, shape)).std())
    gain = math.sqrt(math.prod(shape) / image.numel())  # keeps the amplitude of the image
    kspace = torch.stack(
        [
            gain * central_frequencies(fourier.fft(s * image), shape)
            + phantoms.complex_noise(shape, std, generator)
            for s in maps
        ]
    )
    noise_scan = phantoms.complex_noise((coils, 4096), std, generator)
    everything = torch.ones(shape[1:], dtype=torch.bool)
    meta = {"coils": coils, "noise_std": std, "seed": seed, "imaged_at": tuple(image.shape)}
    voxel = tuple(f / n for f, n in zip(fov, shape, strict=True))
    seen = crop_kspace(image * maps.abs().square().sum(0).sqrt(), shape)
    return Scan(
        kspace, voxel, everything, name=name, noise=noise_scan, truth=seen, origin=origin, meta=meta
    )


def maps_around(
    coils: int,
    shape: tuple[int, int, int],
    fov: tuple[float, float, float],
    seed: int,
    place: Place | None,
) -> Complex[Tensor, "coil x y z"]:
    """The sensitivities of coils around a volume, or those at one slice (1, x, y) of it."""
    if place is None:
        return phantoms.coil_maps(coils, shape, fov, seed)
    whole = (*shape[1:], place.depth), (*fov[1:], place.depth * fov[0])
    return phantoms.coil_maps(coils, *whole, seed, place.index).movedim(-1, 1).contiguous()


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
    place: Place | None = None,
) -> Scan:
    """The fully sampled scan that simulated coils make of a volume.

    The coils act on the stored grid, ``stored_voxel`` mm wide. Where the section gives a voxel size
    and a shape, the volume is cropped and zero-padded to their field of view, and the scan has that
    shape. Its voxels are as wide as asked to within half a stored voxel in the whole field of view.
    A magnitude gets a smooth phase. Phase, coils and noise are drawn from a seed that follows from
    the subject's name. ``place`` says which slice of a volume it is.
    """
    wanted = section.voxel or stored_voxel
    shape = section.shape or tuple(
        max(1, round(n * v / w)) for n, v, w in zip(volume.shape, stored_voxel, wanted, strict=True)
    )
    sizes = zip(shape, wanted, stored_voxel, strict=True)
    volume = crop_or_pad(volume, tuple(max(1, round(n * w / v)) for n, w, v in sizes))
    seed = zlib.crc32(str(subject).encode())
    if not volume.imag.any():
        fov = tuple(v * n for v, n in zip(stored_voxel, volume.shape, strict=True))
        volume = torch.polar(
            volume.real.clamp(min=0),
            phantoms.smooth_phase(tuple(volume.shape), fov, phantoms.stream(seed, "phase")),
        )
    volume = volume / volume.abs().amax().clamp(min=torch.finfo(torch.float32).tiny)
    return simulate(
        volume,
        stored_voxel,
        section.coils,
        section.noise_of(subject, shape),
        seed,
        name=str(subject),
        origin="semi-synthetic",
        shape=shape,
        place=place,
    )
