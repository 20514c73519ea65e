"""Host memory of every method at full size: ``python -m tests.bench.memory_of_methods``.

It adds a row for each method to figures/memory.json. A method takes memory for volumes and for one
batch of slices in its network. The first grows at most linearly with the voxels, and not with the
iterations. So it is measured in one or two iterations on two small matrices, with a network of next
to no size, and put on the line through both. The row says so (``scaled_from``). It is an upper
bound, as large volumes are worked on coil by coil and slab by slab. The second is
measured for the networks of the papers' configurations, at full width and matrix. ``--full`` puts
the named methods through the full matrix instead.
"""

import argparse
import gc
import json
import math
import os
import subprocess
import sys

import torch
import yaml
from pydantic import TypeAdapter

from recon import methods, phantoms
from recon.files import write_text
from recon.mri import masks
from recon.mri.problem import Problem
from recon.networks import trained
from recon.schema import ROOT
from recon.study.cases import Stopwatch

COILS, FULL = 8, (256, 320, 320)
SMALL = ((24, 32, 32), (40, 50, 50))
# What is freed goes back to the system at once, so that the next method begins as the first did.
RETURNED = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
FEW = {"iterations": 2, "steps": 2, "cg_iterations": 1, "distance": "mse", "pixel": 1.0}
TINY = {"channels": 4, "multipliers": [1], "attention": [], "patch": 2}
# One for each need; their own memory is next to nothing.
SERVING = {
    "denoiser": {"kind": "ddpm", "network": TINY},
    "stack denoiser": {"kind": "ddpm", "network": TINY},
    "fastmri_unet": {"kind": "fastmri_unet", "network": {"channels": 2, "pools": 1}},
    "modl": {"kind": "modl", "network": {"channels": 2, "layers": 2, "unrolled": 2}},
}
# Networks as the papers' configurations have them.
NETWORKS = {
    "ADM U-Net of paper": ("paper", "stanford"),
    "infinite U-Net of paper": ("paper", "stanford_2x_fourier"),
    "fastMRI U-Net of paper_r3dm": ("paper_r3dm", "regular_unet"),
}


def build(section: dict) -> torch.nn.Module:
    """An untrained network."""
    return trained.build(TypeAdapter(trained.AnyTraining).validate_python(section)).eval()


def problem_of(shape: tuple[int, int, int]) -> Problem:
    """A problem of random samples: memory does not depend on what is seen."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn((COILS, *shape), generator=generator, dtype=torch.complex64)
    maps /= torch.linalg.vector_norm(maps, dim=0)
    mask = masks.make("uniform_1d", shape[1:], 4, (8, 1))
    kspace = phantoms.complex_noise((COILS, *shape), 1.0, generator)
    return Problem.build(kspace, mask, maps, 0.1, (0.6, 0.5, 0.5))


def brief(name: str) -> dict:
    """Settings that make a method short."""
    return {k: v for k, v in FEW.items() if k in vars(methods.lookup(name).settings())}


def peak_of(problem: Problem, name: str) -> float:
    """GB that a method takes beside the problem."""
    needs = methods.lookup(name).needs
    networks = {role: build(SERVING[need]) for role, need in needs.items()}
    gc.collect()
    before = resident_gb()
    with Stopwatch("cpu") as watch:
        methods.reconstruct(problem, name, networks, **brief(name))
    return watch.megabytes / 1e3 - before


def resident_gb() -> float:
    with Stopwatch("cpu") as watch:
        pass
    return watch.megabytes / 1e3


def measured(shape: tuple[int, int, int], names: list[str]) -> dict[str, float]:
    """GB of some methods, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.memory_of_methods", "--one"]
    command += [",".join(map(str, shape)), *names]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | RETURNED, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def held_gb(problem: Problem) -> float:
    """GB of the problem and of the prepared volume that it was posed from."""
    parts = (problem.kspace, problem.operator.modulated_maps, problem.rhs)
    return 2 * sum(part.numel() * part.element_size() for part in parts) / 1e9


def batch_gb(config: str, name: str) -> float:
    """GB of one batch of 32 slices in a network, at the full matrix."""
    section = yaml.safe_load((ROOT / "workflow" / "config" / f"{config}.yaml").read_text())
    model = build(section["networks"][name])
    x, network = torch.randn(32, 2, *FULL[1:]), getattr(model, "network", model)
    with torch.no_grad():
        before = resident_gb()
        with Stopwatch("cpu") as watch:
            model.denoise(x, 0.5) if hasattr(model, "denoise") else network(x)
    return watch.megabytes / 1e3 - before


def line(small: list[tuple[int, float]], voxels: int) -> float:
    """The value at ``voxels`` of the line through two points; never below the larger share."""
    (n, a), (m, b) = small
    slope = max((b - a) / (m - n), 0.0)
    return b + slope * (voxels - m)


def main() -> None:
    """Measures what is asked for, and replaces its rows in figures/memory.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--networks", action="store_true")
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    names = options.names or list(methods.names())
    if options.one:
        problem = problem_of(tuple(map(int, options.one.split(","))))
        found = {name: peak_of(problem, name) for name in names}
        print(json.dumps(found | {"held": held_gb(problem)}))
        return
    save(network_rows() if options.networks else method_rows(names, options.full))


def method_rows(names: list[str], full: bool) -> list[dict]:
    """One row for each method: measured at the full matrix, or scaled to it."""
    shapes = [FULL] if full else SMALL
    found = [measured(shape, names) for shape in shapes]
    rows = []
    for name in names:
        at = [(math.prod(s), one[name]) for s, one in zip(shapes, found, strict=True)]
        own = at[0][1] if full else line(at, math.prod(FULL))
        kept = found[-1]["held"] * math.prod(FULL) / math.prod(shapes[-1])
        row = {"name": f"method {name}", "coils": COILS, "shape": FULL, "held_gb": kept}
        row |= {"own_gb": own, "peak_gb": kept + own, "scaled_from": None if full else SMALL}
        rows.append(row)
        print(row, flush=True)
    return rows


def network_rows() -> list[dict]:
    """One row for each network."""
    rows = []
    for label, (config, name) in NETWORKS.items():
        row = {"name": label, "slices": 32, "shape": FULL[1:], "peak_gb": batch_gb(config, name)}
        rows.append(row)
        print(row, flush=True)
    return rows


def save(rows: list[dict]) -> None:
    """Puts rows in the place of those of the same names."""
    path = ROOT / "figures" / "memory.json"
    names = {row["name"] for row in rows}
    kept = [row for row in json.loads(path.read_text()) if row["name"] not in names]
    write_text(path, json.dumps(kept + rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
