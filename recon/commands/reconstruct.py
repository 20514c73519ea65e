"""``recon reconstruct``: one scan of one's own, from the file to the volume."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon import rooms
from recon.commands import Command
from recon.errors import ReconError

if TYPE_CHECKING:
    from recon.commands.choosing import Choice
    from recon.io import Selection
    from recon.mri.maps import Espirit, Maps
    from recon.mri.problem import Problem
    from recon.mri.scan import Scan

COPIES = 5  # of k-space, in bytes, that a reconstruction needs at least
TRIALS = 12  # of the search for settings
SAMPLER = "dds"  # draws from the posterior where the chosen method does not
MASKS = ("gaussian_1d", "gaussian_2d", "poisson_disc", "random_1d", "uniform", "uniform_1d")
COUNTERS = {
    "contrast": ("--contrast", "echo or inversion"),
    "phase": ("--cardiac-phase", "phase of the heart or of breathing"),
    "repetition": ("--repetition", "repetition"),
    "set": ("--set-number", "set"),
    "slice": ("--slice", "slice of a stack, or slab of several"),
}


def options(command: argparse.ArgumentParser) -> None:
    """The options of ``recon reconstruct``."""
    methods = ", ".join(rooms.members("methods", "METHOD"))
    command.epilog = (
        f"methods:\n  {methods}\n  (python -m recon methods NAME explains one)\n"
        f"masks:\n  {', '.join(MASKS)}"
    )
    option = command.add_argument
    formats = "ISMRMRD, fastMRI (.h5), BART (.cfl), MATLAB (.mat), .npy, .npz"
    option("input", type=Path, help=f"k-space, 2D or 3D: {formats}")
    option("output", type=Path, help="magnitude, .nii.gz; a .json beside it says how it was made")

    option = command.add_argument_group("method").add_argument
    chosen = "default: what predicts the scan best, l1_wavelet or annealed with a shipped prior"
    option("--method", metavar="NAME", help=chosen)
    option("--prior", type=Path, help="weights of the network that the method needs, .safetensors")
    repeated = {"action": "append", "default": []}
    more = "another network of a method that needs several; repeatable"
    option("--network", **repeated, metavar="ROLE=PATH", help=more)
    option("--set", **repeated, metavar="KEY=VALUE", help="a setting of the method; repeatable")
    on = argparse.BooleanOptionalAction
    searched = "search the settings that are not given, on samples of the scan kept back (default)"
    option("--tune", action=on, help=searched)
    option("--trials", type=int, metavar="N", help="of that search (default 12)")
    option("--seed", type=int, help="of the method and of --acceleration (default 0)")
    option("--device", help="cpu or cuda (default: the GPU where there is one)")

    option = command.add_argument_group("what is read").add_argument
    named = "names of an array's axes, as in x,y,coil,slice (default coil,x,y,z)"
    option("--axes", metavar="NAMES", help=named)
    option("--variable", metavar="NAME", help="the array of a file that holds several")
    sizes = {"type": float, "nargs": 3, "metavar": ("X", "Y", "Z")}
    option("--voxel", **sizes, help="voxel size in mm, where the file is silent or wrong")
    for flag, what in COUNTERS.values():
        option(flag, type=int, metavar="N", help=f"this {what}, as the file counts them")
    option("--all", action="store_true", help="every frame, each in a file of its own")
    option("--force", action="store_true", help="go on where the data look wrong")

    option = command.add_argument_group("coils").add_argument
    option("--coils", type=int, metavar="N", help="compress to N virtual coils first")
    option("--maps", type=Path, metavar="FILE", help="sensitivity maps, .npy, .npz, .h5 or .cfl")
    option("--save-maps", type=Path, metavar="FILE", help="write the maps, .npy, .h5 or .cfl")
    tuned = "of ESPIRiT: kernel (5), threshold (0.01), crop (0.8), sets (1; 2 where the object is"
    option("--espirit", **repeated, metavar="KEY=VALUE", help=f"{tuned} larger than the field)")

    option = command.add_argument_group("undersampling, to try a method").add_argument
    option("--acceleration", type=float, metavar="R", help="keep one in R phase encodes")
    option("--mask", choices=MASKS, help="which of them (default poisson_disc)")
    pair = {"type": int, "nargs": 2, "metavar": ("Y", "Z")}
    option("--calibration", **pair, help="the full centre that is kept (default 24 24)")

    option = command.add_argument_group("what is written").add_argument
    option("--complex", action="store_true", help="complex numbers instead of the magnitude")
    option("--phase", action="store_true", help="the phase in radians, too, as ..._phase.nii.gz")
    drawn = "also the mean and standard deviation of N posterior draws, ..._mean and ..._std.nii.gz"
    option("--samples", type=int, metavar="N", help=drawn)
    completed = "pocs completes what was measured on one side of k-space (default), zero does not"
    option("--partial-fourier", choices=("pocs", "zero"), help=completed)


@dataclass(frozen=True)
class Asked:
    """What the options ask for, checked and loaded before the scan is read."""

    options: argparse.Namespace
    choice: Choice | None  # the method, its networks and settings; None: chosen by the scan
    espirit: Espirit
    maps: Maps | None
    device: str
    tuned: bool = False  # the settings were searched already


def reconstruct(options: argparse.Namespace) -> None:
    """Reconstructs one scan. Its method, prior and settings are chosen on the scan itself, unless
    they are given. Its sensitivity maps come from the fully sampled centre of k-space,
    from a calibration scan in the file, or from --maps.
    """
    from recon.io import check_output, frames_of, read_scan

    asked, selection = prepared(options), selected(options)
    if options.input.is_file():
        check_memory(options.input.stat().st_size, f"{options.input}: reconstructing it")
    scan = read_scan(options.input, selection)
    frames = frames_of(scan, selection) if options.all else [selection]
    many = len(frames) > 1
    outputs = [frame_file(options.output, f, scan) if many else options.output for f in frames]
    for output in outputs:  # all of them, before the first is worked on
        for path in outputs_of(output, options):
            check_output(path)
    for frame, output in zip(frames, outputs, strict=True):
        choice = run(read_scan(options.input, frame) if many else scan, output, asked)
        asked = replace(asked, choice=choice, tuned=True)  # all frames are treated alike


def prepared(options: argparse.Namespace) -> Asked:
    """Checks the options and loads what they name; whatever is wrong is refused here."""
    from recon.io import check_output, read_maps
    from recon.io.maps import check_maps_output
    from recon.mri.maps import Espirit

    check_options(options)
    for output in outputs_of(options.output, options):
        check_output(output)
    if options.save_maps:
        check_maps_output(options.save_maps)
    device, choice = chosen_device(options.device), None
    if options.method:
        choice = given_method(options, device)
    espirit = Espirit(**parse_espirit(options.espirit))
    known = read_maps(options.maps) if options.maps else None
    return Asked(options, choice, espirit, known, device)


def given_method(options: argparse.Namespace, device: str) -> Choice:
    """The method that was asked for, with its networks and the settings that were given."""
    from recon import methods
    from recon.commands.choosing import Choice
    from recon.networks.weights import load_weights

    settings = parse_settings(options)
    methods.settings_of(options.method, **settings)
    paths = chosen_networks(options)
    networks = {role: load_weights(path)[0].to(device) for role, path in paths.items()}
    return Choice(options.method, networks, paths, settings)


def selected(options: argparse.Namespace) -> Selection:
    """Which frame is read, and what the axes of an array are."""
    from recon.io import Selection

    flags = {name: flag[2:].replace("-", "_") for name, (flag, _) in COUNTERS.items()}
    axes = tuple(options.axes.split(",")) if options.axes else None
    values = {name: getattr(options, flag) for name, flag in flags.items()}
    return Selection(**values, axes=axes, variable=options.variable)


def run(scan: Scan, output: Path, asked: Asked) -> Choice:
    """Reconstructs one frame and writes it; returns how."""
    import time

    from recon import methods
    from recon.io import write_maps, write_volume
    from recon.io.preview import write_preview
    from recon.mri import partial_fourier
    from recon.mri.channels import alive
    from recon.mri.plausibility import check_maps, plausible
    from recon.mri.problem import maps_of_scan, pose_scan

    options = asked.options
    check_memory(scan.kspace.nbytes, f"{scan.name}: reconstructing it")
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
    for line in told(scan, problem, axes, options):
        print(line, flush=True)
    begun = time.perf_counter()
    problem = problem.to(asked.device)
    choice = chosen(problem, scan, asked)
    volume = methods.reconstruct(problem, choice.method, choice.networks, **choice.settings)
    volume = problem.unscale(volume).cpu()
    volume, completed = completed_by_pocs(volume, seen, axes, options.partial_fourier)
    volume, affine = cropped(volume, scan)
    meta = record(scan, problem, asked, choice) | {
        "explained_by_maps": explained,
        "partial_fourier": ["xyz"[a] for a in completed],
        "seconds": round(time.perf_counter() - begun, 2),
    }
    write_volume(output, volume, scan.voxel, affine, meta, complex=options.complex)
    if options.phase:
        write_volume(beside(output, "phase"), volume.angle(), scan.voxel, affine, meta, signed=True)
    write_preview(preview_file(output), volume.abs().numpy(), scan.voxel, affine)
    if options.samples:
        for name, drawn in draws(problem, scan, choice, options.samples).items():
            write_volume(beside(output, name), drawn, scan.voxel, affine, meta, signed=True)
    if options.save_maps:
        write_maps(options.save_maps, maps_of_scan(problem, scan))
    size, took = " × ".join(map(str, volume.shape)), f"{meta['seconds']:.1f} s"
    print(f"{output}: {size} voxels, R = {meta['acceleration']:.1f}, {choice.method}, {took}")
    return choice


def chosen(problem: Problem, scan: Scan, asked: Asked) -> Choice:
    """The method, networks and settings: as they were given, and else as the scan says."""
    from recon import methods
    from recon.commands import choosing

    options, choice = asked.options, asked.choice
    if asked.tuned:
        return choice
    if choice is None:
        choice = choosing.best_method(problem, scan, asked.device)
    if options.samples and "prior" not in choice.networks:
        raise ReconError(f"method {choice.method} has no prior to draw from; do not give --samples")
    if asked.choice is None:
        if "seed" in vars(methods.lookup(choice.method).settings()):
            choice = replace(choice, settings={"seed": options.seed or 0})
    if options.tune is False:
        return choice
    return choosing.tuned(problem, choice, options.trials or TRIALS, options.tune is True)


def draws(problem: Problem, scan: Scan, choice: Choice, number: int) -> dict[str, Any]:
    """Mean and standard deviation of the magnitudes of ``number`` posterior draws.

    The draws are those of the method, where it samples, else those of `SAMPLER` with its prior.
    """
    import torch

    from recon import methods
    from recon.mri.slices import planes

    method, settings = SAMPLER, {"axis": planes(problem.operator.shape)[-1]}
    if methods.lookup(choice.method).samples:
        method, settings = choice.method, choice.settings
    first = int(choice.settings.get("seed", 0))
    volumes = []
    for seed in range(first, first + number):
        values = settings | {"seed": seed}
        volume = methods.reconstruct(problem, method, choice.networks, **values)
        volumes.append(cropped(problem.unscale(volume).cpu(), scan)[0].abs())
    stacked = torch.stack(volumes)
    return {"mean": stacked.mean(0), "std": stacked.std(0)}


def check_memory(kspace: int, what: str) -> None:
    """Refuses k-space of so many bytes where the memory is too small for all that is made of it.

    These are the samples and the maps, each twice, and what the solvers hold. Where the system does
    not say what is free, nothing is refused.
    """
    known = Path("/proc/meminfo")
    lines = known.read_text().splitlines() if known.is_file() else []
    free = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    needed = COPIES * kspace
    if free and needed > free[0]:
        raise ReconError(
            f"{what} needs about {needed / 1e9:.1f} GB of memory, and {free[0] / 1e9:.1f} GB are "
            "free; compress the coils before, or read fewer frames"
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

    from recon import methods
    from recon.files import digest
    from recon.mri import masks

    options = asked.options
    return {
        "input": str(options.input),
        "input_sha256": digest(options.input)[:16] if options.input.is_file() else None,
        "origin": scan.origin,
        "method": choice.method,
        "settings": asdict(methods.settings_of(choice.method, **choice.settings)),
        "networks": {role: digest(path)[:16] for role, path in choice.paths.items()},
        "weights": {role: str(path) for role, path in choice.paths.items()},
        "choice": choice.found,
        "acceleration": masks.acceleration(problem.operator.mask),
        "noise": problem.noise / problem.scale,
        "maps": str(options.maps) if options.maps else vars(asked.espirit),
        "notes": list(scan.notes),
        "scan": scan.meta,
    }


def check_options(options: argparse.Namespace) -> None:
    """Refuses options that would have no effect."""
    from recon import methods

    if not options.method and (options.prior or options.set or options.network):
        options.method = "annealed" if options.prior else "l1_wavelet"
    check_choice(options)
    method = methods.lookup(options.method or "annealed")
    if options.acceleration is None:
        for name in ("mask", "calibration"):
            if getattr(options, name) is not None:
                raise ReconError(f"--{name} belongs to --acceleration; give both or neither")
    if options.prior and not method.needs:
        raise ReconError(f"method {options.method} needs no network; do not give --prior")
    if options.seed is not None:
        if not 0 <= options.seed < 2**63:
            raise ReconError(f"--seed {options.seed}: choose a number from 0 to 2⁶³ − 1")
        if options.acceleration is None and "seed" not in vars(method.settings()):
            raise ReconError(f"method {options.method} draws nothing; do not give --seed")
    if options.save_maps:
        given = [options.input, options.maps, options.prior]
        if base(options.save_maps) in [base(p) for p in given if p]:
            raise ReconError(f"--save-maps {options.save_maps}: would overwrite what is read")
        if options.coils:
            raise ReconError("maps of virtual coils belong to no scan; do not give --coils")
        if options.all:
            raise ReconError("--save-maps writes one file, --all reads many frames; give one")
    regular = (options.mask or "").startswith("uniform")
    if options.seed is not None and regular and "seed" not in vars(method.settings()):
        raise ReconError(f"a mask {options.mask} draws nothing; do not give --seed")
    if options.maps and options.espirit:
        raise ReconError("--espirit estimates maps and --maps gives them; choose one")
    for name, least in (("coils", 1), ("acceleration", 1)):
        value = getattr(options, name)
        if value is not None and not value >= least:
            raise ReconError(f"--{name} {value}: choose at least {least}")
    if options.voxel and not all(0 < v < 1000 for v in options.voxel):
        raise ReconError(f"--voxel {options.voxel}: expected three sizes in mm")


def check_choice(options: argparse.Namespace) -> None:
    """Refuses numbers of trials and samples that are none."""
    if options.trials is not None and options.tune is False:
        raise ReconError("--trials belongs to --tune; do not give --no-tune")
    for name, least in (("trials", 3), ("samples", 2)):
        value = getattr(options, name)
        if value is not None and not least <= value <= 1000:
            raise ReconError(f"--{name} {value}: choose {least} to 1000")


def base(path: Path) -> Path:
    """A path without BART's endings, which name one pair of files."""
    return path.with_suffix("").resolve() if path.suffix in (".cfl", ".hdr") else path.resolve()


