"""The centre of k-space, found from the data.

This is needed where the files of a dataset, or their readers, disagree about the centre.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon.errors import ReconError

# The least share of the energy within 1/16 of the axis on either side of the centre of k-space. An
# image axis has less there if the object fills a third of the field of view.
SHARE = 0.4


def centre_spectrum(
    kspace: Complex[Tensor, "coil x y z"], axes: Sequence[int], path: Path
) -> list[int]:
    """Brings the low frequencies along ``axes`` to index ``n // 2``, in place.

    ``axes`` are counted from the end (negative). Returns the axes that were rolled. Low frequencies
    lie at index 0 if the axis was transformed without a shift, or if the image changes sign from
    voxel to voxel (GE's "chopping"). Raises `ReconError` where they lie at neither index: then the
    axis is not k-space, or its centre is elsewhere.
    """
    profiles, rolled = _profiles(kspace), []
    for axis in axes:
        profile = profiles[axis]
        half, reach = len(profile) // 2, max(1, len(profile) // 16)
        needed = SHARE * profile.sum()
        if profile[half - reach : half + reach + 1].sum() > needed:
            continue
        if not profile.roll(half)[half - reach : half + reach + 1].sum() > needed:
            raise ReconError(
                f"{path}: k-space has no centre along {'xyz'[axis]}, in the middle or at the ends; "
                "check what the file holds"
            )
        for coil in kspace:
            coil.copy_(coil.roll(half, axis))
        rolled.append(axis)
    return rolled


def _profiles(kspace: Complex[Tensor, "coil x y z"]) -> list[Float[Tensor, "_"]]:
    """The energy along each of x, y and z, summed coil by coil to save memory."""
    profiles = [torch.zeros(n, dtype=torch.float64) for n in kspace.shape[1:]]
    for coil in kspace:
        energy = torch.view_as_real(coil).square().sum(-1)
        for axis, profile in enumerate(profiles):
            profile += energy.sum([a for a in range(3) if a != axis], dtype=torch.float64)
    return profiles
