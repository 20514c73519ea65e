"""Measured coil images of single slices, turned into fully sampled k-space.

Both axes of a slice are phase encoded, as in a volume whose readout is perpendicular to it. Images
that were measured bring their own noise, which is read from their corners. Where a file holds coil
maps and the image that they see, noise is added.
"""

import zlib

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.data.folder import file
from recon.data.section import Dataset
from recon.data.source import Source
from recon.io.coil_images import read_coil_images
from recon.mri import fourier
from recon.mri.scan import Scan
from recon.phantoms import complex_noise

CORNER = 12  # the part of an image's side that shows noise alone


def scan(section: Dataset, subject: str | int) -> Scan:
    """The fully sampled scan of one file."""
    images, made = read_coil_images(file(section, subject))
    kspace = fourier.fft(images[:, None], (2, 3))
    shape = tuple(kspace.shape[1:])
    noise = corners(images)
    if made:
        combined = images.abs().square().sum(0).sqrt()
        level = section.noise * float(combined.square().mean().sqrt()) / 2**0.5
        generator = torch.Generator().manual_seed(zlib.crc32(str(subject).encode()))
        kspace = kspace + complex_noise(tuple(kspace.shape), level, generator)
        noise = complex_noise((len(images), 4096), level, generator)
    return Scan(
        kspace,
        section.voxel or (1.0, 1.0, 1.0),
        torch.ones(shape[1:], dtype=torch.bool),
        name=str(subject),
        noise=noise,
        origin="semi-synthetic" if made else "measured",
        meta={"noise_added": section.noise if made else 0.0},
    )


def corners(images: Complex[Tensor, "coil y z"]) -> Complex[Tensor, "coil sample"]:
    """What the four corners of each image show; the transform keeps its standard deviation."""
    rows, columns = (max(4, n // CORNER) for n in images.shape[1:])
    bands = [images[:, :rows], images[:, -rows:]]
    parts = [part for band in bands for part in (band[..., :columns], band[..., -columns:])]
    return torch.cat([part.flatten(1) for part in parts], dim=1)


DATASET = Source(scan, takes=("path", "pattern", "voxel", "noise"), needs=("path",), file=file)
