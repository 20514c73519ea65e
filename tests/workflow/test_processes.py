"""A training by several processes, as the workflow runs it, in a copy of the repository."""

import json
from pathlib import Path

import pytest
import yaml

from tests.workflow.repository import call, copied, run

pytestmark = pytest.mark.slow

PAIR = {
    "name": "pair",
    "title": "Two processes",
    "threads": 1,
    "processes": 2,
    "datasets": {
        "knee": {
            "kind": "phantom",
            "anatomy": "knee",
            "label": "Knee",
            "shape": [16, 20, 20],
            "coils": 2,
            "train": [0],
            "validation": [100],
            "test": [200],
        }
    },
    "networks": {
        "knee": {
            "dataset": "knee",
            "steps": 4,
            "batch": 3,
            "check_every": 2,
            "network": {"channels": 8, "multipliers": [1], "attention": []},
        }
    },
    "comparisons": {},
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    target = copied(tmp_path_factory.mktemp("repository"))
    changes = {"pair": {}, "one": {"name": "one", "processes": 1}, "gpus": {"device": "cuda"}}
    for name, change in changes.items():
        (target / f"{name}.yaml").write_text(yaml.safe_dump(PAIR | change))
    return target


def made(copy: Path, name: str, profile: str, *options: str):
    """Snakemake's run for the weights of a configuration."""
    target = f"results/{PAIR['name']}/networks/knee.safetensors"
    return run(copy, *call(f"{name}.yaml", *options, "--", target, profile=profile))


def test_the_rule_trains_by_two_processes_what_a_step_trains_by_one(copy):
    """On the CPU, by the same rule as on GPUs."""
    done = made(copy, "pair", "default", "--cores", "2")
    assert done.returncode == 0 and "threads: 2" in done.stderr, done.stderr[-3000:]
    text = (copy / "logs/pair/networks/knee.log").read_text()
    assert text.count("step 4: ") == 1 and "Warning" not in text
    alone = run(copy, "workflow.scripts.step", "--config", "one.yaml", "network", "knee")
    assert alone.returncode == 0, alone.stderr
    logs = [
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (copy / f"results/{name}/networks/knee.jsonl" for name in ("pair", "one"))
    ]
    for two, one in zip(*logs, strict=True):  # some processors round to bf16
        assert two["step"] == one["step"] and two["loss"] == pytest.approx(one["loss"], rel=2e-3)
        assert two["mse"] == pytest.approx(one["mse"], rel=2e-2)


@pytest.mark.parametrize("step", [["network", "knee"], ["tune", "knee", "cg_sense"]])
def test_a_step_without_its_gpus_is_refused_in_one_line(copy, step, monkeypatch):
    """Where a cluster runs it, nothing else would."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = run(copy, "workflow.scripts.step", "--config", "gpus.yaml", *step)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "no GPU can be seen here; set 'device: cpu'" in done.stderr


def test_the_run_without_gpus_is_refused_in_one_line(copy, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = made(copy, "gpus", "default", "--forceall")
    assert done.returncode == 1
    refused = "Error: config pair: device is cuda and processes is 2, but no GPU can be seen here"
    assert refused in done.stderr and "Traceback" not in done.stderr


def test_a_cluster_is_asked_for_a_gpu_for_each_process_on_one_machine(copy, monkeypatch):
    """The machine that asks has none."""
    pytest.importorskip("snakemake_executor_plugin_slurm")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    done = made(copy, "gpus", "slurm", "-n", "--forceall")
    assert done.returncode == 0, done.stderr[-3000:]
    (resources,) = (line for line in done.stdout.splitlines() if "gpu=" in line)
    assert "gpu=2" in resources and "nodes=1" in resources
