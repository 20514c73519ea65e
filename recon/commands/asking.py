"""What the options of ``recon reconstruct`` are, and what they ask for.

Whatever is wrong with them is refused before the scan is read.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recon import rooms
from recon.commands.choosing import TRIALS, Choice
from recon.commands.outputs import outputs_of
from recon.errors import ReconError

if TYPE_CHECKING:
    from recon.io import Selection
    from recon.mri.maps import Espirit, Maps

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
    option("--trials", type=int, metavar="N", help=f"of that search (default {TRIALS})")
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
    tuned = "of ESPIRiT: kernel (6 in 2D, 5 in 3D), threshold (0.01), crop (0.8), sets (1;"
    wide = "2 where the object is larger than the field)"
    option("--espirit", **repeated, metavar="KEY=VALUE", help=f"{tuned} {wide}")

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
    from recon.networks.weights import load_weights

    settings = parse_settings(options)
    methods.settings_of(options.method, **settings)
    paths = chosen_networks(options)
    networks = {role: load_weights(path)[0].to(device) for role, path in paths.items()}
    methods.check_networks(options.method, networks)
    return Choice(options.method, networks, paths, settings)


def selected(options: argparse.Namespace) -> Selection:
    """Which frame is read, and what the axes of an array are."""
    from recon.io import Selection

    flags = {name: flag[2:].replace("-", "_") for name, (flag, _) in COUNTERS.items()}
    axes = tuple(options.axes.split(",")) if options.axes else None
    values = {name: getattr(options, flag) for name, flag in flags.items()}
    return Selection(**values, axes=axes, variable=options.variable)


def check_options(options: argparse.Namespace) -> None:
    """Refuses options that would have no effect."""
    from recon import methods

    if options.prior and not options.method:
        options.method = "annealed"
    for flag, given in (("--set", options.set), ("--network", options.network)):
        if given and not options.method:
            raise ReconError(f"{flag} {given[0]}: that belongs to a method; give --method, too")
    method = methods.lookup(options.method or "annealed")
    if options.prior and not method.needs:
        raise ReconError(f"method {options.method} needs no network; do not give --prior")
    check_choice(options)
    check_undersampling(options, draws="seed" in vars(method.settings()))
    check_maps_options(options)
    for name, least in (("coils", 1), ("acceleration", 1)):
        value = getattr(options, name)
        if value is not None and not value >= least:
            raise ReconError(f"--{name} {value}: choose at least {least}")
    if options.voxel and not all(0 < v < 1000 for v in options.voxel):
        raise ReconError(f"--voxel {options.voxel}: expected three sizes in mm")


def check_undersampling(options: argparse.Namespace, draws: bool) -> None:
    """Refuses a mask or a seed that nothing uses; ``draws`` says whether the method draws."""
    if options.acceleration is None:
        for name in ("mask", "calibration"):
            if getattr(options, name) is not None:
                raise ReconError(f"--{name} belongs to --acceleration; give both or neither")
    if options.seed is None:
        return
    if not 0 <= options.seed < 2**63:
        raise ReconError(f"--seed {options.seed}: choose a number from 0 to 2⁶³ − 1")
    if options.acceleration is None and not draws:
        raise ReconError(f"method {options.method} draws nothing; do not give --seed")
    if (options.mask or "").startswith("uniform") and not draws:
        raise ReconError(f"a mask {options.mask} draws nothing; do not give --seed")


def check_maps_options(options: argparse.Namespace) -> None:
    """Refuses options of the maps that contradict each other."""
    if options.maps and options.espirit:
        raise ReconError("--espirit estimates maps and --maps gives them; choose one")
    if not options.save_maps:
        return
    given = [options.input, options.maps, options.prior]
    if base(options.save_maps) in [base(p) for p in given if p]:
        raise ReconError(f"--save-maps {options.save_maps}: would overwrite what is read")
    if options.coils:
        raise ReconError("maps of virtual coils belong to no scan; do not give --coils")
    if options.all:
        raise ReconError("--save-maps writes one file, --all reads many frames; give one")


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
    given = pairs(options.set, "--set", "weight=0.02")
    return settings | {key: whole(value) for key, value in given.items()}


def whole(value: str) -> int | str:
    """A whole number where the text is one; choices such as an axis are no text."""
    return int(value) if re.fullmatch(r"-?[0-9]{1,18}", value) else value


def parse_espirit(given: list[str]) -> dict:
    """The settings of ESPIRiT as numbers."""
    from recon.mri.maps import Espirit

    known, out = vars(Espirit()), {}
    for key, value in pairs(given, "--espirit", "crop=0.9").items():
        if key not in known:
            raise ReconError(f"--espirit {key}: no such setting; it has {', '.join(known)}")
        try:
            out[key] = type(known[key] or 0)(value)  # the kernel is None by default
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
