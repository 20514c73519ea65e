"""Independent channels from those of a scan: whitening, coil compression and the noise level."""

import math
from dataclasses import replace

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.mri import coils, fourier
from recon.mri.noise import noise_covariance, noise_levels, whitening_matrix
from recon.mri.scan import Scan

# Channels repeat one another where a mixture of them has this share of the largest variance.
REPEATED = 1e-7
BROKEN = 2.0  # a channel whose centre rises less above its outer part holds noise alone


def channels(
    scan: Scan, virtual_coils: int | None = None
) -> tuple[Complex[Tensor, "virtual coil"] | None, float]:
    """The matrix that makes the channels independent and few, and the noise level it leaves.

    The matrix is None where the channels stay as they are. The noise level is the standard
    deviation per real component.

    A measured scan with a noise scan is whitened: the noise of all its coils becomes independent
    and equal. The noise of simulated coils is independent and equal from the start, so their level
    is measured in the noise scan. Without a noise scan of more than ten samples a coil, the levels
    are those stored in the scan. If it stores none, they are estimated from the edge of k-space.
    The result is then their root mean square over the channels.

    ``virtual_coils`` keeps that many combinations of channels: those with the highest energy in the
    centre of k-space.
    """
    matrix, noise, levels = None, 2**-0.5, scan.levels
    if has_noise_scan(scan) and scan.origin == "measured":
        matrix = whitening_matrix(noise_covariance(scan.noise))
    elif has_noise_scan(scan):
        noise = float(torch.view_as_real(scan.noise).std())
    else:
        levels = noise_levels(scan.kspace) if levels is None else levels
        noise = float(levels.square().mean().sqrt())
    if virtual_coils is not None:
        strongest = coils.compression_matrix(mixed(centre(scan), matrix), virtual_coils)
        if not has_noise_scan(scan):
            noise = float((strongest.abs() * levels).square().sum(1).mean().sqrt())
        matrix = strongest if matrix is None else strongest @ matrix
    return matrix, noise


def alive(scan: Scan) -> Scan:
    """The scan without channels that hold nothing, and without a noise scan that cannot be used.

    A note says what was left out. A noise scan cannot be used where a channel with signal has none
    in it, or where channels repeat one another: its covariance has no inverse.
    """
    notes, kept = [], [c for c in range(scan.coils) if scan.kspace[c].any()]
    if len(kept) < scan.coils:
        dead = ", ".join(str(c) for c in range(scan.coils) if c not in kept)
        notes.append(f"Channel {dead} holds nothing and was left out.")
    rises = {c: above_noise(scan, c) for c in kept}
    broken = [c for c in kept if rises[c] < BROKEN]
    if broken and max(rises.values()) > 10 * BROKEN:
        kept = [c for c in kept if c not in broken]
        notes.append(f"Channel {', '.join(map(str, broken))} holds noise alone and was left out.")
    parts = {
        name: getattr(scan, name)[kept]
        for name in ("kspace", "noise", "levels", "calibration")
        if getattr(scan, name) is not None and len(kept) < scan.coils
    }
    scan = replace(scan, **parts)
    if scan.noise is not None and not has_noise_scan(scan):
        notes.append(f"The noise scan has {scan.noise.shape[1]} samples; it was left out.")
        scan = replace(scan, noise=None)
    if has_noise_scan(scan):
        covariance = noise_covariance(scan.noise)
        silent = bool((covariance.diagonal().real == 0).any())
        spread = torch.linalg.eigvalsh(covariance.to(torch.complex128))
        if silent or spread[0] < REPEATED * spread[-1]:
            why = "has channels without noise" if silent else "has channels that repeat one another"
            notes.append(f"The noise scan {why}; it was left out.")
            scan = replace(scan, noise=None)
    return replace(scan, notes=(*scan.notes, *notes))


def above_noise(scan: Scan, coil: int) -> float:
    """How far the centre of a channel's k-space rises above its outer part, in mean energy."""
    energy = torch.view_as_real(scan.kspace[coil]).double().square().sum(-1)
    size = [max(1, n // 8) for n in scan.shape]
    centre = fourier.crop(energy, [*size[:2], scan.shape[2] if scan.stack else size[2]])
    seen, all_seen = centre[centre > 0], energy[energy > 0]
    if not len(seen):
        return float("inf")  # the centre was not measured: nothing can be said
    return float(seen.mean() / (all_seen.median() / math.log(2)).clamp(min=1e-300))


def has_noise_scan(scan: Scan) -> bool:
    """Whether the scan has a noise measurement long enough to estimate the coils' covariance."""
    return scan.noise is not None and scan.noise.shape[1] > 10 * scan.coils


def mixed(
    kspace: Complex[Tensor, "coil *sample"], matrix: Complex[Tensor, "virtual coil"] | None
) -> Complex[Tensor, "virtual *sample"]:
    """The channels after the matrix of `channels`; unchanged where it is None."""
    return kspace if matrix is None else coils.mix(kspace, matrix)


def centre(scan: Scan) -> Complex[Tensor, "coil x y z"]:
    """The centre of k-space, as large as a calibration can use it."""
    size = [min(n, coils.LARGEST) for n in scan.shape]
    return fourier.crop(scan.kspace, [*size[:2], scan.shape[2] if scan.stack else size[2]])
