"""The workflow on a SLURM cluster: same numbers as here, and no job that is waited for in vain.

The cluster is a virtual one on this machine; see `tests.workflow.cluster`. A tiny configuration has
one of everything. ``make test-slurm`` runs the smoke configuration in its place.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from tests.workflow import cluster
from tests.workflow.cluster import SOON
from tests.workflow.repository import call, copied, run, started

pytestmark = pytest.mark.slurm

CONFIG = os.environ.get("SLURM_CONFIG", "tiny.yaml")
NAME = Path(CONFIG).stem
COSTS = ["seconds", "peak_memory_mb"]

TINY = """
name: tiny
title: One of each
threads: 1
datasets:
  knee:
    kind: phantom
    anatomy: knee
    label: Knee
    shape: [16, 24, 24]
    coils: 2
    train: [0]
    validation: [1]
    test: [2]
networks:
  knee:
    dataset: knee
    steps: 4
    batch: 2
    check_every: 2
    network: {channels: 8, multipliers: [1], attention: []}
mask: {calibration: [8, 8]}
accelerations: [2]
methods:
  annealed: {steps: 2}
tuning: {trials: 2, subjects: 1, widen: 0, edges: report}
comparisons: {50_tiny: {}}
notebooks: [50_tiny]
"""

CELLS = [
    nbformat.v4.new_code_cell('config = "demo"', metadata={"tags": ["parameters"]}),
    nbformat.v4.new_code_cell("from recon import figures\nfrom recon.study import open_study"),
    nbformat.v4.new_code_cell('table = open_study(config).comparison("50_tiny")'),
    nbformat.v4.new_code_cell('fig = figures.curves(table, {"psnr": "PSNR [dB]"})'),
    nbformat.v4.new_code_cell('figures.save(open_study(config), fig, "50_tiny", table)'),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """The environment of a running cluster, without any wish for a number of threads."""
    if absent := cluster.missing():
        pytest.skip(f"{', '.join(absent)} not installed; make test-slurm installs SLURM")
    with cluster.running(tmp_path_factory.mktemp("slurm") / "cluster") as environment:
        yield {k: v for k, v in environment.items() if k != "OMP_NUM_THREADS"}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    target = copied(tmp_path_factory.mktemp("repository"))
    (target / "tiny.yaml").write_text(TINY)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=CELLS, metadata=kernel)
    nbformat.write(notebook, target / "notebooks/50_tiny.ipynb")
    shutil.copy(Path(__file__).with_name("jobs.smk"), target)
    return target


@pytest.fixture(scope="module")
def runs(slurm, copy) -> tuple[Path, Path]:
    """The folders of what one repository made on the cluster, and then here."""
    folders = []
    for place, options in (("slurm", SOON), ("default", ["--cores", "2"])):
        done = run(copy, *call(CONFIG, *options, profile=place), environment=slurm)
        assert done.returncode == 0, done.stderr[-6000:]
        folder = copy / f"made-{place}"
        folder.mkdir()
        for part in ("results", "figures"):
            shutil.move(copy / part / NAME, folder / part)
        folders.append(folder)
    return tuple(folders)


def files(folder: Path, pattern: str) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(pattern))


def alike(runs: tuple[Path, Path], pattern: str, read) -> int:
    """Asserts that both runs made the same files, which read alike; gives their number."""
    names = files(runs[0], pattern)
    assert names == files(runs[1], pattern)
    for name in names:
        first, second = (read(folder / name) for folder in runs)
        assert first == second, name
    return len(names)


# The file of a network says how long its training took. So its hash differs between any two runs,
# and with it the key of a case. Its weights are compared themselves.
def test_tables_are_those_of_a_local_run(runs):
    """Every digit of every column, but what a case cost and its key."""

    def read(path: Path) -> list[dict]:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        return table.drop(columns=[*COSTS, "key"], errors="ignore").to_dict("records")

    assert alike(runs, "*.csv", read) >= 2


def test_what_was_tuned_and_trained_is_that_of_a_local_run(runs):
    assert alike(runs, "results/tuning/*/*.json", lambda path: path.read_text())
    assert alike(runs, "*.safetensors", weights)


def weights(path: Path) -> bytes:
    """All of a file but its header, which says how long the training took."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


def test_scores_and_sidecars_are_those_of_a_local_run(runs):
    """But for claims on time and memory, the wall time, and the hashes of networks."""

    def read(path: Path) -> object:
        made = json.loads(path.read_text())
        if path.stem == "scorecard":
            return [claim for claim in made if not claim["id"].endswith(tuple(COSTS))]
        files = {name: made["files"][name] for name in made["files"] if not name.endswith(".csv")}
        same = {"wall_time_s": None, "networks": list(made["networks"]), "files": files}
        return made | same

    assert alike(runs, "figures/*.json", read) >= 2


