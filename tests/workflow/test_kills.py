"""A run that is killed anywhere, any number of times, ends as if nobody had touched it.

A run of ``tiny.yaml`` is killed in every phase, from the download to the gallery, and called again
each time. ``make kills CONFIG=smoke`` does the same to a larger configuration.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import nbformat
import pandas as pd
import PIL.Image
import pytest
import torch
import yaml
from safetensors.torch import load_file

from recon.schema import ROOT
from recon.study.config import load
from tests.data.writers import coil_images, write_stanford
from tests.download.http_server import Server
from tests.workflow.repository import call, copied, surroundings, workflow

CONFIG = os.environ.get("KILLED_CONFIG", "tiny.yaml")
NAME = Path(CONFIG).stem
# How often a run is killed in each phase, and how long after its first job of that phase began at
# most, in units of the time that the run took to begin any job. So slow machines are killed later.
PHASES = {
    "download": (3, 0.5),
    "prepare": (3, 0.8),
    "networks": (4, 1.5),
    "tuning": (3, 1.2),
    "cases": (3, 1.2),
    "notebooks": (3, 1.5),
    "gallery": (2, 0.5),
}
COSTS = ["seconds", "peak_memory_mb", "key"]  # a key hashes weights, whose header has seconds


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[tuple[Server, bytes]]:
    """A slow server with one measured scan."""
    file = write_stanford(tmp_path_factory.mktemp("served"), "a", coil_images((16, 24, 24), 3))
    with Server() as server:
        server.put("a", file.read_bytes(), always="slow 0.5")
        yield server, file.read_bytes()
        server.shutdown()


def repository(target: Path, server: Server) -> Path:
    """A copy whose registry has the one scan."""
    copied(target)
    (target / "tiny.yaml").write_text((ROOT / "tests/workflow/tiny.yaml").read_text())
    path = target / "data/registry.yaml"
    registry = yaml.safe_load(path.read_text())
    registry["stanford"] |= {"mirrors": [server.url("{subject}")], "splits": {"test": ["a"]}}
    path.write_text(yaml.safe_dump(registry))
    return target


def start(copy: Path) -> subprocess.Popen:
    """A download and a run, in a process group of their own."""
    fetch = [sys.executable, "-m", "recon", "fetch", "stanford"]
    run = [sys.executable, "-m", *call(CONFIG, "--cores", "1")]
    with (copy / "output.txt").open("w") as output:
        return subprocess.Popen(
            ["bash", "-c", f"{' '.join(fetch)} && exec {' '.join(run)}"],
            cwd=copy,
            env=surroundings(copy) | {"OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finish(copy: Path, run: subprocess.Popen) -> None:
    """Waits for the end of a run."""
    assert run.wait() == 0, (copy / "output.txt").read_text()[-4000:]


def phase_of(copy: Path, since: float) -> str | None:
    """The phase of the last job that began after ``since``; None before the first one."""
    logs = [p for p in (copy / "logs" / NAME).rglob("*.log") if p.stat().st_mtime > since]
    if not logs:
        part = copy / "data/downloads/stanford/a.h5.part"
        return "download" if part.exists() and part.stat().st_mtime > since else None
    last = max(logs, key=lambda path: path.stat().st_mtime)
    return last.relative_to(copy / "logs" / NAME).parts[0].removesuffix(".log")


def kill(copy: Path, phase: str, longest: float, draw: random.Random) -> str | None:
    """Starts a run and kills it in a phase, or in a later one where that is done.

    Returns the phase in which it died; None where it ended before.
    """
    order, begun = list(PHASES), time.time()
    victim, now, unit = start(copy), None, 0.0
    while victim.poll() is None:
        now = phase_of(copy, begun)
        unit = unit or (now is not None) * (time.time() - begun)
        early = phase == "networks" and now == "tuning"  # of a method without a network
        if now is not None and order.index(now) >= order.index(phase) and not early:
            break
        time.sleep(0.05)
    ended = time.time() + draw.uniform(0, longest) * unit
    later = order[order.index(now or phase) + 1 :]  # a short phase must not pass unharmed
    while victim.poll() is None and time.time() < ended and phase_of(copy, begun) not in later:
        time.sleep(0.02)
    if victim.poll() is not None:
        assert victim.returncode == 0, (copy / "output.txt").read_text()[-4000:]
        return None
    now = phase_of(copy, begun) or now
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    return now


OPENERS = {
    ".h5": lambda path: h5py.File(path).close(),
    ".safetensors": load_file,
    ".ckpt": load_file,
    ".earlier": load_file,
    ".json": lambda path: json.loads(path.read_text()),
    ".jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
    ".csv": pd.read_csv,
    ".png": lambda path: PIL.Image.open(path).load(),
    ".svg": lambda path: path.read_text().rindex("</svg>"),
    ".html": lambda path: path.read_text().rindex("</html>"),
    ".md": lambda path: ("\n" + path.read_text()).rindex("\n", -1),
    ".ipynb": lambda path: nbformat.read(path, nbformat.NO_CONVERT),
}


def check_whole(copy: Path) -> int:
    """Opens every file under a final name; returns how many there are."""
    folders = (copy / "results", copy / "figures", copy / "data/downloads")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    waiting = (".part", ".part.json", ".lock")  # downloads that go on, and locks
    final = [p for p in files if not (p.name.endswith(waiting) or p.suffix == ".flock")]
    for path in final:
        try:
            OPENERS[path.suffix](path)
        except FileNotFoundError:  # an orphaned kernel has just replaced it
            assert path.exists()
        except Exception as error:
            pytest.fail(f"{path.relative_to(copy)} is not whole: {error!r}")
    return len(final)


def kept(copy: Path) -> dict[Path, int]:
    """The cases and scores that are done, with the times at which they were written."""
    results = copy / "results" / NAME
    done = [*results.glob("cases/*.h5"), *results.glob("scores/*.json")]
    return {path: path.stat().st_mtime_ns for path in done}


def trained(copy: Path) -> dict[str, list[int]]:
    """The steps that the logs of trainings report as done, since they were called last."""
    logs = (copy / "logs" / NAME / "networks").glob("*.log")
    return {p.stem: list(map(int, re.findall(r"^step (\d+):", p.read_text(), re.M))) for p in logs}


@pytest.fixture(scope="module")
def runs(tmp_path_factory, served) -> dict:
    """An undisturbed run, and one that was killed; what was seen at each kill."""
    server, body = served
    whole, victim = (repository(tmp_path_factory.mktemp(n), server) for n in ("whole", "killed"))
    undisturbed = start(whole)
    draw, died, steps, done = random.Random(int(os.environ.get("SEED", 0))), [], [], {}
    for phase, (times, longest) in PHASES.items():
        for repeated in range(times):  # once as soon as it begins: a phase may be short
            died.append(kill(victim, phase, longest if repeated else 0.0, draw))
            print(f"killed in {died[-1]}", flush=True)
            check_whole(victim)
            steps.append(trained(victim))
            found = kept(victim)
            again = [path.name for path in done if found.get(path) != done[path]]
            assert not again, f"done again, or lost: {again}"
            done = found
    finish(victim, start(victim))
    finish(whole, undisturbed)
    died = [phase for phase in died if phase is not None]
    return {"whole": whole, "killed": victim, "died": died, "steps": steps, "body": body}


def test_it_was_killed_at_least_20_times_in_every_phase(runs):
    assert len(runs["died"]) >= 20 and set(runs["died"]) == set(PHASES)


def test_what_was_fetched_is_what_is_served(runs):
    assert (runs["killed"] / "data/downloads/stanford/a.h5").read_bytes() == runs["body"]


def test_a_kill_costs_less_than_one_interval_of_a_training(runs):
    """No step that a log reports is done again, and none is left out."""
    path = runs["killed"] / CONFIG
    networks = load(str(path) if path.exists() else CONFIG).networks
    for name in {name for logs in runs["steps"] for name in logs}:
        every, seen = networks[name].check_every, []
        for found in (logs.get(name, []) for logs in runs["steps"]):
            if found and found != seen[-len(found) :]:
                assert not seen or found[0] in (seen[-1] + every, seen[-1] + 2 * every)
                seen += found
        assert seen == sorted(set(seen)), seen


def test_tables_equal_those_of_an_undisturbed_run(runs):
    """All columns but seconds and memory, bit for bit."""
    names = sorted(p.relative_to(runs["whole"]) for p in runs["whole"].rglob(f"*/{NAME}/**/*.csv"))
    assert len([name for name in names if "tables" in name.parts]) >= 2
    for name in names:
        if "traces" in name.parts:
            continue  # named by keys; what they hold is in a table of the figures
        one, other = (pd.read_csv(runs[k] / name) for k in ("whole", "killed"))
        measured = [column for column in one if column not in COSTS]
        pd.testing.assert_frame_equal(one[measured], other[measured], check_exact=True)


def test_pictures_and_scorecard_equal_those_of_an_undisturbed_run(runs):
    folder = runs["whole"] / "figures" / NAME
    pictures = [p for p in folder.iterdir() if p.suffix in (".png", ".svg")]
    for path in [*pictures, folder / "scorecard.json"]:
        assert path.read_bytes() == (runs["killed"] / "figures" / NAME / path.name).read_bytes()
    assert len(pictures) >= 3


def test_weights_equal_those_of_an_undisturbed_run(runs):
    for path in (runs["whole"] / "results" / NAME / "networks").glob("*.safetensors"):
        one = load_file(path)
        other = load_file(runs["killed"] / path.relative_to(runs["whole"]))
        assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


# What a finished run does again


def jobs(copy: Path, config: str = CONFIG) -> list[str]:
    """The jobs that a run would do, as rule and wildcards; a dry run says it."""
    done = workflow(copy, config, "--dry-run")
    assert done.returncode == 0, done.stderr[-3000:]
    rules = re.findall(r"^(?:local)?rule (\w+):\n((?: {4}.*\n)*)", done.stdout + done.stderr, re.M)
    out = []
    for rule, text in rules:
        found = re.search(r"wildcards: (.*)", text)
        values = [pair.split("=")[1] for pair in found[1].split(", ")] if found else []
        out.append(" ".join([rule, *values]))
    return sorted(set(out) - {"all"})


def changed(copy: Path, change: dict) -> list[str]:
    """The jobs after a change of the configuration: nested keys and a value."""
    config = yaml.safe_load((copy / "tiny.yaml").read_text())

    def merge(old: dict, new: dict) -> dict:
        parts = {k: merge(old[k], v) if isinstance(v, dict) else v for k, v in new.items()}
        return old | parts

    (copy / "changed.yaml").write_text(yaml.safe_dump(merge(config, change), sort_keys=False))
    return jobs(copy, "changed.yaml")


TABLE = "10_methods_without_shift"
SHOWN = ["gallery", f"notebook {TABLE}"]
KNEE = f"cases {TABLE} knee 200"


@pytest.mark.skipif(CONFIG != "tiny.yaml", reason="the expected jobs are those of tiny.yaml")
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"title": "Another"}, []),
        ({"methods": {"annealed": {"steps": 7}}}, [KNEE, *SHOWN, "tune knee annealed"]),
        (
            {"datasets": {"knee": {"noise": 0.06}}},
            [KNEE, f"cases {TABLE} stanford a", *SHOWN, "network knee"]
            + ["prepare knee 0", "prepare knee 100", "prepare knee 200"]
            + ["tune knee annealed", "tune knee zero_filled"],
        ),
        (
            {"accelerations": [2, 4]},
            [KNEE, f"cases {TABLE} stanford a", *SHOWN]
            + ["tune knee annealed", "tune knee zero_filled"],
        ),
        (
            {"networks": {"knee": {"steps": 210}}},
            [KNEE, *SHOWN, "network knee", "tune knee annealed"],
        ),
    ],
    ids=["title", "method", "noise", "accelerations", "steps"],
)
def test_a_changed_configuration_redoes_what_depends_on_it(runs, change, expected):
    found = changed(runs["whole"], change)
    needed = set(expected) - {f"cases {TABLE} stanford a"}
    assert needed <= set(found) <= set(expected), found


@pytest.mark.skipif(CONFIG != "tiny.yaml", reason="the expected jobs are those of tiny.yaml")
def test_a_clock_that_was_ahead_redoes_nothing_and_hides_nothing(runs):
    """All was made by a clock that was a day ahead. Then the clock is right, and one input changes.

    Without `recon.files.recall` the change would be older than what was made of it.
    """
    copy, day = runs["whole"], 24 * 3600 * 10**9
    for folder in ("results", "figures", "notebooks", "data/priors", "data/tuning"):
        for path in (p for p in (copy / folder).rglob("*") if p.is_file()):
            written = path.stat().st_mtime_ns + day
            os.utime(path, ns=(written, written))
    assert jobs(copy) == []
    volume = copy / "results/tiny/data/knee/200.h5"
    volume.write_bytes(volume.read_bytes() + b"\0")
    assert {KNEE, *SHOWN} <= set(jobs(copy)) and "network knee" not in jobs(copy)