def chosen_device(name: str | None) -> str:
    """The device that was asked for, else the GPU where there is one."""
    import torch

    device = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        kind, index = torch.device(device).type, torch.device(device).index or 0
    except RuntimeError:
        kind, index = device, 0
    here = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind != "cpu" and not (kind == "cuda" and index < here):
        raise ReconError(f"--device {device}: not available here; use --device cpu")
    return device


def chosen_networks(options: argparse.Namespace) -> dict[str, Path]:
    """The weights of the networks that the method needs, by role; a missing one is refused."""
    from recon import methods

    needs = methods.lookup(options.method).needs
    paths = dict.fromkeys(list(needs)[:1], options.prior) if options.prior else {}
    for pair in options.network:
        role, found, path = pair.partition("=")
        if not found or role not in needs:
            roles = ", ".join(needs) or "no network"
            raise ReconError(
                f"--network {pair}: expected ROLE=PATH; {options.method} takes {roles}"
            )
        paths[role] = Path(path)
    for role in needs:
        if role not in paths:
            option = "--prior" if role == "prior" else f"--network {role}=PATH"
            where = "shipped weights lie in data/priors"
            raise ReconError(f"method {options.method} needs {option}; {where}")
    return paths


def parse_settings(options: argparse.Namespace) -> dict:
    """``--set key=value`` pairs; the method's seed follows ``--seed``."""
    from recon import methods

    known = vars(methods.lookup(options.method).settings())
    settings = {"seed": options.seed or 0} if "seed" in known else {}
    return settings | pairs(options.set, "--set", "weight=0.02")


