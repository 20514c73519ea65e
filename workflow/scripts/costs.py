"""``python -m workflow.scripts.costs`` measures what a run costs here: writes data/costs.json.

It runs cases of every method in one thread, at two sizes where a configuration has two, and takes
some minutes. Times are those of the processor, so that other processes do not count. The cases have
fewer iterations than in the configurations, since time is proportional to them.
"""

import json
import math
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import torch
from scipy.optimize import nnls

from recon.files import write_text
from recon.networks import trained
from recon.networks.precision import multiplies_bf16
from recon.schema import ROOT
from recon.study import costs
from recon.study.cases import Counted, magnitude_of, scores_of
from recon.study.config import Config, load
from recon.study.study import Study, counted
from recon.training import batches

VOLUMES = ("zero_filled", "cg_sense", "l1_wavelet", "dds", "tpdm_dds", "diffusion_mbir", "tpdm",
           "variational", "annealed", "field_trilinear", "field_nearest", "field_implicit",
           "field_gaussians", "field_gabor")  # fmt: skip
NETWORKS = ("inr", "inr_wavelet", "infusion", "infusion_voxels")
SUPERVISED = ("grappa", "fastmri_unet", "modl", "r3dm")
# In which configuration, and on which of its datasets, methods are run.
RUN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "demo": (VOLUMES, ("knee_4x", "knee_2x")),
    "infusion": (NETWORKS, ("slices", "knee_2x")),
    "r3dm": (SUPERVISED, ("regular",)),
}
MOST = 3  # iterations; of methods that do not denoise in each of them, five times as many
REFERENCE = "knee"  # of what is measured once


class Pixels(Counted):
    """A prior that counts the pixels that it denoises."""

    def denoise(self, x, sigma):
        """What the prior answers."""
        self.slices += x[:, 0].numel()
        return self.prior.denoise(x, sigma)


def seconds(function) -> float:
    """The processor's time of a call, in seconds."""
    begun = time.process_time()
    function()
    return time.process_time() - begun


def measured(study: Study, dataset: str, method: str) -> dict:
    """One case, with its time, memory and counts."""
    subject = study.config.datasets[dataset].test[0]
    rate = study.config.accelerations_of(dataset)[-1]
    problem, case = (
        study.problem(dataset, subject, rate),
        study.case(dataset, subject, rate, method),
    )
    settings, shape = shortened(case.settings), tuple(problem.operator.shape)
    networks = {role: study.network(name) for role, name in case.networks.items()}
    networks, priors = counted(method, networks, Pixels)
    spent = seconds(lambda: magnitude_of(problem, method, networks, settings))
    found = {"seconds": spent, "rounds": costs.iterations(settings)}
    pixels, name = sum(p.slices for p in priors), next(iter(case.networks.values()), None)
    coils = len(problem.operator.maps)
    area = (
        costs.pixel_area(study.config, dataset, name, settings["pixel"])
        if name and "pixel" in settings
        else 1.0
    )
    found |= {"work": costs.work(settings, shape, coils), "pixels": pixels}
    found["drawn"] = costs.drawn(settings, shape) / area
    each = costs.operations(study.config.networks[name], shape[1:]) if name else 0.0
    print(method, dataset, {k: round(v, 3) for k, v in found.items()}, flush=True)
    return found | {"operations": each * pixels}


def method_cost(rows: list[dict], flop: float) -> dict:
    """The cost of a method that fits its cases, none of its parts negative.

    What one case takes is that of its work alone.
    """
    parts = [[row["rounds"], row["rounds"] * row["work"]] for row in rows]
    rest = [max(0.0, row["seconds"] - flop * row["operations"]) for row in rows]
    scale = [1 / max(row["seconds"], 1e-6) for row in rows]  # relative errors count
    weighed = [[a * s for a in part] for part, s in zip(parts, scale, strict=True)]
    overhead, data = nnls(weighed, [r * s for r, s in zip(rest, scale, strict=True)])[0]
    pixels = sum(r["pixels"] for r in rows) / max(1.0, sum(r["drawn"] for r in rows))
    return {"overhead": overhead, "data": data, "pixels": pixels}


def shortened(settings: dict) -> dict:
    """The settings of a case with few iterations."""
    key = "iterations" if "iterations" in settings else "steps"
    seldom = key == "iterations" and ("every" in settings or "slices" not in settings)
    few = {key: min(settings[key], 5 * MOST if seldom else MOST)} if key in settings else {}
    form = settings.get("representation") or {}
    if "warm" in form:
        few["representation"] = form | {"warm": min(form["warm"], MOST)}
    return settings | few


