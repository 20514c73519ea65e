"""Phantom scans: subjects of `recon.phantoms`, measured by simulated coils.

A phantom is sampled at twice the matrix of the scan, and its k-space is cropped.
"""

import zlib
from functools import lru_cache

from jaxtyping import Complex
from pydantic import model_validator
from torch import Tensor

from recon import phantoms
from recon.data.section import Dataset
from recon.data.simulate import simulate
from recon.data.sliced import name_of, slice_of
from recon.data.source import Source, nowhere
from recon.mri.scan import Scan
from recon.schema import Count, Strict


class PhantomOptions(Strict):
    """What only phantoms can be asked for."""

    # The least and the largest number of coils; each subject has its own. Null: the dataset's.
    coils_between: tuple[Count, Count] | None = None

    @model_validator(mode="after")
    def _ascending(self):
        if self.coils_between and self.coils_between[0] > self.coils_between[1]:
            raise ValueError(f"coils_between is {self.coils_between}; give the smaller one first")
        return self


OVERSAMPLING = 2  # samples of the object for each voxel of the scan, along each axis


def scan(section: Dataset, subject: str | int) -> Scan:
    """The fully sampled scan of one phantom; ``subject`` is its seed, or SEED@K for slice K of it.

    The section gives anatomy, shape, number of coils, and noise relative to the image.
    """
    anatomy, seed, shape = section.anatomy, int(name_of(subject)), section.shape
    place = slice_of(subject, shape[2], f"{anatomy} phantom")
    image = rendered(anatomy, seed, shape)
    voxel = tuple(f / n for f, n in zip(phantoms.FOV[anatomy], image.shape, strict=True))
    name = f"{anatomy}-{subject}"
    if place is not None:
        # The average of the thin slices that make up the one that is measured.
        image = image.unflatten(2, (shape[2], OVERSAMPLING))[:, :, place.index].mean(2)[None]
        voxel, shape = (voxel[2] * OVERSAMPLING, *voxel[:2]), (1, *shape[:2])
    return simulate(
        image,
        voxel,
        coils_of(section, subject),
        section.noise_of(subject, shape),
        phantoms.stream(seed, anatomy),
        name=name,
        origin="phantom",
        shape=shape,
        place=place,
    )


def coils_of(section: Dataset, subject: str | int) -> int:
    """How many coils a subject is measured with: those of the dataset, or drawn from its name."""
    between = PhantomOptions(**section.options).coils_between
    if between is None:
        return section.coils
    return between[0] + zlib.crc32(f"coils of {subject}".encode()) % (between[1] - between[0] + 1)


@lru_cache(maxsize=1)
def rendered(anatomy: str, seed: int, shape: tuple[int, int, int]) -> Complex[Tensor, "x y z"]:
    """The image of one phantom on the fine grid. The last one is kept for its other slices."""
    fine = tuple(OVERSAMPLING * n for n in shape)
    return phantoms.subject(anatomy, seed).render(fine, supersample=1)


DATASET = Source(
    scan,
    takes=("anatomy", "shape", "coils", "noise", "training_noise"),
    needs=("anatomy", "shape"),
    options=PhantomOptions,
    file=nowhere,
)
