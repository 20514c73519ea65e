"""Steps that are forked from a process with all imports are those that jobs would be themselves."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recon.schema import ROOT
from workflow.scripts import warm

STEP = [sys.executable, "-m", "workflow.scripts.step", "--config"]
STARTER = "import sys, time; from workflow.scripts import warm; warm.start(1)"
SAYS = f"{STARTER}; print(__import__('os').environ[warm.FOLDER], flush=True); time.sleep(1000)"


def listens(folder: Path, threads: int = 1) -> bool:
    """Waits until the process listens."""
    end = time.monotonic() + 120
    while not (folder / str(threads)).exists() and time.monotonic() < end:
        time.sleep(0.1)
    return (folder / str(threads)).exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a process listens that ends with the test, and that says nothing of its own."""
    said = tmp_path_factory.mktemp("warm") / "said"
    with said.open("w") as file:
        starter = subprocess.Popen(
            [sys.executable, "-c", SAYS], cwd=ROOT, stdout=subprocess.PIPE, stderr=file, text=True
        )
    found = Path(starter.stdout.readline().strip())
    assert listens(found)
    yield found
    starter.kill()  # as hard as it gets
    end = time.monotonic() + 30
    while found.exists() and time.monotonic() < end:
        time.sleep(0.1)
    assert not found.exists(), "it ends with the process that started it, and leaves nothing"
    assert not said.read_text()


def called(folder: Path, *arguments: str, threads: int = 1, **options) -> subprocess.Popen:
    """A step as a job calls it."""
    found = {warm.FOLDER: str(folder), warm.THREADS: str(threads), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*STEP, *arguments], env=os.environ | found, **options)


def test_output_and_status_are_those_of_the_step(folder, tmp_path):
    """The folder, too: the configuration is found there."""
    (tmp_path / "bad.yaml").write_text("nothing: 1")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    said = {}
    for threads in (1, 7):  # Nobody listens for seven, so that step is its own process.
        step = called(folder, "bad.yaml", "prepare", "a", "1", threads=threads, **pipes)
        said[threads] = (*step.communicate(), step.returncode)
    assert said[1] == said[7] and said[1][2] == 2 and said[1][1].startswith("Error: bad.yaml")


def test_nobody_listens_without_the_variable(monkeypatch):
    monkeypatch.delenv(warm.FOLDER, raising=False)
    assert warm.ask(["--help"]) is None


def test_who_says_nothing_harms_nobody(folder):
    """A job may die between two of its words."""
    for said in (b"", b"0"):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(folder / "1"))
            line.sendall(said)
    step = called(folder, "bad.yaml", "gallery", stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert "bad.yaml" in step.communicate()[1] and folder.exists()


SLEEPS = """
import os, subprocess, sys, time
from workflow.scripts import step, warm

def main(arguments):
    print(os.getpid(), subprocess.run("exit 3", shell=True).returncode, warm.FOLDER in os.environ)
    sys.stdout.flush()
    time.sleep(1000)

step.main = main
warm.NEEDED = ()
on_disk = iter([1, *sys.argv[3:]])
warm.code = lambda: next(on_disk, 1)
warm.serve(sys.argv[1], int(sys.argv[2]))
"""


@pytest.fixture
def sleeper(tmp_path):
    """A process whose steps sleep, and the line that one has said."""
    lives, ours = os.pipe()
    server = subprocess.Popen(
        [sys.executable, "-c", SLEEPS, str(tmp_path / "1"), str(lives)], cwd=ROOT, pass_fds=[lives]
    )
    assert listens(tmp_path)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    step = called(tmp_path, "x", "gallery", **pipes, cwd=ROOT)
    yield step, step.stdout.readline().split()
    os.close(lives)
    os.close(ours)
    assert server.wait(30) == 0
    step.kill()


def test_code_that_changed_is_not_run_as_it_was(tmp_path):
    lives, ours = os.pipe()
    given = [str(tmp_path / "1"), str(lives), "another"]
    server = subprocess.Popen([sys.executable, "-c", SLEEPS, *given], cwd=ROOT, pass_fds=[lives])
    assert listens(tmp_path)
    step = called(tmp_path, "bad.yaml", "gallery", stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert "bad.yaml" in step.communicate()[1], "the job is the step itself"
    assert server.wait(30) == 0
    os.close(lives)
    os.close(ours)


def alive(process: int) -> bool:
    """Whether a process ends within ten seconds, said the other way round."""
    end = time.monotonic() + 10
    while Path(f"/proc/{process}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    return Path(f"/proc/{process}").exists()


def test_a_step_sees_its_own_children_end_and_asks_nobody_itself(sleeper):
    step, (process, *said) = sleeper
    assert said == ["3", "False"] and int(process) != step.pid


def test_a_step_ends_with_the_job_that_asked(sleeper):
    step, (process, *_) = sleeper
    step.kill()
    assert not alive(int(process))


def test_a_job_says_that_its_step_was_killed(sleeper):
    step, (process, *_) = sleeper
    os.kill(int(process), signal.SIGKILL)
    assert step.wait(30) == 128 + signal.SIGKILL and "SIGKILL" in step.stderr.read()
