"""A SLURM cluster on this machine: a controller and two virtual nodes, one with a GPU that is none.

It needs no systemd, no cgroups and no accounting. Its configuration, state, spool and logs lie in
one folder. Its own munge and free ports keep it apart from any other cluster on the machine.
"""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "srun", "scancel", "setpriv")
PLACES = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"  # daemons may lie in sbin

# A node has one core and states more memory than it has, so that two jobs run at a time, whatever
# they ask for. It remembers ended jobs for as long as the tests look at them.
CONTROLLER = """\
ClusterName=virtual
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=sched_interval=5,bf_interval=5
ReturnToService=2
MinJobAge=7200
KillWait=2
MpiDefault=none
GresTypes=gpu
NodeName=plain NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=500000
NodeName=gpu NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=500000 \
Gres=gpu:1
PartitionName=all Nodes=plain,gpu Default=YES MaxTime=INFINITE State=UP
"""


# The profile asks for jobs every 40 seconds, which suits jobs of hours.
SOON = ["--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "3"]


def missing() -> list[str]:
    """The programs of SLURM and munge that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=PLACES) is None]


@contextmanager
def running(folder: Path) -> Iterator[dict[str, str]]:
    """Starts the cluster in ``folder``; gives the environment in which SLURM's programs find it.

    At the end, however it comes, its jobs are cancelled and its processes have ended.
    """
    environment = os.environ | {
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PATH": f"{folder}/bin:{PLACES}",
    }
    _write(folder)
    with ExitStack() as stack:
        stack.callback(_kill_those_left, folder)
        for command in _daemons(folder):
            stack.enter_context(_daemon(command, environment, folder))
            if command[0] == "munged":
                _wait(lambda: (folder / "munge.socket").is_socket(), "munge does not answer")
        _wait(lambda: _idle(environment) == 2, f"no two nodes are idle; see {folder}/*.log")
        stack.callback(_cancel_all, environment)
        yield environment


def _write(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    text = CONTROLLER.format(folder=folder, user=getpass.getuser(), ports=_free_ports(3))
    (folder / "slurm.conf").write_text(text)
    (folder / "gres.conf").write_text("NodeName=gpu Name=gpu File=/dev/null\n")
    # The executor's jobs call srun without the variables of SLURM, the one that finds this cluster
    # among them. So the first srun on the path brings it back.
    srun = folder / "bin" / "srun"
    srun.parent.mkdir()
    program = shutil.which("srun", path=PLACES)
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {program} "$@"\n')
    srun.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _daemons(folder: Path) -> list[list[str]]:
    files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log"}
    options = [f"--{option}={folder}/munge.{suffix}" for option, suffix in files.items()]
    seed = f"--seed-file={folder}/munge.seed"
    return [
        ["munged", "--foreground", "--force", seed, *options],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", "plain"],
        ["slurmd", "-D", "-N", "gpu"],
    ]


@contextmanager
def _daemon(command: list[str], environment: dict[str, str], folder: Path) -> Iterator[None]:
    """One daemon, in a session of its own, so that Ctrl-C reaches it through this process only."""
    # Where this process is killed, the kernel ends the daemon.
    ended_with_parent = ["setpriv", "--pdeathsig", "TERM"]
    program = shutil.which(command[0], path=PLACES)
    with (folder / "output.log").open("a") as log:
        process = subprocess.Popen(
            [*ended_with_parent, program, *command[1:]],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _idle(environment: dict[str, str]) -> int:
    done = ask(environment, "sinfo", "--noheader", "--Node", "--format=%T")
    return done.split().count("idle")


def _cancel_all(environment: dict[str, str]) -> None:
    """Ends all jobs: a daemon that stops leaves its jobs running."""
    ask(environment, "scancel", f"--user={getpass.getuser()}")
    _wait(lambda: not ask(environment, "squeue", "--noheader"), "jobs do not end")


def _kill_those_left(folder: Path) -> None:
    """Ends what no daemon watches over: programs that found the cluster by their path."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if f"{folder}/bin" in process.environ().get("PATH", ""):
                process.kill()


def ask(environment: dict[str, str], *command: str) -> str:
    """What a program of SLURM prints; empty where it fails."""
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout


def _wait(condition, otherwise: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.2)
