"""One file and one line: whatever the house takes is added by one file, and named by one line.

A method, a representation, an architecture, a dataset and a notebook, thrown away afterwards, are
put into a copy of the repository. The workflow then runs them, from the scan to the gallery.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors import safe_open

from recon.schema import ROOT

METHOD = '''"""Landweber iterations."""

from recon.methods import Method
from recon.methods.common import Callback, Count, checked, ignore
from recon.methods.ranges import decades
from recon.mri.problem import Problem


@checked
class LandweberSettings:
    """How many steps along the gradient."""

    iterations: Count = 5


def landweber(problem: Problem, settings=LandweberSettings(), callback: Callback = ignore):
    """Gradient descent on the data term."""
    x = problem.rhs.clone()
    for k in range(settings.iterations):
        x = x - problem.gradient(x)
        callback(k, x)
    return x


METHOD = Method(
    landweber, LandweberSettings, "Landweber", "C9", "<", space={"iterations": decades(2, 8)}
)
'''

REPRESENTATION = '''"""A coarse grid, interpolated."""

import torch

from recon.mri.resample import trilinear
from recon.representations import RepresentationKind
from recon.representations.voxels import Voxels
from recon.schema import Strict


class CoarseSettings(Strict):
    factor: int = 2


class Coarse(Voxels):
    def __init__(self, start, factor):
        super().__init__(trilinear(start, [max(1, n // factor) for n in start.shape]))
        self.shape = tuple(start.shape)

    def volume(self):
        return trilinear(torch.view_as_complex(self.values), self.shape)


REPRESENTATION = RepresentationKind(Coarse, CoarseSettings)
'''

NETWORK = '''"""A network of two convolutions."""

from typing import Literal

from torch import nn

from recon.networks import Architecture, ArchitectureSettings


class TinyConfig(ArchitectureSettings):
    """Its width."""

    kind: Literal["tiny"] = "tiny"
    channels: int = 8


class Tiny(nn.Module):
    """It does not look at the timestep."""

    def __init__(self, config: TinyConfig):
        super().__init__()
        self.first = nn.Conv2d(2, config.channels, 3, padding=1)
        self.last = nn.Conv2d(config.channels, 2, 3, padding=1)

    def forward(self, x, t):
        return self.last(self.first(x).relu())


ARCHITECTURE = Architecture(Tiny, TinyConfig)
'''

DATASET = '''"""Gaussian blobs."""

import torch

from recon.data.simulate import simulate
from recon.data.source import Source, nowhere
from recon.schema import Strict


class BlobOptions(Strict):
    width: float = 0.5


def scan(section, subject):
    """A blob that is narrower, the larger the subject's number."""
    axes = [torch.linspace(-1, 1, n) for n in (16, 24, 20)]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    width = BlobOptions(**section.options).width / (1 + 0.1 * int(subject))
    blob = torch.exp(-(x**2 + y**2 + z**2) / width**2).to(torch.complex64)
    return simulate(blob, (2.0, 2.0, 2.0), 3, 0.02, int(subject), f"blob-{subject}", "phantom")


