"""The command line: ``python -m recon reconstruct IN OUT.nii.gz --method annealed --prior
weights.safetensors``.

What a command needs is imported when it runs, so that ``--help`` is instant.
"""

import argparse
import sys
import time
from pathlib import Path

from recon import ReconError, __version__, rooms


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    out = argparse.ArgumentParser(
        prog="recon", description="3D MRI reconstruction with 2D diffusion priors"
    )
    out.add_argument("--version", action="version", version=__version__)
    commands = out.add_subparsers(dest="command", required=True)
    known = ", ".join(rooms.members("methods", "METHOD"))
    one = commands.add_parser(
        "reconstruct", help="reconstruct one scan", description=reconstruct.__doc__
    )
    one.add_argument(
        "input",
        type=Path,
        help="k-space, 2D or 3D: ISMRMRD .h5, fastMRI .h5, BART .cfl, .npy, .npz; x is the readout",
    )
    one.add_argument(
        "output",
        type=Path,
        help="magnitude volume, .nii.gz; a .json beside it says how it was made",
    )
    one.add_argument("--method", default="l1_wavelet", help=f"one of {known} (default %(default)s)")
    one.add_argument(
        "--prior",
        type=Path,
        help="weights of a diffusion prior, or of the network of the method, .safetensors",
    )
    one.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the method; repeatable",
    )
    one.add_argument(
        "--acceleration",
        type=float,
        help="undersample the scan by this factor first (retrospectively)",
    )
    one.add_argument(
        "--mask", default="poisson_disc", help="kind of retrospective mask (default %(default)s)"
    )
    one.add_argument(
        "--calibration",
        type=int,
        nargs=2,
        default=(24, 24),
        metavar=("Y", "Z"),
        help="its full centre (default 24 24)",
    )
    one.add_argument("--coils", type=int, help="compress to this many virtual coils first")
    one.add_argument(
        "--seed",
        type=int,
        default=0,
        help="seed of the retrospective mask and of the method, where it draws",
    )
    one.add_argument("--device", help="cpu or cuda (default: the GPU where there is one)")
    get = commands.add_parser(
        "fetch", help="download a dataset of the papers", description=fetch.__doc__
    )
    get.add_argument(
        "name",
        nargs="?",
        help="a dataset of data/registry.yaml; its folder is DATA_ROOT/NAME (data/downloads/NAME)",
    )
    get.add_argument(
        "--list", action="store_true", help="the datasets, and how much of each is here"
    )
    get.add_argument(
        "--check",
        action="store_true",
        help="read the files that are here, of all datasets without NAME, and compare hashes",
    )
    get.add_argument(
        "--split",
        choices=("test", "validation", "train", "all"),
        help="which volumes (default all, in this order)",
    )
    get.add_argument("--volumes", type=int, metavar="N", help="only the first N of them")
    get.add_argument("--subjects", nargs="+", metavar="SUBJECT", help="these volumes, by name")
    get.add_argument(
        "--jobs", type=int, default=2, help="files at once, 1 to 4 (default %(default)s)"
    )
    return out


def reconstruct(options: argparse.Namespace) -> None:
    """Reconstructs one scan; its sensitivity maps come from the fully sampled centre of k-space."""
    from dataclasses import asdict

    import torch

    from recon import methods
    from recon.files import digest
    from recon.io import read_scan, write_volume
    from recon.mri import masks
    from recon.networks.weights import load_weights

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if not options.output.name.endswith((".nii", ".nii.gz")):
        raise ReconError(
            f"{options.output}: the volume is written as NIfTI; end the name in .nii.gz"
        )
    if not options.output.parent.is_dir():
        raise ReconError(
            f"{options.output}: the folder {options.output.parent} does not exist; make it first"
        )
    if device != "cpu" and not (device.startswith("cuda") and torch.cuda.is_available()):
        raise ReconError(f"--device {device}: not available here; use --device cpu")
    settings = parse_settings(options)
    # refuses unknown names before anything is read
    chosen = methods.settings_of(options.method, **settings)
    if options.prior is None and methods.lookup(options.method).needs:
        raise ReconError(
            f"method {options.method} needs --prior; shipped weights lie in data/priors"
        )
    network = load_weights(options.prior)[0].to(device) if options.prior else None
    scan = read_scan(options.input)
    problem = pose_scan(scan, options).to(device)
    begun = time.perf_counter()
    volume = problem.unscale(
        methods.reconstruct(problem, options.method, network, **settings)
    ).cpu()
    meta = {
        "recon": __version__,
        "input": str(options.input),
        "input_sha256": digest(options.input)[:16] if options.input.is_file() else None,
        "origin": scan.origin,
        "method": options.method,
        "settings": asdict(chosen),
        "prior": digest(options.prior)[:16] if options.prior else None,
        "acceleration": masks.acceleration(problem.operator.mask),
        "scan": scan.meta,
        "seconds": round(time.perf_counter() - begun, 2),
    }
    write_volume(options.output, volume, scan.voxel, meta=meta)
    size = " × ".join(map(str, volume.shape))
    print(
        f"{options.output}: {size} voxels, R = {meta['acceleration']:.1f}, {meta['seconds']:.1f} s"
    )


def pose_scan(scan, options: argparse.Namespace):
    """The problem of a scan, with independent channels and, where asked for, retrospectively
    undersampled.
    """
    from recon.mri import masks
    from recon.mri.channels import independent
    from recon.mri.problem import pose

    kspace, noise = independent(scan, options.coils)
    mask = scan.mask
    if options.acceleration is not None:
        if masks.acceleration(mask) > 1.5:
            already = f"already undersampled (R = {masks.acceleration(mask):.1f})"
            raise ReconError(f"{options.input}: {already}; do not give --acceleration")
        calibration = tuple(min(c, n) for c, n in zip(options.calibration, mask.shape, strict=True))
        mask = mask & masks.make(
            options.mask, tuple(mask.shape), options.acceleration, calibration, options.seed
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
