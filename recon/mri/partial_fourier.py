"""Partial Fourier: what was measured on one side of k-space only is completed on the other.

The image of a smooth phase φ has a k-space of conjugate symmetry after the phase is taken out. POCS
(Haacke et al. 1991, doi 10.1016/0022-2364(91)90253-P) estimates φ from the part that was measured
on both sides. Then it alternates between images of this phase and the samples that are known.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from recon.mri import fourier

EVEN = 0.1, 2  # sides that differ by no more than this share, or these samples, are equal
PREDICTS = 0.8  # the error, relative to leaving zeros, with which POCS must predict known samples
ITERATIONS = 20


def one_sided(seen: Sequence[Bool[Tensor, "_"]]) -> list[int]:
    """The axes that are measured further on one side of the centre than on the other.

    ``seen`` says for each axis at which indices anything was measured.
    """
    found = []
    for axis, along in enumerate(seen):
        near, far = sorted(_sides(along))
        index = torch.nonzero(along.cpu()).flatten()
        spacing = int(index.diff().median()) if len(index) > 1 else 1  # of a regular grid
        if far - near > max(EVEN[0] * far, EVEN[1] * spacing):
            found.append(axis)
    return found


def _sides(along: Bool[Tensor, "n"]) -> tuple[int, int]:
    """How far an axis is measured below its centre, and above."""
    index, half = torch.nonzero(along.cpu()).flatten(), len(along) // 2
    if not len(index):
        return 0, 0
    return half - int(index[0]), int(index[-1]) - half + 1


def reach(
    kspace: Complex[Tensor, "coil x y z"], mask: Bool[Tensor, "y z"]
) -> list[Bool[Tensor, "_"]]:
    """At which indices of x, y and z anything was measured."""
    return [kspace.ne(0).any(0).flatten(1).any(1), mask.any(1), mask.any(0)]


def pocs(
    volume: Complex[Tensor, "x y z"],
    seen: Sequence[Bool[Tensor, "_"]],
    axes: Sequence[int],
    iterations: int = ITERATIONS,
) -> Complex[Tensor, "x y z"]:
    """The volume with k-space completed along ``axes``, those of `one_sided`.

    Its own k-space is kept where it was measured.
    """
    if not axes:
        return volume
    measured = fourier.fft(volume, axes)
    known, low = (torch.ones((1, 1, 1), device=volume.device) for _ in range(2))
    for axis in axes:
        shape = [-1 if a == axis else 1 for a in range(3)]
        along = _between(seen[axis]).to(volume.device)
        known = known * along.view(shape)
        low = low * _window(len(along), min(_sides(seen[axis]))).to(volume.device).view(shape)
    phase = torch.exp(1j * fourier.ifft(low * measured, axes).angle())
    for _ in range(iterations):
        image = volume.abs() * phase
        completed = known * measured + (1 - known) * fourier.fft(image, axes)
        volume = fourier.ifft(completed, axes)
    return volume


def predicts(
    volume: Complex[Tensor, "x y z"], seen: Sequence[Bool[Tensor, "_"]], axes: Sequence[int]
) -> bool:
    """Whether POCS does better than zeros on samples that are known.

    The outer half of the shorter side is hidden. Where the phase is not smooth, POCS cannot predict
    it, and would do harm.
    """
    hidden = list(seen)
    for axis in axes:
        below, above = _sides(seen[axis])
        along, half = _between(seen[axis]).bool(), len(seen[axis]) // 2
        near = min(below, above) // 2
        if below < above:
            along[: half - near] = False
        else:
            along[half + near :] = False
        hidden[axis] = along
    shape = [[-1 if a == axis else 1 for a in range(3)] for axis in axes]
    known = [_between(seen[axis]).view(s) for axis, s in zip(axes, shape, strict=True)]
    kept = [hidden[axis].float().view(s) for axis, s in zip(axes, shape, strict=True)]
    truth = fourier.fft(volume, axes)
    device = volume.device
    known, kept = (math.prod(m.to(device) for m in part) for part in (known, kept))
    test = known - kept
    found = fourier.fft(pocs(fourier.ifft(kept * truth, axes), hidden, axes), axes)
    return float((test * (found - truth)).norm()) < PREDICTS * float((test * truth).norm())


def _between(along: Bool[Tensor, "n"]) -> Float[Tensor, "n"]:
    """1 between the first and the last index measured, 0 elsewhere."""
    index = torch.nonzero(along.cpu()).flatten()
    out = torch.zeros(len(along))
    out[int(index[0]) : int(index[-1]) + 1] = 1
    return out


def _window(size: int, half: int) -> Float[Tensor, "size"]:
    """A Hann window over ``half`` samples on either side of the centre."""
    k = torch.arange(size) - size // 2
    inside = torch.cos(0.5 * torch.pi * k / (half + 1)).square()
    return torch.where(k.abs() <= half, inside, torch.zeros(()))