def memory(folder: Path, config: Config) -> dict[str, float]:
    """The peak memory of jobs, as a constant and a share of voxels and coils, from all tables."""
    tables = [pd.read_csv(path) for path in sorted(folder.glob("*.csv"))]
    cases = pd.concat([t for t in tables if {"dataset", "peak_memory_mb"} <= set(t)])
    peaks = cases.groupby("dataset")["peak_memory_mb"].median()
    peaks = peaks[[name for name in peaks.index if name in config.datasets]]
    sizes = [costs.size(config, name) for name in peaks.index]
    units = [math.prod(shape) * coils for shape, coils in sizes]
    process, each = nnls([[1, n] for n in units], 1e6 * peaks.to_numpy())[0]
    return {"process": process, "memory_each": each}


def start() -> float:
    """The processor's time until a job of the workflow has begun, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = "from recon.study import open_study; import recon.study.study; open_study('demo')"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def per_operation(study: Study) -> dict[str, float]:
    """The time of an operation of a network, in denoising and in training."""
    section, scan = study.config.networks[REFERENCE], study.volume(REFERENCE, 0, True)
    model, kind = study.network(REFERENCE), trained.lookup(section.kind)
    plane = tuple(scan.reference.shape[1:])
    each, x = costs.operations(section, plane), torch.randn(32, 2, *plane)
    with torch.no_grad():
        model.denoise(x[:4], 1.0)
        spent = seconds(lambda: model.denoise(x, 1.0))
    source, generator = batches(kind.batches).source([scan], section, "cpu"), torch.Generator()
    fresh = trained.build(section)
    drawn = [
        kind.draw(source.batch(section.batch, generator), generator, section) for _ in range(6)
    ]
    steps = [seconds(lambda b=b: kind.loss(fresh, b, section).backward()) for b in drawn]
    pixels = math.prod(scan.reference.shape) / len(scan.reference) * section.batch
    return {
        "flop": spent / (each * len(x) * math.prod(plane)),
        "training_flop": sorted(steps)[3] / (each * pixels),
    }


def per_volume(study: Study, slices: Study) -> dict[str, float]:
    """What preparing, posing and scoring a volume takes, and what it fills on the disk."""
    section = study.config.datasets[REFERENCE]
    voxels, (full, light) = math.prod(section.shape), (section.test[0], section.train[0])
    spent = [seconds(lambda s=s: study.prepare(REFERENCE, s)) for s in (full, light)]
    sizes = [study.data_path(REFERENCE, s).stat().st_size for s in (full, light)]
    scan, units = study.volume(REFERENCE, full), voxels * section.coils
    return {
        "prepare": spent[0] / units,
        "prepare_reference": spent[1] / units,
        "prepare_slice": seconds(lambda: slices.prepare("slices", "201@24")) / voxels,
        "stored": sizes[0] / units,
        "stored_reference": sizes[1] / voxels,
        "pose": seconds(lambda: study.problem(REFERENCE, full, 8)) / units,
        "score": seconds(lambda: scores_of(scan.target.abs(), scan)) / voxels,
    }


def searches(study: Study) -> float:
    """How often the shipped tuning searched: once, and again for every widened range."""
    records = json.loads((study.root / study.config.tuning.shipped).read_text())
    lists = [r["widened"] for found in records.values() for r in found.values() if "widened" in r]
    times = [1 + min(len(w), study.config.tuning.widen) for found in lists for w in found.values()]
    return sum(times) / len(times)


def processor() -> str:
    """The name of this processor."""
    file = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", file.read_text()) if file.exists() else None
    return found[1] if found else platform.machine()


def opened(folder: Path) -> dict[str, Study]:
    """The configurations of `RUN`, whose results lie in a folder of their own."""
    for name in ("data", "figures"):
        (folder / name).symlink_to(ROOT / name)
    return {name: Study(load(name), root=folder) for name in RUN}


def main() -> None:
    """Measures everything in a folder of its own, and writes the file."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        studies = opened(Path(folder))
        study = studies["demo"]
        precision = "bf16" if multiplies_bf16("cpu") else "float32"
        found = {
            "machine": {"processor": processor(), "device": "cpu", "precision": precision},
            "start": start(),
            "searches": searches(study),
            "notebooks": {
                number: spent
                for each in studies.values()
                for number, spent in costs.notebook_seconds(each.figures).items()
            },
            "notebook_voxels": math.prod(study.config.datasets[REFERENCE].shape),
        }
        found |= memory(study.figures, study.config) | per_volume(study, studies["infusion"])
        found |= per_operation(study)
        found["methods"] = {
            method: method_cost(
                [measured(studies[name], dataset, method) for dataset in datasets], found["flop"]
            )
            for name, (compared, datasets) in RUN.items()
            for method in compared
        }
    write_text(costs.FILE, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