def test_the_cluster_was_asked_for_what_the_rules_need(slurm, runs):
    """Memory and time reach SLURM. Nothing asks for a GPU where the study has none."""
    jobs = {comment.split("_wildcards")[0]: job for comment, job in listed(slurm).items()}
    assert not any(map(asks_for_gpu, jobs.values()))
    assert jobs["rule_prepare"]["TimeLimit"] == "04:00:00"
    assert jobs["rule_tune"]["TimeLimit"] == "2-00:00:00"
    assert jobs["rule_prepare"]["MinMemoryNode"] == "16000M"
    assert jobs["rule_cases"]["MinMemoryNode"].startswith("400")  # and a few MB for small inputs


def listed(environment) -> dict[str, dict[str, str]]:
    """What SLURM remembers of ended jobs, by their comments, which name rule and wildcards."""
    lines = cluster.ask(environment, "scontrol", "--oneliner", "show", "jobs").splitlines()
    jobs = [dict(p.split("=", 1) for p in line.split() if "=" in p) for line in lines]
    return {job["Comment"]: job for job in jobs}


def asks_for_gpu(job: dict[str, str]) -> bool:
    return "gpu" in job.get("TresPerJob", "")


@pytest.fixture(scope="module")
def ended(slurm, copy) -> str:
    """What Snakemake says of jobs that end badly; that it ends at all is half of the test."""
    command = call(CONFIG, *SOON, "--snakefile", "jobs.smk", "--", "bad", profile="slurm")
    with (copy / "bad.log").open("w+") as log:
        process = started(copy, *command, environment=slurm, stderr=log)
        while process.poll() is None:
            # SLURM then asks its nodes for their jobs, as it does every half hour.
            cluster.ask(slurm, "scontrol", "reconfigure")
            time.sleep(5)
        log.seek(0)
        return log.read()


@pytest.mark.parametrize("rule", ["fails", "is_cancelled", "loses_its_step", "loses_its_batch"])
def test_a_job_that_ends_badly_is_reported(ended, rule):
    assert f"Error in rule {rule}" in ended


def test_a_job_runs_with_the_python_that_submitted_it_and_gpus_go_to_whom_asks(slurm, copy):
    environment = slurm | {"PATH": f"{Path(slurm['SLURM_CONF']).parent}/bin:/usr/bin:/bin"}
    command = call(CONFIG, *SOON, "--snakefile", "jobs.smk", "--", "good", profile="slurm")
    done = run(copy, *command, environment=environment)
    assert done.returncode == 0, done.stderr[-6000:]
    said = {name: (copy / f"{name}.txt").read_text().split() for name in ("plain", "with_gpu")}
    assert {python for python, _ in said.values()} == {sys.executable}
    assert said["with_gpu"][1] == "gpu"
    jobs = listed(slurm)
    assert asks_for_gpu(jobs["rule_with_gpu"]) and not asks_for_gpu(jobs["rule_plain"])


def test_a_study_on_gpus_asks_for_them_where_they_are_used(slurm, copy):
    """Preparing needs none, and works on a node without one. Training would, and is sent to one."""
    (copy / "gpus.yaml").write_text(TINY.replace("name: tiny", "name: gpus\ndevice: cuda"))
    network = "results/gpus/networks/knee.safetensors"
    done = run(copy, *call("gpus.yaml", *SOON, "--", network, profile="slurm"), environment=slurm)
    assert len(list((copy / "results/gpus/data/knee").glob("*.h5"))) == 2, done.stderr[-6000:]
    jobs = listed(slurm)
    assert not asks_for_gpu(jobs["rule_prepare_wildcards_knee_0"])
    assert asks_for_gpu(jobs["rule_network_wildcards_knee"])
    assert jobs["rule_network_wildcards_knee"]["NodeList"] == "gpu"


def test_a_run_is_refused_while_jobs_of_a_killed_one_are_at_work(slurm, copy):
    """Two jobs would write the same files. Once they are gone the same call goes on."""
    command = call(CONFIG, *SOON, "--snakefile", "jobs.smk", "--", "waits.txt", profile="slurm")
    victim = started(copy, *command, environment=slurm, stderr=subprocess.DEVNULL)
    queued = ["squeue", "--noheader", "--format=%i"]
    deadline = time.monotonic() + 120
    while not (job := cluster.ask(slurm, *queued).strip()) and time.monotonic() < deadline:
        time.sleep(0.5)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    refused = run(copy, *command, environment=slurm)
    assert refused.returncode == 2 and f"scancel {job}" in refused.stderr
    cluster.ask(slurm, "scancel", job)
    while cluster.ask(slurm, *queued).strip() and time.monotonic() < deadline:
        time.sleep(0.5)
    (copy / "go").touch()
    again = run(copy, *command, environment=slurm)
    assert again.returncode == 0 and (copy / "waits.txt").exists(), again.stderr[-6000:]
