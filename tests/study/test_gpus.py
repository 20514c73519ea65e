"""Jobs share GPUs: faked by their names, with real processes."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from recon import ReconError
from recon.schema import ROOT
from recon.study import gpus

HOLDER = """
import sys, time
from pathlib import Path
from recon.study.gpus import taken
folder, count, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
with taken(["0", "GPU-a/1", "2"], count, folder) as mine:
    begun = time.time()
    print(*mine, flush=True)
    time.sleep(seconds)
    ended = time.time()
print(begun, ended)
"""


@pytest.fixture
def two(monkeypatch):
    """A machine with two GPUs, of which the environment says nothing."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def job(folder, count, seconds):
    """A process that holds so many of three GPUs."""
    command = [sys.executable, "-c", HOLDER, str(folder), str(count), str(seconds)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_no_two_jobs_hold_one_gpu_and_none_waits_forever(tmp_path):
    """Jobs for one, two and all of three GPUs, at once: two for two would wait for each other if
    each held one.
    """
    jobs = [job(tmp_path, count, 0.3) for count in (2, 2, 1, 3, 2)]
    held = []
    for process, count in zip(jobs, (2, 2, 1, 3, 2), strict=True):
        names, times = process.communicate(timeout=600)[0].splitlines()
        assert len(set(names.split())) == count
        held += [(name, *map(float, times.split())) for name in names.split()]
    for name in ("0", "GPU-a/1", "2"):
        spans = sorted(span for gpu, *span in held if gpu == name)
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


def test_a_killed_job_frees_its_gpus(tmp_path):
    victim = job(tmp_path, 3, 600)
    assert len(victim.stdout.readline().split()) == 3
    waiting = job(tmp_path, 2, 0)
    time.sleep(0.5)
    assert waiting.poll() is None
    victim.kill()
    victim.communicate()
    assert len(waiting.communicate(timeout=600)[0].split()) == 4 and waiting.returncode == 0


def test_a_job_sees_its_own_gpus_alone(two, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 7")
    seen = []
    for _ in range(2):
        with gpus.taken(["5"], 1, tmp_path), gpus.lent("cuda", 1, tmp_path):
            seen.append(os.environ["CUDA_VISIBLE_DEVICES"])
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert seen == ["7", "7"]
    with gpus.lent("cuda", 2, tmp_path):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "5,7"


def test_a_device_with_a_number_is_held_under_it(two, tmp_path):
    with gpus.lent("cuda:1", 1, tmp_path), gpus.taken(["0", "1"], 1, tmp_path) as free:
        assert free == ["0"] and "CUDA_VISIBLE_DEVICES" not in os.environ


def test_an_allocation_shares_what_it_was_given_and_knows_no_other(two, tmp_path, monkeypatch):
    """Its scheduler keeps others away; two allocations may call their GPUs alike."""
    with ExitStack() as held:
        for allocation in ("17", "18"):
            monkeypatch.setenv("SLURM_JOB_ID", allocation)
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
            held.enter_context(gpus.lent("cuda", 1, tmp_path))
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
        held.enter_context(gpus.lent("cuda", 1, tmp_path))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"


@pytest.mark.parametrize(
    ("given", "names"), [(None, ["0", "1"]), ("3,GPU-b", ["3", "GPU-b"]), ("4, 5,-1", ["4", "5"])]
)
def test_gpus_are_called_as_their_environment_calls_them(given, names, two, monkeypatch):
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus.visible() == names


@pytest.mark.parametrize(
    ("there", "device", "count", "words"),
    [
        (0, "cuda", 1, "device is cuda, but no GPU can be seen here; set 'device: cpu'"),
        (0, "cuda", 2, "processes is 2, but no GPU can be seen here; set 'device: cpu'"),
        (0, "cuda:1", 1, "device is cuda:1, but no GPU can be seen here; set 'device: cpu'"),
        (1, "cuda:1", 1, "device is cuda:1, but 1 GPU can be seen here; set 'device: cuda'"),
        (2, "cuda", 3, "processes is 3, but 2 GPUs can be seen here; set 'processes: 1'"),
    ],
)
def test_too_few_gpus_are_refused(there, device, count, words, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: there)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(ReconError) as error, gpus.lent(device, count, tmp_path):
        pass
    assert words in str(error.value)
    assert not list(tmp_path.iterdir())
