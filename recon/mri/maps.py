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

SHORT = 3  # voxels; ESPIRiT's patches find nothing along a shorter axis
Maps = Complex[Tensor, "coil x y z"] | Complex[Tensor, "set coil x y z"]


@dataclass(frozen=True)
class Espirit:
    """What a user may change of ESPIRiT; see `recon.mri.coils.espirit`."""

    kernel: int | None = None
    threshold: float = 0.01
    crop: float = 0.8
    sets: int = 1

    def __post_init__(self):
        limits = {"kernel": (2, 24), "threshold": (0, 1), "crop": (0, 1), "sets": (1, 8)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ReconError(f"espirit: {name} is {value}; choose {low} to {high}")


def estimate(
    kspace: Complex[Tensor, "coil cx cy cz"],
    shape: tuple[int, int, int] | None = None,
    stack: bool = False,
    settings: Espirit = Espirit(),
) -> Maps:
    """Maps of ``shape`` voxels from k-space, which may be undersampled or only its centre.

    Slices of a stack without signal get maps of zeros. An axis of two or three voxels is too short
    for patches. Where all of it is sampled, its slices get maps one by one, too. Raises
    `ReconError` where no slice has a calibration block that ESPIRiT can use.
    """
    shape = tuple(kspace.shape[1:]) if shape is None else shape
    if stack:
        if shape[2] != kspace.shape[3]:
            raise ReconError(
                f"espirit: the calibration has {kspace.shape[3]} slices, the scan {shape[2]}; "
                "they must agree"
            )
        return _slice_by_slice(kspace, shape, 2, settings)
    for axis, n in enumerate(shape):
        if 1 < n <= SHORT and kspace.shape[axis + 1] == n and max(shape) > SHORT:
            whole = (kspace != 0).any(0).all(axis, keepdim=True)
            return _slice_by_slice(fourier.ifft(whole * kspace, (axis - 3,)), shape, axis, settings)
    return coils.espirit(kspace, shape=shape, **vars(settings))


def _slice_by_slice(
    kspace: Complex[Tensor, "coil cx cy cz"],
    shape: tuple[int, int, int],
    axis: int,
    settings: Espirit,
) -> Maps:
    """Maps of every slice across ``axis``, with phases from one combination of coils.

    A slice of noise alone gets maps of zeros. One with signal but without a centre is refused.
    """
    size = [n if a == axis else min(n, coils.LARGEST) for a, n in enumerate(kspace.shape[1:])]
    virtual = coils.compression_matrix(fourier.crop(kspace, size), 1)[0]
    flat, found, failed = tuple(1 if a == axis else n for a, n in enumerate(shape)), [], []
    for index in range(shape[axis]):
        one = kspace.narrow(axis + 1, index, 1)
        try:
            maps = coils.espirit(one, shape=flat, virtual=virtual, **vars(settings))
        except ReconError as error:
            if isinstance(error, coils.Unmeasured) and one.any():
                raise ReconError(f"slice {index}: {error}") from error
            failed.append(error)
            sets = (settings.sets,) if settings.sets > 1 else ()
            maps = kspace.new_zeros(*sets, len(kspace), *flat)
        found.append(maps)
    if len(failed) == shape[axis]:
        raise failed[0]
    return torch.cat(found, axis - 3)
