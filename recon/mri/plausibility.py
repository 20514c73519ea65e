"""Is this the k-space of a scan? A check of every scan before any work on it.

Arrays carry no sign of what they hold, and headers are wrong now and then. An image in place of
k-space, a zero frequency at the corner or coils along the last axis all end in an image, a wrong
one. What can be put right is put right and said; what cannot is refused.
"""

from dataclasses import replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon.errors import ReconError
from recon.mri import fourier
from recon.mri.coils import LARGEST, SMALLEST, calibration_region
from recon.mri.problem import Problem
from recon.mri.scan import Scan

SHORTEST = 4  # samples; a shorter axis shows nothing of its centre
# The least share of the energy above the noise that lies within 1/16 of the axis on either side of
# the centre of k-space. Of an image that fills a third of the field of view it has less.
SHARE = 0.4
LONG = 16  # a first axis of so many looks like coils or like k-space
CENTRAL = 32  # samples of the other axes that show what one axis is
VOXELS, FIELDS = (0.005, 100.0), (1.0, 1500.0)  # mm; what scanners and microscopes have
MANY_COILS = 256
# The least share of the signal in the centre that maps must explain: those that were estimated, and
# those that a user gives. The right ones explain nearly all, those of other data a half.
EXPLAINED, EXPLAINED_BY_GIVEN = 0.3, 0.85
AMPLITUDES = (1e-15, 1e15)  # beyond, sums of squares leave the range of float32
ACROSS = 0.2  # the energy in the middle of an axis, relative to its ends, of a rolled image
LIKE_KSPACE = 0.8  # the share near the middle by which coils or slices look like k-space


def refuse(scan: Scan, why: str) -> None:
    """Raises a `ReconError` that says how to go on all the same."""
    raise ReconError(f"{scan.name or 'scan'}: {why}; --force reconstructs it as it is")


def plausible(scan: Scan) -> Scan:
    """The same scan with the zero frequency at its place, and notes of what was moved.

    Raises `ReconError` where the data or their sizes are not those of a scan.
    """
    check_sizes(scan)
    peak = max(float(coil.abs().max()) for coil in scan.kspace)
    if not AMPLITUDES[0] < peak < AMPLITUDES[1]:
        raise ReconError(f"{scan.name}: amplitudes reach {peak:.1g}; scale k-space to about 1")
    if min(scan.shape[:2]) < 2 and scan.shape[2] < 2:
        return scan
    if coils_come_last(scan):
        count = scan.shape[2] if scan.shape[2] > 1 else scan.shape[1]
        refuse(
            scan,
            f"the {scan.coils} coils look like an axis of k-space, and the last axis of {count} "
            "like coils; name the axes, as in --axes x,y,z,coil",
        )
    if looks_like_kspace(scan, 0):
        refuse(
            scan,
            f"the first axis, of {scan.coils} coils, looks like an axis of k-space; "
            "name the axes, as in --axes x,coil,y",
        )
    if scan.stack and looks_like_kspace(scan, 3):
        refuse(
            scan,
            f"the {scan.shape[2]} slices look like an axis of k-space; "
            "name the axes, as in --axes coil,x,y,z",
        )
    for axis in spectral_axes(scan):
        scan = centred(scan, axis)
    halved = ["xyz"[a] for a in spectral_axes(scan) if lies_across_the_border(scan, a)]
    if halved:
        along = " and ".join(halved)
        note = f"The object lies across the border of the field of view along {along}"
        scan = replace(scan, notes=(*scan.notes, f"{note}: does k-space alternate in sign?"))
    return scan


def lies_across_the_border(scan: Scan, axis: int) -> bool:
    """Whether the image is empty in the middle of an axis, and bright at its ends.

    K-space whose samples alternate in sign looks so, and a scan of the hands may.
    """
    energy = transformed(scan, axis)
    half, band = len(energy) // 2, max(1, len(energy) // 16)
    middle, ends = (
        float(e[half - band : half + band + 1].sum()) for e in (energy, energy.roll(half))
    )
    return middle < ACROSS * ends


def spectral_axes(scan: Scan) -> list[int]:
    """The axes of k-space whose centre can be seen: x and y, and z where it is not a stack."""
    return [a for a in range(2 if scan.stack else 3) if scan.shape[a] >= SHORTEST]


