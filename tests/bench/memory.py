"""Host memory of preparing full-size volumes: ``python -m tests.bench.memory [--quick]`` writes
figures/memory.json.

Each volume is prepared in a process of its own, whose peak is read at the end. The k-space is that
of a small phantom, zero-padded to the full matrix, with noise: the memory does not depend on what
is seen. ``--quick`` computes one tile of the maps only, as they all take the same memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from recon import phantoms
from recon.data.preparation import prepare
from recon.data.simulate import simulate
from recon.mri import coils, fourier
from recon.mri.scan import Scan
from recon.schema import ROOT

# coils, matrix
VOLUMES = {"Stanford knee": (8, (256, 320, 320)), "AHEAD brain": (32, (234, 292, 290))}
LIMIT_GB = 16
whole_maps = coils.espirit_tiles


def full_size(count: int, shape: tuple[int, int, int]) -> Scan:
    """A scan of ``shape`` voxels by ``count`` coils, with a noise scan to be whitened by."""
    generator = torch.Generator().manual_seed(0)
    small = simulate(
        phantoms.subject("brain", 1).render(tuple(n // 8 for n in shape)),
        (5.0, 5.0, 5.0),
        count,
        0.02,
        1,
        "",
        "phantom",
    )
    kspace = torch.empty((count, *shape), dtype=torch.complex64)
    for coil, samples in zip(kspace, small.kspace, strict=True):
        coil.copy_(
            fourier.pad(samples, shape)
            + phantoms.complex_noise(shape, small.meta["noise_std"], generator)
        )
    return Scan(kspace, (0.7, 0.7, 0.7), torch.ones(shape[1:], dtype=torch.bool), noise=small.noise)


def one_tile(kspace: torch.Tensor, shape: tuple[int, int, int]):
    """The first tile of the maps, and zeros for all others."""
    yield next(whole_maps(kspace, shape))
    for where in list(coils.tiles(shape, 2048))[1:]:
        yield (
            where,
            torch.zeros(
                (len(kspace), *(span.stop - span.start for span in where)), dtype=torch.complex64
            ),
        )


def measure(name: str, quick: bool) -> dict:
    """Prepares one volume here; peak memory of this process, and what of it was there before."""
    count, shape = VOLUMES[name]
    if quick:
        coils.espirit_tiles = one_tile
    scan = full_size(count, shape)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        prepare(scan, Path(folder) / "v.h5", {})
    peak, size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, scan.kspace.numel() * 8 / 1e9
    memory = {"kspace_gb": size, "before_gb": before / 1e6, "peak_gb": peak / 1e6}
    return {
        "name": name,
        "coils": count,
        "shape": shape,
        **memory,
        "seconds": None if quick else time.perf_counter() - begun,
    }


def main() -> int:
    """Measures every volume in its own process; fails above the limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one, options.quick)))
        return 0
    rows = []
    for name in VOLUMES:
        command = [
            sys.executable,
            "-m",
            "tests.bench.memory",
            "--one",
            name,
            *(["--quick"] if options.quick else []),
        ]
        rows.append(
            json.loads(
                subprocess.run(
                    command, cwd=ROOT, check=True, capture_output=True, text=True
                ).stdout.splitlines()[-1]
            )
        )
        print(rows[-1], flush=True)
    path, names = ROOT / "figures" / "memory.json", {row["name"] for row in rows}
    kept = json.loads(path.read_text()) if path.exists() else []  # of memory_of_methods
    rows = [*rows, *(row for row in kept if row["name"] not in names)]
    path.write_text(json.dumps(rows, indent=1) + "\n")
    return int(max(row["peak_gb"] for row in rows if row["name"] in names) > LIMIT_GB)


if __name__ == "__main__":
    sys.exit(main())
