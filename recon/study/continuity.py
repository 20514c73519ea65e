"""How well reconstructed slices follow one another: errors along the axis of a stack.

A method that treats slices one by one can be right in each and still flicker from one to the next.
Then its error is larger at the high frequencies along the stack than at those along the others.
"""

import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from recon.mri import fourier
from recon.study.shells import LABELS, in_the_object, like, relative_errors
from recon.study.study import Study

BANDS = 8  # of frequency along the axis


def errors_along(study: Study, table: pd.DataFrame, axis: int = 2) -> pd.DataFrame:
    """For every row of a table, the error of the magnitude by frequency along one axis.

    ``error`` is relative to the target in the same band. ``frequency`` is the middle of the band,
    as a share of the highest. A band of differences between slices has the same relative error, as
    both sides have the same factor. Only the object counts.
    """
    errors = relative_errors(study, table, lambda volume: bands(volume, axis))
    return errors.assign(axis="xyz"[axis])


def flicker(study: Study, table: pd.DataFrame) -> pd.DataFrame:
    """For every row of a table, `differences` along x, y and z, in columns of these names."""
    rows = (
        {name: row[name] for name in LABELS} | differences(found, target, inside)
        for row, found, target, inside in in_the_object(study, table)
    )
    return like(table, rows)


def differences(
    found: Float[Tensor, "x y z"], target: Float[Tensor, "x y z"], inside: Bool[Tensor, "x y z"]
) -> dict[str, float]:
    """The error of the differences between neighbours along each axis.

    It is ``‖D found − D target‖ / ‖D target‖`` with D the difference from voxel to voxel ``inside``
    the object. It depends on anatomy and mask too, so compare it with that of a method that prefers
    no axis.
    """
    out = {}
    for axis, name in enumerate("xyz"):
        n = inside.shape[axis] - 1
        kept = inside.narrow(axis, 0, n) & inside.narrow(axis, 1, n)
        mine, true = (volume.diff(dim=axis)[kept] for volume in (found, target))
        out[name] = float((mine - true).norm() / true.norm())
    return out


def errors_across(study: Study, table: pd.DataFrame, axis: int = 2) -> pd.DataFrame:
    """For every row of a table, the relative error ``error`` of each slice across an axis.

    ``slice`` is its index. Slices without a tenth of the mean energy of the object are left out.
    """
    rows, others = [], [a for a in range(3) if a != axis]
    for row, found, target, _ in in_the_object(study, table):
        missed, energy = ((v.square().sum(others)) for v in (found - target, target))
        about = {name: row[name] for name in LABELS}
        kept = torch.nonzero(energy > 0.1 * energy.mean()).flatten().tolist()
        rows += [about | {"slice": n, "error": float((missed[n] / energy[n]).sqrt())} for n in kept]
    return like(table, rows)


def bands(volume: Float[Tensor, "x y z"], axis: int) -> Float[Tensor, "bands"]:
    """The energy of a volume in bands of the frequency along one axis, from zero to the highest."""
    n = volume.shape[axis]
    spectrum = fourier.fft(volume.to(torch.complex64), (axis - 3,)).abs().square().double()
    energy = spectrum.sum([a for a in range(3) if a != axis])
    place = ((torch.arange(n) - n // 2).abs() * BANDS // (n // 2 + 1)).long()
    return torch.bincount(place, weights=energy, minlength=BANDS)
