"""Rehearsals of the papers' configurations: the whole graph on stand-ins for their datasets.

``python -m tests.workflow.rehearsal FOLDER [CONFIG ...]`` makes the stand-ins of each configuration
in FOLDER and runs it there with all subjects, in a copy of the repository. `make rehearsal` calls
it. What a rehearsal changes is said by `small`; what it leaves alone is all that touches data.
``--profile slurm`` sends the jobs through a virtual cluster on this machine.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import yaml

from recon.download.entries import SPLITS
from recon.schema import ROOT
from tests.data import standins
from tests.workflow import cluster

CONFIGS = ("paper", "paper_brain", "paper_7t")
# The settings of methods that say how much is computed.
BRIEF = {
    "cg_sense": {"iterations": 2},
    "l1_wavelet": {"iterations": 2},
    "dds": {"steps": 2},
    "tpdm_dds": {"steps": 3},
    "diffusion_mbir": {"steps": 2},
    "r3dm": {"steps": 2},
    "annealed": {"steps": 3},
    "variational": {"iterations": 2, "slices": 2, "slab": 1},
    "field_trilinear": {"iterations": 2, "slices": 2, "slab": 1},
    "field_nearest": {"iterations": 2, "slices": 2, "slab": 1},
    "field_implicit": {
        "iterations": 2,
        "slices": 2,
        "slab": 1,
        "representation": {"width": 16, "layers": 2, "warm": 2},
    },
    "field_gaussians": {
        "iterations": 2,
        "slices": 2,
        "slab": 1,
        "representation": {"per_voxel": 0.02},
    },
    "inr": {"iterations": 4},
    "inr_wavelet": {"iterations": 4},
    "infusion": {"iterations": 4},
}
TRAINING = {"steps": 4, "batch": 2, "check_every": 2}
NARROW = {
    "unet": {"channels": 8, "blocks": 1},
    "infinite_unet": {"channels": 8, "blocks": 1, "inner_channels": 8},
    "stack_unet": {"channels": 8, "blocks": 1},
    "unet_3d": {"channels": 8, "blocks": 1},
    "fastmri_unet": {"channels": 8, "pools": 2},
    "modl": {"channels": 8, "layers": 2, "unrolled": 2, "cg_iterations": 2},
}


# Subjects that the configurations leave to be named.
TO_BE_NAMED = {"fastmri_brain": ["STANDIN_1:4"], "fastmri_knee": ["STANDIN_1"]}


def small(name: str, subjects: int | None = None) -> dict:
    """The configuration ``name`` for stand-ins: what its YAML file would say.

    Changed are the device, the widths and steps of networks, the iterations of methods and the
    trials of tuning; and, as they belong to the size of a matrix, calibration regions and matrices
    that are cut from a scan. Training subjects that are to be named are named. With ``subjects``,
    each split keeps its first few. All else is as it is.
    """
    full = standins.contents(name)
    out = {"like": name, "name": f"rehearsal_{name}", "device": "cpu", "threads": 1}
    out["networks"] = {key: _trained(value) for key, value in full["networks"].items()}
    out["methods"] = {key: BRIEF.get(key, {}) for key in full["methods"]}
    out["tuning"] = {"trials": 2, "subjects": 1, "widen": 0, "edges": "report"}
    out["mask"] = {"calibration": [6, 6]}
    found = standins.subjects_of(full)
    sections = {
        key: _smaller(section, found, subjects) for key, section in full["datasets"].items()
    }
    return out | {"datasets": {key: own for key, own in sections.items() if own}}


def _smaller(section: dict, found: dict, subjects: int | None) -> dict:
    """What a rehearsal changes of a dataset."""
    own: dict = {}
    kind, calibration = section.get("kind"), section.get("mask", {}).get("calibration")
    if calibration:
        own["mask"] = {"calibration": [6 if c > 1 else 1 for c in calibration]}
    if "shape" in section:
        own["shape"] = [max(16, n // 4) for n in section["shape"]]
    if subjects is not None and kind in found:
        splits = {split: section.get(split, found[kind][split]) for split in SPLITS}
        own |= {split: named[:subjects] for split, named in splits.items()}
    if kind in TO_BE_NAMED and section.get("train") == []:
        own["train"] = TO_BE_NAMED[kind]
    return own


def asked(name: str, subjects: int | None = None) -> dict:
    """What the files of datasets must hold for the configuration that `small` makes."""
    full, own = standins.contents(name)["datasets"], small(name, subjects)["datasets"]
    return {"datasets": {key: section | own.get(key, {}) for key, section in full.items()}}


def _trained(section: dict) -> dict:
    """What a rehearsal changes of a network."""
    default = section.get("kind") if section.get("kind") in NARROW else "unet"
    batch = max(TRAINING["batch"], section.get("stack", 1))  # whole stacks
    network = NARROW[section.get("network", {}).get("kind", default)]
    return TRAINING | {"batch": batch, "network": network}


def copied(folder: Path) -> Path:
    """A copy of what a run of the workflow needs, in ``folder``."""
    for part in ("recon", "workflow", "notebooks"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, folder / part, ignore=ignored, dirs_exist_ok=True)
    (folder / "data").mkdir(exist_ok=True)
    shutil.copy(ROOT / "data" / "registry.yaml", folder / "data")
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


def workflow(
    copy: Path, data: Path, config: str, *arguments: str, profile: str = "default"
) -> subprocess.CompletedProcess[str]:
    """Runs the workflow in a copy of the repository, with ``data`` as DATA_ROOT.

    Its profile is one of ``workflow/profiles``; that of SLURM gets a cluster for this run.
    """
    call = [sys.executable, "-m", "workflow.scripts.run"]
    call += ["--profile", f"workflow/profiles/{profile}", "--config", f"run={config}", *arguments]
    with ExitStack() as stack:
        environment = dict(os.environ)
        if profile == "slurm":
            place = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "cluster"
            environment = stack.enter_context(cluster.running(place))
            call += cluster.SOON
        environment |= {"PYTHONPATH": str(copy), "DATA_ROOT": str(data)}
        return subprocess.run(call, cwd=copy, env=environment, capture_output=True, text=True)


def rehearse(
    name: str, folder: Path, *arguments: str, subjects: int | None = None, profile: str = "default"
) -> subprocess.CompletedProcess[str]:
    """Makes the stand-ins of a configuration and runs it on them, in copies below ``folder``."""
    values, data, copy = small(name, subjects), folder / "data", copied(folder / "repository")
    standins.make(data, asked(name, subjects))
    file = copy / f"{values['name']}.yaml"
    file.write_text(yaml.safe_dump(values, sort_keys=False))
    return workflow(copy, data, file.name, *arguments, profile=profile)


def main() -> int:
    """Rehearses configurations with all of their subjects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("configs", nargs="*", default=CONFIGS)
    parser.add_argument("--subjects", type=int, help="of each split; without it, all")
    parser.add_argument("--profile", default="default", help="of the workflow")
    options = parser.parse_args()
    for name in options.configs:
        chosen = {"subjects": options.subjects, "profile": options.profile}
        done = rehearse(name, options.folder.absolute(), **chosen)
        print(done.stderr[-3000:])
        if done.returncode:
            return done.returncode
        card = options.folder / f"repository/figures/rehearsal_{name}/scorecard.json"
        print(f"{name}: {len(json.loads(card.read_text()))} claims in {card}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
