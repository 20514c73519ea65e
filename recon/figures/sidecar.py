"""The sidecar of a figure: what is needed to make it again and to see whether it changed."""

import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import h5py
import torch

from recon.networks.precision import multiplies_bf16
from recon.schema import ROOT
from recon.study import provenance
from recon.study.config import Config, number
from recon.study.needs import Needs, needs_of, part_of
from recon.study.study import Study
from recon.versions import versions

SOURCES = ("recon", "workflow", "notebooks")
CONTENT = (".png", ".svg", ".csv")  # the files of a figure beside its sidecar
STARTED = time.perf_counter()  # a notebook imports this first, so its wall time counts from here


def sidecar(study: Study, name: str) -> dict:
    """What a figure was made from: code, settings, versions, device and hashes of its inputs.

    The name of a figure starts with the number of its notebook. Settings and inputs are those of
    this notebook.
    """
    config, notebook = study.config, notebook_of(study.config, name)
    needs = needs_of(notebook, config)
    tuned = {f"{d}/{m}": study.tuning(d, m) for d, m in needs.settings}
    return {
        "git": git("rev-parse", "HEAD"),
        "dirty": bool(git("status", "--porcelain", "--untracked-files=no", "--", *SOURCES)),
        "config": part_of(config, needs),
        "seeds": {"config": config.seed, "mask": config.mask.seed},
        "packages": versions() | {"snakemake": version("snakemake")},
        "device": _device(config.device),
        "threads": config.threads,
        "precision": "bf16" if multiplies_bf16(config.device) else "float32",
        "code": {method: provenance.method_code(config, method) for method in needs.methods},
        "steps": steps(config, needs),
        "notebook": provenance.hashed(provenance.code_cells(notebook)) if notebook else None,
        "files": files_of(study.figures / name),
        **_inputs(study, needs),
        "tuning": {
            "file": config.tuning.shipped or f"results/{config.name}/tuning",
            "best": {name: record.get("best") for name, record in tuned.items()},
        },
        "wall_time_s": round(time.perf_counter() - STARTED, 1),
    }


def notebook_of(config: Config, name: str) -> str | None:
    """The notebook that makes a figure; None where the configuration has none of its number."""
    return next((n for n in config.notebooks if number(n) == number(name)), None)


def steps(config: Config, needs: Needs) -> dict[str, str]:
    """Hashes of the code of all steps but the methods, by what they do."""
    datasets = dict.fromkeys([d for d, _ in needs.volumes])
    prepared = {
        f"{d}'s preparation": provenance.preparation_code(config.datasets[d]) for d in datasets
    }
    tables = {"scores": provenance.scoring_code(), "tables": provenance.table_code()}
    return prepared | (tables if needs.comparisons else {}) | {"figures": provenance.figure_code()}


def files_of(stem: Path) -> dict[str, str]:
    """The hashes of the picture and the table of a figure, which is a path without suffix."""
    found = [stem.with_name(f"{stem.name}{suffix}") for suffix in CONTENT]
    return {path.name: provenance.file_hash(path) for path in found if path.exists()}


def volume_hash(study: Study, dataset: str, subject: str) -> str:
    """The hash of a prepared volume."""
    with h5py.File(study.data_path(dataset, subject)) as file:
        return str(file.attrs["hash"])


def _inputs(study: Study, needs: Needs) -> dict[str, dict[str, str]]:
    """Hashes of the volumes and networks that a figure shows or was made from."""
    hashes = {f"{d}/{subject}": volume_hash(study, d, subject) for d, subject in needs.volumes}
    networks = {network: study.network_hash(network) for network in needs.networks}
    return {"volumes": hashes, "networks": networks}


def _device(device: str) -> str:
    cpu = platform.processor() or platform.machine()
    return cpu if device == "cpu" else torch.cuda.get_device_name(device)


def git(*arguments: str, folder: Path = ROOT) -> str:
    """What git answers in a folder; empty where it refuses."""
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""  # not a git checkout: an unpacked archive still makes figures
    return done.stdout.strip()
