"""``python -m tests.bench.infusion``: what INFusion costs; writes figures/infusion.json.

The 2D case is a slice of 64×80 voxels and four coils with paper B's network and 8000 iterations.
The gradient of the hybrid network of paper B, 256×256×80 voxels, is taken with several chunk sizes.
"""

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

from recon import methods, representations
from recon.data import phantom
from recon.data.section import Dataset
from recon.mri import masks
from recon.mri.problem import Problem, pose
from recon.networks.weights import load_weights
from recon.priors import Prior
from recon.priors.distances import distance_of
from recon.priors.edm import levels, sample
from recon.schema import ROOT

THREADS, ITERATIONS, EVERY = 2, 8000, 10
HYBRID = {"kind": "columns", "width": 3200, "layers": 3}
SHAPE, CHUNKS = (256, 256, 80), (2**11, 2**13)


def problem_2d() -> tuple[Problem, Prior]:
    """A slice of a knee phantom at R = 6, and the shipped prior of such slices."""
    splits = {"train": [], "validation": [], "test": ["200@40"]}
    section = Dataset(
        kind="phantom", label="", anatomy="knee", shape=(64, 80, 80), coils=4, **splits
    )
    scan = phantom.scan(section, "200@40")
    mask = masks.make("poisson_disc", scan.shape[1:], 6, (12, 12))
    problem = pose(scan.kspace, mask, scan.meta["noise_std"], scan.voxel)
    return problem, load_weights(ROOT / "data/priors/demo_knee.safetensors")[0]


def milliseconds(action: Callable[[], object], repeats: int = 20) -> float:
    """Mean wall time after two warm-ups."""
    action(), action()
    begun = time.perf_counter()
    for _ in range(repeats):
        action()
    return 1e3 * (time.perf_counter() - begun) / repeats


def shares(problem: Problem, prior: Prior) -> dict[str, float]:
    """What one iteration spends on each of its parts, in milliseconds."""
    model = representations.make(representations.chosen("columns"), problem.rhs)
    volume = model.volume().detach()
    slices = torch.view_as_real(volume).movedim(-1, 1).contiguous()
    towards = distance_of("features", prior)(slices + 0.1)
    sigmas = levels(10, 0.5)

    def network() -> None:
        torch.view_as_real(model.volume()).backward(torch.view_as_real(volume))

    def compared() -> None:
        towards(slices.clone().requires_grad_()).sum().backward()

    return {
        "data term": milliseconds(lambda: problem.gradient(volume)),
        "network": milliseconds(network),
        "sample of the prior": milliseconds(lambda: sample(prior, slices, sigmas, False)) / EVERY,
        "distance": milliseconds(compared),
    }


def peak(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and by how much the memory of the process rises meanwhile, in MB."""
    status, seen, done = Path("/proc/self/statm"), [], threading.Event()

    def resident() -> float:
        return int(status.read_text().split()[1]) * 4096 / 1e6

    def watch() -> None:
        while not done.wait(0.01):
            seen.append(resident())

    before, watcher, begun = resident(), threading.Thread(target=watch), time.perf_counter()
    watcher.start()
    action()
    done.set()
    watcher.join()
    return time.perf_counter() - begun, max(seen) - before


def gradients() -> list[dict]:
    """Time and memory of one gradient of the hybrid network, by the size of its chunks."""
    rows, start = [], torch.zeros(SHAPE, dtype=torch.complex64)
    for chunk in CHUNKS:
        model = representations.make(representations.chosen(HYBRID | {"chunk": chunk}), start)

        def gradient(model: representations.Representation = model) -> None:
            model.volume().abs().square().sum().backward()

        seconds, megabytes = peak(gradient)
        rows.append({"chunk": chunk, "seconds": seconds, "rises_mb": megabytes})
    return rows


def main() -> None:
    """Measures, prints and writes everything."""
    torch.set_num_threads(THREADS)
    problem, prior = problem_2d()
    found = {"threads": THREADS, "shares_ms": shares(problem, prior)}
    begun = time.perf_counter()
    settings = {"iterations": ITERATIONS, "every": EVERY, "sigma": 0.3}
    methods.reconstruct(problem, "infusion", prior, **settings)
    found |= {"iterations": ITERATIONS, "minutes": (time.perf_counter() - begun) / 60}
    found |= {"hybrid": {"shape": SHAPE, "width": HYBRID["width"], "gradients": gradients()}}
    print(json.dumps(found, indent=1))
    (ROOT / "figures" / "infusion.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