def parse_espirit(given: list[str]) -> dict:
    """The settings of ESPIRiT as numbers."""
    from recon.mri.maps import Espirit

    known, out = vars(Espirit()), {}
    for key, value in pairs(given, "--espirit", "crop=0.9").items():
        if key not in known:
            raise ReconError(f"--espirit {key}: no such setting; it has {', '.join(known)}")
        try:
            out[key] = type(known[key])(value)
        except ValueError:
            raise ReconError(f"--espirit {key}={value}: expected a number") from None
    return out


def pairs(given: list[str], option: str, example: str) -> dict[str, str]:
    """``KEY=VALUE`` arguments as a dictionary."""
    out = {}
    for pair in given:
        key, found, value = pair.partition("=")
        if not found:
            raise ReconError(f"{option} {pair}: expected KEY=VALUE, as in {option} {example}")
        out[key] = value
    return out


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


def cropped(volume: Any, scan: Scan) -> tuple:
    """The volume within the field of view that was asked for, and the affine of its voxels."""
    from recon.mri import fourier

    if scan.field_of_view is None:
        return volume, scan.affine
    affine = None if scan.affine is None else scan.affine.copy()
    if affine is not None:
        pairs = zip(scan.shape, scan.field_of_view, strict=True)
        affine[:3, 3] += affine[:3, :3] @ [n // 2 - kept // 2 for n, kept in pairs]
    return fourier.crop(volume, scan.field_of_view), affine


def told(scan: Scan, problem: Problem, axes: list[int], options: argparse.Namespace) -> list[str]:
    """What was read, in a few lines."""
    from recon.io.summary import described

    lines = described(scan, problem)
    if axes:
        along = " and ".join("xyz"[a] for a in axes)
        done = "stays zero" if options.partial_fourier == "zero" else "is completed by POCS"
        lines.append(f"  One side of k-space was not measured along {along}; it {done}.")
    return lines


def parted(output: Path) -> tuple[str, str]:
    """The name of a NIfTI file without its ending, and the ending."""
    ending = ".nii.gz" if output.name.endswith(".nii.gz") else ".nii"
    return output.name.removesuffix(ending), ending


def beside(output: Path, name: str) -> Path:
    """Where something that belongs to a volume is written, such as its ``phase``."""
    stem, ending = parted(output)
    return output.with_name(f"{stem}_{name}{ending}")


def preview_file(output: Path) -> Path:
    """Where the picture of a volume is written."""
    return output.with_name(parted(output)[0] + ".png")


def outputs_of(output: Path, options: argparse.Namespace) -> list[Path]:
    """Every volume that is written for one frame."""
    names = ["phase"] if options.phase else []
    names += ["mean", "std"] if options.samples else []
    return [output, *(beside(output, name) for name in names)]


def frame_file(output: Path, frame: Selection, scan: Scan) -> Path:
    """Where one of several frames is written: its counters stand in the name."""
    stem, ending = parted(output)
    counted = scan.meta.get("frames", {})
    marks = [f"{n}-{getattr(frame, n)}" for n, values in counted.items() if len(values) > 1]
    return output.with_name("_".join([stem, *marks]) + ending)


COMMAND = Command("reconstruct one scan", options, reconstruct)
