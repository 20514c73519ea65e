"""The sensitivity maps of a scan: estimated by ESPIRiT as the scan was measured.

A volume gets maps from the centre of its k-space or from a separate calibration scan. A stack of
slices gets maps slice by slice: its coils jump from the last slice to the first, which no small
block of kz can follow.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.errors import ReconError
from recon.mri import coils, fourier

Maps = Complex[Tensor, "coil x y z"] | Complex[Tensor, "set coil x y z"]


@dataclass(frozen=True)
class Espirit:
    """What a user may change of ESPIRiT; see `recon.mri.coils.espirit`."""

    kernel: int = 5
    threshold: float = 0.01
    crop: float = 0.8
    sets: int = 1

    def __post_init__(self):
        limits = {"kernel": (2, 24), "threshold": (0, 1), "crop": (0, 1), "sets": (1, 8)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise ReconError(
                    f"espirit: {name} is {getattr(self, name)}; choose {low} to {high}"
                )


def estimate(
    kspace: Complex[Tensor, "coil cx cy cz"],
    shape: tuple[int, int, int] | None = None,
    stack: bool = False,
    settings: Espirit = Espirit(),
) -> Maps:
    """Maps of ``shape`` voxels from k-space, which may be undersampled or only its centre.

    Slices of a stack without signal get maps of zeros. Raises `ReconError` where no slice has a
    calibration block that ESPIRiT can use.
    """
    shape = tuple(kspace.shape[1:]) if shape is None else shape
    options = vars(settings)
    if not stack:
        return coils.espirit(kspace, shape=shape, **options)
    if shape[2] != kspace.shape[3]:
        raise ReconError(
            f"espirit: the calibration has {kspace.shape[3]} slices, the scan {shape[2]}; "
            "they must agree"
        )
    centre = fourier.crop(kspace, [min(n, coils.LARGEST) for n in kspace.shape[1:3]], (-3, -2))
    virtual, found, failed = coils.compression_matrix(centre, 1)[0], [], []
    for z in range(shape[2]):
        one = kspace[..., z : z + 1]
        try:
            maps = coils.espirit(one, shape=(*shape[:2], 1), virtual=virtual, **options)
        except ReconError as error:
            sets = (settings.sets,) if settings.sets > 1 else ()
            maps = kspace.new_zeros(*sets, len(kspace), *shape[:2], 1)
            failed.append(error)
        found.append(maps)
    if len(failed) == shape[2]:
        raise failed[0]
    return torch.cat(found, -1)
