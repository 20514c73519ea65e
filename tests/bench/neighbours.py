"""Our threads on an idle machine and beside a busy neighbour: ``python -m tests.bench.neighbours``
writes figures/neighbours.json. Run it while nothing else runs.

The neighbour is a process of torch with its default of two spinning threads. Each job runs with
the spin count that `recon` sets and with OpenMP's default, in turns.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from recon.schema import ROOT

DEFAULT = "300000"  # spins of GNU's OpenMP where nothing is set
JOBS = ("training step", "ℓ1-wavelet")
ROUNDS = 3


def job(name: str) -> Callable[[], object]:
    """One training step of the demo's network, or ten iterations of ℓ1-wavelet on 8 coils."""
    import torch

    if name == "training step":
        from recon.networks.unet import UNet, UNetConfig

        net, slices = UNet(UNetConfig(channels=32)), torch.randn(8, 2, 80, 80)
        return lambda: net(slices, torch.ones(8)).square().mean().backward()
    from recon.methods.l1_wavelet import L1WaveletSettings, l1_wavelet
    from recon.mri import masks
    from recon.mri.problem import Problem
    from tests.bench.run import scene

    _, maps, kspace = scene("cpu")
    mask = masks.make("poisson_disc", kspace.shape[2:], 4, (12, 12), 0)
    problem = Problem.build(kspace, mask, maps)
    return lambda: l1_wavelet(problem, settings=L1WaveletSettings(iterations=10))


def run(name: str, duration: float) -> float:
    """Seconds of one repetition, measured for ``duration`` seconds after a warm-up."""
    action = job(name)
    action()
    begun, times = time.perf_counter(), []
    while not times or time.perf_counter() - begun < duration:
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def timed(name: str, spins: str | None) -> float:
    """The same in a process of its own, since the spin count is read once."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP", "GOMP"))}
    environment |= {"GOMP_SPINCOUNT": spins} if spins else {}
    command = [sys.executable, "-m", "tests.bench.neighbours", "--job", name]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, cwd=ROOT)
    return float(done.stdout)


@contextlib.contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """A process that trains with OpenMP's default, or none."""
    if not busy:
        yield
        return
    command = [sys.executable, "-m", "tests.bench.neighbours", "--job", JOBS[0]]
    other = subprocess.Popen(
        [*command, "--duration", "1e6"], env=os.environ | {"GOMP_SPINCOUNT": DEFAULT}, cwd=ROOT
    )
    time.sleep(8)  # until it trains
    try:
        yield
    finally:
        other.kill()
        other.wait()


def main() -> None:
    """Measures one job where it is named, and all of them otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", choices=JOBS)
    parser.add_argument("--duration", type=float, default=4)
    options = parser.parse_args()
    if options.job:
        print(run(options.job, options.duration))
        return
    rows = []
    for name in JOBS:
        found: dict[str, list[float]] = {}
        for busy in (False, True):
            with neighbour(busy):
                for _ in range(ROUNDS):
                    for label, spins in (("ours", None), ("default", DEFAULT)):
                        key = f"{label}_{'beside' if busy else 'idle'}_s"
                        found.setdefault(key, []).append(timed(name, spins))
        row = {"name": name} | {key: float(np.median(times)) for key, times in found.items()}
        row["idle_ratio"] = row["ours_idle_s"] / row["default_idle_s"]
        row["beside_ratio"] = row["ours_beside_s"] / row["ours_idle_s"]
        print(row, flush=True)
        rows.append(row)
    path = ROOT / "figures" / "neighbours.json"
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
