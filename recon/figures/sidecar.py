"""The sidecar of a figure: what is needed to make it again and to see whether it changed."""

import platform
import subprocess
import time
from importlib.metadata import version

import h5py
import torch

from recon.mri.prepared import Prepared
from recon.networks.precision import multiplies_bf16
from recon.schema import ROOT
from recon.study import provenance
from recon.study.config import number
from recon.study.needs import Needs, needs_of
from recon.study.study import Study
from recon.versions import versions

SOURCES = ("recon", "workflow", "notebooks")
STARTED = time.perf_counter()  # a notebook imports this first, so its wall time counts from here


def sidecar(study: Study, name: str, volumes: dict[str, Prepared] | None = None) -> dict:
    """What a figure was made from: code, configuration, versions, device and hashes of its inputs.

    The name of a figure starts with the number of its notebook. The inputs are those of this
    notebook, and ``volumes``.
    """
    config = study.config
    tuned = {f"{d}/{m}": study.tuning(d, m) for d in config.datasets for m in config.tuned_on(d)}
    return {
        "git": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", *SOURCES)),
        "config": config.model_dump(mode="json"),
        "seeds": {"config": config.seed, "mask": config.mask.seed},
        "packages": versions() | {"snakemake": version("snakemake")},
        "device": _device(config.device),
        "threads": config.threads,
        "precision": "bf16" if multiplies_bf16(config.device) else "float32",
        "code": {method: provenance.method_code(config, method) for method in config.methods},
        **_inputs(study, name, volumes or {}),
        "tuning": {
            "file": config.tuning.shipped or f"results/{config.name}/tuning",
            "best": {name: record.get("best") for name, record in tuned.items()},
        },
        "wall_time_s": round(time.perf_counter() - STARTED, 1),
    }


def _inputs(study: Study, name: str, volumes: dict[str, Prepared]) -> dict[str, dict[str, str]]:
    """Hashes of the volumes and networks that a figure shows or was made from."""
    notebooks = [n for n in study.config.notebooks if number(n) == number(name)]
    folder = ROOT / "notebooks"
    needs = needs_of(folder / f"{notebooks[0]}.ipynb", study.config) if notebooks else Needs()
    hashes = {f"{d}/{subject}": _volume_hash(study, d, subject) for d, subject in needs.volumes}
    hashes |= {label: volume.hash for label, volume in volumes.items()}
    networks = {network: study.network_hash(network) for network in needs.networks}
    return {"volumes": hashes, "networks": networks}


def _volume_hash(study: Study, dataset: str, subject: str) -> str:
    with h5py.File(study.data_path(dataset, subject)) as file:
        return str(file.attrs["hash"])


def _device(device: str) -> str:
    cpu = platform.processor() or platform.machine()
    return cpu if device == "cpu" else torch.cuda.get_device_name(device)


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""  # not a git checkout: an unpacked archive still makes figures
    return done.stdout.strip()
