"""``python -m tests.bench.infusion``: what INFusion costs; writes figures/infusion.json.

The 2D case is a slice of 64×80 voxels and four coils with paper B's network and 8000 iterations,
and a sample of the prior in every tenth. What a sample in each iteration would take follows from
the shares. The gradient of the hybrid network of paper B, 256×256×80 voxels, is taken with several
chunk sizes, each in a process of its own.
"""

import json
import time
from collections.abc import Callable

import torch

from recon import methods, representations
from recon.data import phantom
from recon.data.section import Dataset
from recon.files import write_json
from recon.mri import masks
from recon.mri.problem import Problem, pose
from recon.networks.weights import load_weights
from recon.priors import Prior
from recon.priors.distances import distance_of
from recon.priors.edm import levels, sample
from recon.schema import ROOT
from recon.study import capacity

THREADS, ITERATIONS, EVERY = 2, 8000, 10
HYBRID = {"kind": "columns", "width": 3200, "layers": 3}
# The last takes all points of 256×256 at once.
SHAPE, CHUNKS = (256, 256, 80), (2**11, 2**13, 2**16)


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
    """What each part of an iteration takes, in milliseconds."""
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
        "sample of the prior": milliseconds(lambda: sample(prior, slices, sigmas, False)),
        "distance": milliseconds(compared),
    }


def main() -> None:
    """Measures, prints and writes everything."""
    torch.set_num_threads(THREADS)
    problem, prior = problem_2d()
    parts = shares(problem, prior)
    begun = time.perf_counter()
    settings = {"iterations": ITERATIONS, "every": EVERY, "sigma": 0.3}
    methods.reconstruct(problem, "infusion", prior, **settings)
    minutes = (time.perf_counter() - begun) / 60
    each = ITERATIONS * sum(parts.values()) / 60e3
    found = {"threads": THREADS, "parts_ms": parts, "iterations": ITERATIONS, "every": EVERY}
    found |= {"minutes": minutes, "minutes_with_a_sample_each": each}
    hybrid = capacity.gradients({f"chunk {n}": HYBRID | {"chunk": n} for n in CHUNKS}, SHAPE)
    found |= {"shape": SHAPE, "hybrid": hybrid.to_dict("records")}
    print(json.dumps(found, indent=1))
    write_json(ROOT / "figures" / "infusion.json", found)


if __name__ == "__main__":
    main()
