"""One file and one line: whatever the house takes is added by one file, and named by one line.

The method, the representation, the architecture and the dataset that CONTRIBUTING.md shows, and a
notebook, are put into a copy of the repository. The workflow then runs them, from the scan to the
gallery.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors import safe_open

from recon.schema import ROOT
from tests.workflow.repository import call, copied

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
# The worked examples of that page, by the files they belong in.
EXAMPLE = re.compile(r"^`(recon/\w+/\w+\.py)`[.,].*?^```python\n(.*?)^```", re.S | re.M)
EXAMPLES = dict(EXAMPLE.findall(PAGE))

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
    target = copied(tmp_path_factory.mktemp("additions"))
    for file, text in EXAMPLES.items():
        (target / file).write_text(text)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells(), "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    (target / "notebooks/50_blobs.ipynb").write_text(json.dumps(notebook))
    smoke = yaml.safe_load((target / "workflow/config/smoke.yaml").read_text())
    config = smoke | LINES | {"mask": {"calibration": [8, 8]}, "accelerations": [2]}
    config["tuning"] |= {"accelerations": [2]}
    (target / "workflow/config/smoke.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    done = subprocess.run(
        [sys.executable, "-m", *call()],
        cwd=target,
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin", "HOME": str(target)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return target


def test_each_addition_is_one_short_file():
    rooms = {Path(file).parent.name for file in EXAMPLES}
    assert rooms == {"methods", "networks", "data", "representations"}
    assert all(len(text.splitlines()) <= 30 for text in EXAMPLES.values())
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
