"""``recon reconstruct``: one scan of one's own, from the file to the volume."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.commands import Command
from recon.commands.asking import Asked, options, prepared, selected
from recon.commands.choosing import Choice, chosen
from recon.commands.outputs import (
    beside,
    check_preview,
    cropped,
    frame_file,
    outputs_of,
    preview_file,
)
from recon.errors import ReconError

if TYPE_CHECKING:
    from recon.mri.problem import Problem
    from recon.mri.scan import Scan

# Of k-space, in bytes, that a reconstruction needs at least: the samples and the maps, each twice,
# and what the solvers hold. All but the samples as they were read are of the virtual coils.
COPIES = 5
SAMPLER = "annealed"  # draws from the posterior where the chosen method does not


def reconstruct(options: argparse.Namespace) -> None:
    """Reconstructs one scan. Its method, prior and settings are chosen on the scan itself, unless
    they are given. Its sensitivity maps come from the fully sampled centre of k-space,
    from a calibration scan in the file, or from --maps.
    """
    from recon.io import check_output, frames_of, read_scan
    from recon.io.scans import samples_file

    asked, selection = prepared(options), selected(options)
    samples = samples_file(options.input)
    if samples.is_file():  # all of it may be read, whatever part is reconstructed
        check_memory(samples.stat().st_size, f"{options.input}: reading it")
    scan = read_scan(options.input, selection)
    frames = frames_of(scan, selection) if options.all else [selection]
    many = len(frames) > 1
    outputs = [frame_file(options.output, f, scan) if many else options.output for f in frames]
    for output in outputs:  # all of them, before the first is worked on
        for path in outputs_of(output, options):
            check_output(path)
        check_preview(output)
    for frame, output in zip(frames, outputs, strict=True):
        choice = run(read_scan(options.input, frame) if many else scan, output, asked)
        asked = replace(asked, choice=choice, tuned=True)  # all frames are treated alike


@dataclass(frozen=True)
class Posed:
    """A scan that was checked, and its problem."""

    scan: Scan
    problem: Problem
    seen: list  # how far k-space was measured on both sides of each axis
    axes: list[int]  # those of which one side was measured
    explained: float | None  # the share of the data that the maps explain, where it was asked


def run(scan: Scan, output: Path, asked: Asked) -> Choice:
    """Reconstructs one frame and writes it; returns how."""
    from recon import methods
    from recon.io import write_maps
    from recon.mri.problem import maps_of_scan

    options, posed = asked.options, pose(scan, asked)
    for line in told(posed.scan, posed.problem, posed.axes, options):
        print(line, flush=True)
    begun = time.perf_counter()
    problem = posed.problem.to(asked.device)
    choice = chosen(problem, posed.scan, asked)
    volume = methods.reconstruct(problem, choice.method, choice.networks, **choice.settings)
    volume = problem.unscale(volume).cpu()
    volume, completed = completed_by_pocs(volume, posed.seen, posed.axes, options.partial_fourier)
    meta = record(posed.scan, problem, asked, choice) | {
        "explained_by_maps": posed.explained,
        "partial_fourier": ["xyz"[a] for a in completed],
        "seconds": round(time.perf_counter() - begun, 2),
    }
    shape = write(volume, posed.scan, output, options, meta)
    if options.samples:
        volumes, facts = draws(problem, choice, options.samples)
        if completed:
            print("  Mean and std are of volumes before POCS; what it added has no error bar.")
        write_beside(output, volumes, posed.scan, meta | {"samples": facts})
    if options.save_maps:
        write_maps(options.save_maps, maps_of_scan(problem, posed.scan))
    size, took = " × ".join(map(str, shape)), f"{meta['seconds']:.1f} s"
    print(f"{output}: {size} voxels, R = {meta['acceleration']:.1f}, {choice.method}, {took}")
    return choice


def pose(scan: Scan, asked: Asked) -> Posed:
    """The problem of a scan. What cannot be reconstructed as asked is refused."""
    from recon.mri import partial_fourier
    from recon.mri.channels import alive
    from recon.mri.plausibility import check_maps, plausible
    from recon.mri.problem import pose_scan

    options = asked.options
    used = min(options.coils or scan.coils, scan.coils) / scan.coils
    needed = round((1 + (COPIES - 1) * used) * scan.kspace.nbytes)
    check_memory(needed, f"{scan.name}: reconstructing it")
    scan = alive(given_voxel(scan, options.voxel))
    scan = scan if options.force else plausible(scan)
    if options.espirit and scan.coils == 1:
        raise ReconError(f"{scan.name}: one coil needs no maps; do not give --espirit")
    keep = undersampling(scan, options)
    seen = partial_fourier.reach(scan.kspace, scan.mask)
    axes = [a for a in partial_fourier.one_sided(seen) if not (scan.stack and a == 2)]
    if options.partial_fourier and not axes:
        raise ReconError(
            f"{scan.name}: both sides of k-space were measured alike; do not give --partial-fourier"
        )
    problem = pose_scan(scan, options.coils, keep, asked.maps, asked.espirit)
    given = asked.maps is not None
    explained = None if options.force else check_maps(scan, problem, given)
    return Posed(scan, problem, seen, axes, explained)


def write(
    volume: Any, scan: Scan, output: Path, options: argparse.Namespace, meta: dict
) -> tuple[int, ...]:
    """Writes the volume, its picture, and its phase where it is asked for; returns its size."""
    from recon.io import write_volume
    from recon.io.preview import write_preview

    volume, affine = cropped(volume, scan)
    write_volume(output, volume, scan.voxel, affine, meta, complex=options.complex)
    if options.phase:
        write_volume(beside(output, "phase"), volume.angle(), scan.voxel, affine, meta, signed=True)
    write_preview(preview_file(output), volume.abs().numpy(), scan.voxel, affine)
    return tuple(volume.shape)


def write_beside(output: Path, volumes: dict[str, Any], scan: Scan, meta: dict) -> None:
    """Writes volumes by their names beside the reconstruction."""
    from recon.io import write_volume

    for name, volume in volumes.items():
        volume, affine = cropped(volume, scan)
        write_volume(beside(output, name), volume, scan.voxel, affine, meta, signed=True)


def draws(problem: Problem, choice: Choice, number: int) -> tuple[dict, dict]:
    """Mean magnitude of ``number`` draws and its expected error, and what is said of them.

    The draws are those of the chosen method where it samples, else those of `SAMPLER` with its
    prior.
    """
    from recon import methods
    from recon.methods.spread import spread

    begun = time.perf_counter()
    method, settings = SAMPLER, {}
    if methods.lookup(choice.method).samples or choice.method == SAMPLER:
        method, settings = choice.method, {k: v for k, v in choice.settings.items() if k != "seed"}
    first = int(choice.settings.get("seed", 0))
    found = spread(problem, method, choice.networks, range(first, first + number), **settings)
    took = time.perf_counter() - begun
    what = f"{number} draws of {method} took {took:.0f} s; their spread was multiplied by"
    print(f"  {what} {found.factor:.2f}, as the scan itself says.", flush=True)
    volumes = {"mean": found.mean.cpu(), "std": found.std.cpu()}
    facts = {"method": method, "draws": number, "seconds": round(took, 1), "factor": found.factor}
    return volumes, facts


def check_memory(needed: int, what: str) -> None:
    """Refuses what needs more bytes than the memory has free.

    Where the system does not say what is free, nothing is refused.
    """
    known = Path("/proc/meminfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    free = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    if free and needed > free[0]:
        raise ReconError(
            f"{what} needs about {needed / 1e9:.1f} GB of memory, and {free[0] / 1e9:.1f} GB are "
            "free; take one frame (--slice), fewer coils (--coils), or a larger machine"
        )


def completed_by_pocs(volume: Any, seen: list, axes: list[int], choice: str | None) -> tuple:
    """The volume with k-space completed, and the axes along which it was.

    Where nobody chose, POCS must predict samples that are known.
    """
    from recon.mri import partial_fourier

    if not axes or choice == "zero":
        return volume, []
    if choice is None and not partial_fourier.predicts(volume, seen, axes):
        print("  The phase is not smooth: POCS predicts known samples badly, and was left out.")
        return volume, []
    return partial_fourier.pocs(volume, seen, axes), axes


def record(scan: Scan, problem: Problem, asked: Asked, choice: Choice) -> dict:
    """What the sidecar says of the making of a volume."""
    from dataclasses import asdict

    import torch

    from recon import methods
    from recon.files import digest
    from recon.io.scans import samples_file
    from recon.mri import masks
    from recon.mri.coils import calibration_region
    from recon.versions import versions

    options = asked.options
    settings = asdict(methods.settings_of(choice.method, **choice.settings))
    files = methods.files_of(choice.method, settings)
    return {
        "input": str(options.input),
        "input_sha256": digest(samples_file(options.input))[:16],
        "options": asked_for(options),
        "origin": scan.origin,
        "method": choice.method,
        "settings": settings,
        "files": {key: digest(path)[:16] for key, path in files.items()},
        "networks": {role: digest(path)[:16] for role, path in choice.paths.items()},
        "weights": {role: str(path) for role, path in choice.paths.items()},
        "choice": choice.found,
        "acceleration": masks.acceleration(problem.operator.mask),
        "noise": problem.noise / problem.scale,
        "calibration": list(calibration_region(problem.operator.mask)),
        "maps": str(options.maps) if options.maps else vars(asked.espirit),
        "maps_sha256": digest(samples_file(options.maps))[:16] if options.maps else None,
        "seed": options.seed or 0,
        "packages": versions(),
        "device": asked.device,
        "threads": torch.get_num_threads(),
        "notes": list(scan.notes),
        "scan": scan.meta,
    }


def asked_for(options: argparse.Namespace) -> dict:
    """The options that were given, as a file can hold them."""
    plain = (str, int, float, list, tuple)
    given = {k: str(v) if isinstance(v, Path) else v for k, v in vars(options).items()}
    given.pop("command", None)
    return {k: v for k, v in given.items() if isinstance(v, plain) and v not in ([], False)}


def given_voxel(scan: Scan, voxel: list[float] | None) -> Scan:
    """The scan with the voxel size that the user gives; its middle stays where it is."""
    if voxel is None:
        return scan
    affine = scan.affine
    if affine is not None:
        affine = affine.copy()
        middle = [n // 2 for n in scan.shape]
        centre = affine[:3, :3] @ middle + affine[:3, 3]
        affine[:3, :3] *= [new / old for new, old in zip(voxel, scan.voxel, strict=True)]
        affine[:3, 3] = centre - affine[:3, :3] @ middle
    meta = {key: value for key, value in scan.meta.items() if key != "voxel"}
    return replace(scan, voxel=tuple(voxel), affine=affine, meta=meta)


def undersampling(scan: Scan, options: argparse.Namespace) -> Any:
    """Which phase encodes ``--acceleration`` keeps; None without it."""
    from recon.mri import masks

    if options.acceleration is None:
        return None
    already = masks.acceleration(scan.mask)
    if already > 1.5:
        known = f"already undersampled (R = {already:.1f})"
        raise ReconError(f"{options.input}: {known}; do not give --acceleration")
    shape = (scan.shape[1], 1) if scan.stack else tuple(scan.mask.shape)
    wanted = options.calibration or (24, 24)
    calibration = tuple(min(c, n) for c, n in zip(wanted, shape, strict=True))
    kind, seed = options.mask or "poisson_disc", options.seed or 0
    kept = masks.make(kind, shape, options.acceleration, calibration, seed)
    return kept.expand(scan.mask.shape)


def told(scan: Scan, problem: Problem, axes: list[int], options: argparse.Namespace) -> list[str]:
    """What was read, in a few lines."""
    from recon.io.summary import described

    lines = described(scan, problem)
    if problem.thick:
        thick, wide = scan.voxel[2], max(scan.voxel[:2])
        sizes = f"Slices are {thick:.3g} mm thick and pixels {wide:.3g} mm wide"
        lines.append(f"  {sizes}: priors see the slices alone, and no cut through the stack.")
    if axes:
        along = " and ".join("xyz"[a] for a in axes)
        done = "stays zero" if options.partial_fourier == "zero" else "is completed by POCS"
        lines.append(f"  One side of k-space was not measured along {along}; it {done}.")
    return lines


COMMAND = Command("reconstruct one scan", options, reconstruct)