def check_sizes(scan: Scan) -> None:
    """Refuses voxels and fields of view that no scanner has."""
    if scan.meta.get("voxel") == "unknown":
        return
    fields = [v * n for v, n in zip(scan.voxel, scan.shape, strict=True)]
    wide = [f for f, n in zip(fields, scan.shape, strict=True) if n > 1]
    if all(VOXELS[0] <= v <= VOXELS[1] for v in scan.voxel) and all(
        FIELDS[0] <= f <= FIELDS[1] for f in wide
    ):
        return
    voxel, field = (" × ".join(f"{v:.3g}" for v in part) for part in (scan.voxel, fields))
    why = f"voxels of {voxel} mm and a field of view of {field} mm are not those of a scanner"
    refuse(scan, f"{why}; sizes must be in mm, and --voxel X Y Z sets them")


def coils_come_last(scan: Scan) -> bool:
    """Whether the first axis looks like k-space and the last one does not."""
    last = 3 if scan.shape[2] > 1 else 2
    first, count = scan.coils, scan.shape[last - 1]
    if scan.stack or first < LONG or count > MANY_COILS:
        return False
    if share(energy_along(scan.kspace, 0), first // 2) < SHARE:
        return False
    if count < LONG:
        return True
    along_last = energy_along(scan.kspace, last)
    return max(share(along_last, count // 2), share(along_last, 0)) < SHARE


def looks_like_kspace(scan: Scan, axis: int) -> bool:
    """Whether an axis of coils (0) or slices (3) has its energy in the middle, and spreads it over
    all indices after a Fourier transform.
    """
    n = scan.kspace.shape[axis]
    if n < (SHORTEST if axis else LONG):  # one of few coils may be by far the nearest
        return False
    size = [min(m, CENTRAL) for m in scan.shape]
    size = [*size[:2], n] if axis else size
    block = fourier.crop(scan.kspace, size)
    given, other = (energy_along(b, axis) for b in (block, fourier.fft(block, (axis - 4,))))
    return share(given, n // 2) > max(LIKE_KSPACE, share(other, n // 2))


def energy_along(kspace: Complex[Tensor, "coil x y z"], axis: int) -> Float[Tensor, "n"]:
    """The energy at every index along one of the four axes."""
    energy = torch.view_as_real(kspace).double().square().sum(-1)
    return energy.sum([a for a in range(4) if a != axis]).cpu()


def profile(scan: Scan, axis: int) -> Float[Tensor, "n"]:
    """The mean energy of the measured samples at every index along an axis of k-space."""
    sums = torch.zeros(scan.shape[axis], dtype=torch.float64)
    for coil in scan.kspace:  # one coil at a time, to save memory
        energy = torch.view_as_real(coil).double().square().sum(-1)
        sums += energy.sum([a for a in range(3) if a != axis]).cpu()
    if axis == 0:
        return sums
    return sums / scan.mask.cpu().sum(2 - axis).clamp(min=1)


def share(energy: Float[Tensor, "n"], centre: int) -> float:
    """The share of a profile's energy, above its noise, that lies about ``centre``.

    The noise is taken for its lower quartile, as the signal falls off quickly in k-space. Indices
    without a measurement are not counted.
    """
    reach = len(energy) // 16
    seen = energy > 0
    if not seen.any():
        return 0.0
    above = torch.where(seen, energy - energy[seen].quantile(0.25), 0).clamp(min=0)
    near = above.roll(len(energy) // 2 - centre)[len(energy) // 2 - reach :][: 2 * reach + 1]
    return float(near.sum() / above.sum().clamp(min=1e-300))


def is_noise(scan: Scan, energy: Float[Tensor, "n"], axis: int) -> bool:
    """Whether a profile varies no more than one of white noise does, within five deviations."""
    each = scan.coils * max(1, scan.kspace[0].numel() // len(energy))
    level = float(energy[energy > 0].median())
    return float(energy.max()) < level * (1 + 5 * each**-0.5)


def centred(scan: Scan, axis: int) -> Scan:
    """The scan with its zero frequency at ``n // 2`` along ``axis``, and a note if it was moved."""
    energy, name = profile(scan, axis), "xyz"[axis]
    n, half = len(energy), len(energy) // 2
    peak = int(energy.argmax())
    off = peak - half
    other = share(transformed(scan, axis), half)
    if other > max(SHARE, *(share(energy, place) for place in (0, half, peak))):
        refuse_axis(scan, axis)
    if is_noise(scan, energy, axis):
        return scan  # nothing can be seen; ESPIRiT will say so
    if share(energy, half) > SHARE and (abs(off) <= 1 or energy[peak] < 2 * energy[half]):
        return scan
    if share(energy, 0) > SHARE and min(peak, n - peak) <= n // 16:
        note = f"The zero frequency along {name} lay at the ends, and was moved to the middle."
        return moved(scan, axis, half, wraps=True, note=note)
    if abs(off) <= n // 4 and share(energy, peak) > SHARE:
        far = f"The echo lay {abs(off)} samples off the middle along {name}, and was moved there."
        return moved(scan, axis, -off, wraps=False, note=far)
    refuse_axis(scan, axis)
    return scan


def transformed(scan: Scan, axis: int) -> Float[Tensor, "n"]:
    """The profile along an axis after a Fourier transform of it.

    K-space spreads out then, and an image contracts to the middle. The central part of the other
    axes is enough to see it.
    """
    size = [n if a == axis else min(n, CENTRAL) for a, n in enumerate(scan.shape)]
    return energy_along(fourier.fft(fourier.crop(scan.kspace, size), (axis - 3,)), axis + 1)


def refuse_axis(scan: Scan, axis: int) -> None:
    """Refuses a scan one of whose axes is not k-space."""
    refuse(
        scan,
        f"k-space has no centre along {'xyz'[axis]}, in the middle or at the ends, so that axis is "
        "not k-space: this may be an image, hybrid data, or slices (--axes coil,x,y,slice)",
    )


def moved(scan: Scan, axis: int, by: int, wraps: bool, note: str) -> Scan:
    """The scan with k-space moved by ``by`` samples along ``axis``.

    What leaves at one end comes in at the other, or zeros do.
    """
    kspace, mask = scan.kspace.roll(by, axis - 3), scan.mask
    mask = mask if axis == 0 else mask.roll(by, axis - 3)
    if not wraps:
        gone = slice(0, by) if by > 0 else slice(by, None)
        kspace.movedim(axis - 3, 0)[gone] = 0
        if axis > 0:
            mask.movedim(axis - 3, 0)[gone] = False
    return replace(scan, kspace=kspace, mask=mask, notes=(*scan.notes, note))


def explained(problem: Problem) -> float | None:
    """The share of the signal in the fully sampled centre of k-space that the maps explain.

    The expected part of the noise is left out. None where the centre is too small to tell.
    """
    operator, kspace = problem.operator, problem.kspace
    mask = operator.mask.all(1, keepdim=True) if operator.stack else operator.mask
    size = calibration_region(mask)
    if any(n < min(SMALLEST, full) for n, full in zip(size, mask.shape, strict=True)):
        return None
    nx, ny, nz = (min(n, LARGEST) for n in (kspace.shape[1], *size))
    block = fourier.crop(kspace, (nx, ny, kspace.shape[3] if operator.stack else nz))
    images = fourier.ifft(fourier.pad(block, kspace.shape[1:]), operator.axes)
    sets = operator.maps.view(operator.sets, *kspace.shape)
    combined = (sets.conj() * images).sum(1)
    # White noise in the block spreads evenly over the voxels and the coils.
    noise = 2 * problem.noise**2 * int((block != 0).any(0).sum())
    seen = float((sets.abs().square().sum(1) > 0).double().mean())
    total = float(images.abs().square().sum()) - len(kspace) * noise
    kept = float(combined.abs().square().sum()) - operator.sets * seen * noise
    return max(0.0, kept) / total if total > 0 else 0.0


def check_maps(scan: Scan, problem: Problem, given: bool = False) -> float | None:
    """Refuses maps that do not explain the signal; returns the share that they do.

    ``given`` says that a user brought them.
    """
    found = explained(problem)
    if found is not None and found < (EXPLAINED_BY_GIVEN if given else EXPLAINED):
        refuse(
            scan,
            f"the sensitivity maps explain {found:.0%} of the signal in the centre of k-space; "
            "its calibration lies in the noise, or the maps belong to other data",
        )
    return found