DATASET = Source(scan, takes=(), options=BlobOptions, file=nowhere)
'''

NOTEBOOK = [
    ("markdown", "# Blobs\n\nWhat is added by one file, in one table.", []),
    ("code", 'config = "demo"', ["parameters"]),
    ("code", "from recon import figures\nfrom recon.study import open_study", []),
    ("code", 'study = open_study(config)\ntable = study.comparison("50_blobs")', []),
    ("code", 'fig = figures.curves(table, {"psnr": "PSNR [dB]"})', []),
    ("code", 'figures.save(study, fig, "50_blobs", table)', []),
]

# The lines of the configuration; each names one of the files.
LINES = {
    "datasets": {
        "blobs": {
            "kind": "blobs",
            "label": "Blobs",
            "options": {"width": 0.6},
            "train": [0],
            "validation": [1],
            "test": [2],
        }
    },
    "networks": {
        "blobs": {
            "dataset": "blobs",
            "steps": 4,
            "batch": 2,
            "check_every": 2,
            "network": {"kind": "tiny"},
        }
    },
    "methods": {
        "zero_filled": {},
        "landweber": {},
        "variational": {
            "representation": {"kind": "coarse", "factor": 3},
            "iterations": 5,
            "slices": 4,
            "slab": 2,
        },
    },
    "comparisons": {"50_blobs": {}},
    "notebooks": ["50_blobs"],
}


def cells() -> list[dict]:
    out = []
    for number, (kind, source, tags) in enumerate(NOTEBOOK):
        cell = {
            "cell_type": kind,
            "id": f"cell-{number}",
            "source": source,
            "metadata": {"tags": tags},
        }
        out.append(cell | ({"outputs": [], "execution_count": None} if kind == "code" else {}))
    return out


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the repository with the additions, after a run of the smoke workflow on them."""
    target = tmp_path_factory.mktemp("additions")
    for part in ("recon", "workflow", "notebooks"):
        shutil.copytree(ROOT / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", target)
    (target / "data").mkdir()
    shutil.copy(ROOT / "data" / "registry.yaml", target / "data")
    (target / "recon/methods/landweber.py").write_text(METHOD)
    (target / "recon/representations/coarse.py").write_text(REPRESENTATION)
    (target / "recon/networks/tiny.py").write_text(NETWORK)
    (target / "recon/data/blobs.py").write_text(DATASET)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells(), "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (target / "notebooks/50_blobs.ipynb").write_text(json.dumps(notebook))
    smoke = yaml.safe_load((target / "workflow/config/smoke.yaml").read_text())
    config = smoke | LINES | {"mask": {"calibration": [8, 8]}, "accelerations": [2]}
    config["tuning"] |= {"accelerations": [2]}
    (target / "workflow/config/smoke.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    done = subprocess.run(
        [sys.executable, "-m", "workflow.scripts.run"]
        + ["--profile", "workflow/profiles/default", "--config", "run=smoke"],
        cwd=target,
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin", "HOME": str(target)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return target


def test_each_addition_is_one_short_file():
    for text in (METHOD, REPRESENTATION, NETWORK, DATASET):
        assert len(text.splitlines()) <= 30
    assert sum(len(source.splitlines()) for _, source, _ in NOTEBOOK) <= 30


def test_the_workflow_ran_them_from_the_scan_to_the_gallery(copy):
    table = pd.read_csv(copy / "figures/smoke/50_blobs.csv")
    assert list(table["method"]) == ["zero_filled", "landweber", "variational"]
    assert set(table["dataset"]) == {"blobs"} and table["psnr"].between(5, 80).all()
    assert "50_blobs" in (copy / "figures/smoke/index.html").read_text()
    made = json.loads((copy / "figures/smoke/50_blobs.json").read_text())
    assert set(made["volumes"]) == {"blobs/2"} and set(made["networks"]) == {"blobs"}


def test_the_new_network_was_trained_and_names_itself(copy):
    with safe_open(copy / "results/smoke/networks/blobs.safetensors", framework="pt") as file:
        header = file.metadata()
    assert header["kind"] == "ddpm" and header["architecture"] == "tiny"


def test_the_new_method_was_tuned(copy):
    record = json.loads((copy / "results/smoke/tuning/blobs/landweber.json").read_text())
    assert len(record["trials"]["2"]) == 2 and record["best"]["2"]["iterations"] >= 2


def test_the_new_representation_carried_the_volume(copy):
    """With half the voxels along each axis the result is smoother than the zero-filled volume."""
    costs = list((copy / "results/smoke/cases").glob("*.h5"))
    assert len(costs) == 3
    code = (
        "from recon.study import open_study; s = open_study('smoke');"
        "print(s.case('blobs', 2, 2, 'variational').settings['representation'])"
    )
    environment = {"PYTHONPATH": str(copy), "PATH": "/usr/bin:/bin", "HOME": str(copy)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=copy, env=environment, capture_output=True, text=True
    )
    assert done.stdout.strip() == "{'kind': 'coarse', 'factor': 3}", done.stderr
