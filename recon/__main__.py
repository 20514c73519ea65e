"""The command line: ``python -m recon reconstruct IN OUT.nii.gz --method annealed --prior
weights.safetensors``.

What a command needs is imported when it runs, so that ``--help`` is instant.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from recon import ReconError, __version__, rooms

if TYPE_CHECKING:
    from recon.mri.problem import Problem
    from recon.mri.scan import Scan


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    about = "3D MRI reconstruction with 2D diffusion priors"
    out = argparse.ArgumentParser(prog="recon", description=about)
    out.add_argument("--version", action="version", version=__version__)
    commands = out.add_subparsers(dest="command", required=True)
    short = {"reconstruct": "reconstruct one scan", "fetch": "download a dataset of the papers"}
    add_reconstruct(commands.add_parser("reconstruct", help=short["reconstruct"]))
    add_fetch(commands.add_parser("fetch", help=short["fetch"]))
    return out


def add_reconstruct(command: argparse.ArgumentParser) -> None:
    """The options of ``recon reconstruct``."""
    command.description = reconstruct.__doc__
    option, methods = command.add_argument, ", ".join(rooms.members("methods", "METHOD"))
    formats = "ISMRMRD .h5, fastMRI .h5, BART .cfl, .npy, .npz"
    option("input", type=Path, help=f"k-space, 2D or 3D: {formats}; x is the readout")
    option("output", type=Path, help="magnitude, .nii.gz; a .json beside it says how it was made")
    option("--method", default="l1_wavelet", help=f"one of {methods} (default %(default)s)")
    option("--prior", type=Path, help="weights of the network that the method needs, .safetensors")
    repeated = {"action": "append", "default": []}
    more = "another network of a method that needs several; repeatable"
    option("--network", **repeated, metavar="ROLE=PATH", help=more)
    option("--set", **repeated, metavar="KEY=VALUE", help="a setting of the method; repeatable")
    option("--acceleration", type=float, help="undersample by this factor first (retrospectively)")
    option("--mask", default="poisson_disc", help="kind of that mask (default %(default)s)")
    pair = {"type": int, "nargs": 2, "default": (24, 24), "metavar": ("Y", "Z")}
    option("--calibration", **pair, help="its full centre (default 24 24)")
    option("--coils", type=int, help="compress to this many virtual coils first")
    option("--seed", type=int, default=0, help="seed of that mask, and of the method if it draws")
    option("--device", help="cpu or cuda (default: the GPU where there is one)")


def add_fetch(command: argparse.ArgumentParser) -> None:
    """The options of ``recon fetch``."""
    command.description = fetch.__doc__
    option, splits = command.add_argument, ("test", "validation", "train", "all")
    where = "its folder is DATA_ROOT/NAME (default data/downloads/NAME)"
    option("name", nargs="?", help=f"a dataset of data/registry.yaml; {where}")
    option("--list", action="store_true", help="the datasets, and how much of each is here")
    read = "read the files that are here, of NAME or of all datasets, and compare hashes"
    option("--check", action="store_true", help=read)
    option("--split", choices=splits, help="which volumes (default all, in this order)")
    option("--volumes", type=int, metavar="N", help="only the first N of them")
    option("--subjects", nargs="+", metavar="SUBJECT", help="these volumes, by name")
    option("--jobs", type=int, default=2, help="files at once, 1 to 4 (default %(default)s)")


def reconstruct(options: argparse.Namespace) -> None:
    """Reconstructs one scan; its sensitivity maps come from the fully sampled centre of k-space."""
    from dataclasses import asdict

    from recon import methods
    from recon.files import digest
    from recon.io import read_scan, write_volume
    from recon.mri import masks
    from recon.networks.weights import load_weights

    check_output(options.output)
    device, settings = chosen_device(options.device), parse_settings(options)
    chosen = methods.settings_of(options.method, **settings)  # refused before anything is read
    paths = chosen_networks(options)
    networks = {role: load_weights(path)[0].to(device) for role, path in paths.items()}
    scan = read_scan(options.input)
    problem = pose_scan(scan, options).to(device)
    begun = time.perf_counter()
    volume = methods.reconstruct(problem, options.method, networks, **settings)
    volume = problem.unscale(volume).cpu()
    meta = {
        "recon": __version__,
        "input": str(options.input),
        "input_sha256": digest(options.input)[:16] if options.input.is_file() else None,
        "origin": scan.origin,
        "method": options.method,
        "settings": asdict(chosen),
        "networks": {role: digest(path)[:16] for role, path in paths.items()},
        "acceleration": masks.acceleration(problem.operator.mask),
        "scan": scan.meta,
        "seconds": round(time.perf_counter() - begun, 2),
    }
    write_volume(options.output, volume, scan.voxel, meta=meta)
    size, took = " × ".join(map(str, volume.shape)), f"{meta['seconds']:.1f} s"
    print(f"{options.output}: {size} voxels, R = {meta['acceleration']:.1f}, {took}")


def check_output(path: Path) -> None:
    """Refuses, before any work, an output that could not be written."""
    if not path.name.endswith((".nii", ".nii.gz")):
        raise ReconError(f"{path}: the volume is written as NIfTI; end the name in .nii.gz")
    if not path.parent.is_dir():
        raise ReconError(f"{path}: the folder {path.parent} does not exist; make it first")


def chosen_device(name: str | None) -> str:
    """The device that was asked for, else the GPU where there is one."""
    import torch

    device = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
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


def pose_scan(scan: Scan, options: argparse.Namespace) -> Problem:
    """The problem of a scan: independent channels, and undersampling where it is asked for."""
    from recon.mri import masks
    from recon.mri.channels import independent
    from recon.mri.problem import pose

    kspace, noise = independent(scan, options.coils)
    mask = scan.mask
    if options.acceleration is not None:
        if masks.acceleration(mask) > 1.5:
            already = f"already undersampled (R = {masks.acceleration(mask):.1f})"
            raise ReconError(f"{options.input}: {already}; do not give --acceleration")
        pairs = zip(options.calibration, mask.shape, strict=True)
        shape, calibration = tuple(mask.shape), tuple(min(c, n) for c, n in pairs)
        mask = mask & masks.make(
            options.mask, shape, options.acceleration, calibration, options.seed
        )
    return pose(kspace, mask, noise, scan.voxel)


def fetch(options: argparse.Namespace) -> None:
    """Downloads volumes of a dataset, or says what a person must do to have them."""
    from recon.download import fetch as fetching
    from recon.download import registry

    if options.list:
        return print(fetching.table())
    if options.check:
        return fetching.check([options.name] if options.name else list(registry.datasets()))
    if options.name is None:
        raise ReconError("fetch: name a dataset; python -m recon fetch --list shows them")
    fetching.survey(options.name)
    fetching.fetch(options.name, chosen_subjects(options), options.jobs)


def chosen_subjects(options: argparse.Namespace) -> list[str]:
    """The subjects that ``--subjects``, or ``--split`` and ``--volumes``, ask for."""
    from recon.download import registry
    from recon.download.entries import bare

    if options.subjects is not None:
        if options.volumes is not None or options.split is not None:
            raise ReconError(
                "--subjects names the volumes itself; do not give --split or --volumes"
            )
        return list(dict.fromkeys(options.subjects))
    if options.volumes is not None and options.volumes < 1:
        raise ReconError(f"--volumes {options.volumes}: give at least 1")
    dataset = registry.lookup(options.name)
    subjects = bare(dataset.subjects(options.split or "all"))[: options.volumes]
    if not subjects and (dataset.access == "open" or dataset.listed()):
        empty = f"the split {options.split or 'all'} has no subjects"
        raise ReconError(f"{options.name}: {empty}; choose another --split")
    return subjects


def parse_settings(options: argparse.Namespace) -> dict:
    """``--set key=value`` pairs; the method's seed follows ``--seed``."""
    from recon import methods

    known = vars(methods.lookup(options.method).settings())
    settings = {"seed": options.seed} if "seed" in known else {}
    for pair in options.set:
        key, found, value = pair.partition("=")
        if not found:
            raise ReconError(f"--set {pair}: expected KEY=VALUE, as in --set weight=0.02")
        settings[key] = value
    return settings


def main(arguments: list[str] | None = None) -> int:
    """Runs a command; a user's error is one line and exit status 2."""
    options = parser().parse_args(arguments)
    try:
        {"reconstruct": reconstruct, "fetch": fetch}[options.command](options)
    except ReconError as error:
        print(f"recon: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
