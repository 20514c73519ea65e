"""A process that has imported what steps need, and forks one whenever a job asks.

Importing takes three seconds, which every job would pay for, however short it is. The process ends
with the run that started it. Where it cannot be reached, a job is a step itself.
"""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NoReturn

FOLDER = "RECON_WARM"  # the environment variable that says where the process listens
THREADS = "OMP_NUM_THREADS"  # Snakemake sets it for every job; libraries read it when they load
NEEDED = ("recon.study.tuning", "recon.training.loop", "workflow.scripts.notebooks")
KILLED = 128 + signal.SIGKILL


def start(threads: int) -> None:
    """Starts the process, for jobs of so many threads; those of this process find it."""
    folder = tempfile.mkdtemp(prefix="recon-")  # which nobody else may enter
    lives, ours = os.pipe()  # ``ours`` is closed when this process ends, however it does
    os.set_inheritable(lives, True)
    command = [sys.executable, "-m", "workflow.scripts.warm", f"{folder}/{threads}", str(lives)]
    environment = os.environ | {THREADS: str(threads)}
    subprocess.Popen(command, env=environment, pass_fds=[lives], stdin=subprocess.DEVNULL)
    os.close(lives)
    os.environ[FOLDER] = folder


def ask(arguments: list[str]) -> int | None:
    """The exit status of a step that the process runs for this one; None where there is none.

    The step has the folder, the environment and the open files of this process, and ends with it.
    """
    line = socket.socket(socket.AF_UNIX)
    try:
        line.connect(str(Path(os.environ[FOLDER], os.environ[THREADS])))
    except (KeyError, OSError):
        return None
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    with line:
        socket.send_fds(line, [b"0"], [0, 1, 2])
        line.sendall(json.dumps(request).encode() + b"\n")
        answer = line.makefile().readline()
    return int(answer) if answer else KILLED


def serve(address: str, lives: int) -> None:
    """Forks a step for everyone who asks at ``address``, until the pipe ``lives`` is closed."""
    from workflow.scripts.step import main

    for module in NEEDED:
        import_module(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Nobody waits for the steps.
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        while lives not in select.select([listener, lives], [], [])[0]:
            line, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _become(main, line)
            line.close()


def _become(main: Callable[[list[str]], int], line: socket.socket) -> NoReturn:
    """Makes this process the step that is asked for over ``line``, and ends it."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, *_ = socket.recv_fds(line, 1, 3)
    request = json.loads(line.makefile().readline())
    for target, file in enumerate(files):
        os.dup2(file, target)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    del os.environ[FOLDER]  # A step that starts others starts them itself.
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()
    status = 1
    try:
        status = main(request["arguments"])
    except SystemExit as ended:
        status = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    line.sendall(f"{status}\n".encode())
    os._exit(status)


def _end_with(line: socket.socket) -> None:
    """Ends this process when the one that asked for it has ended."""
    line.recv(1)
    os._exit(1)


if __name__ == "__main__":
    place = Path(sys.argv[1])
    try:
        serve(str(place), int(sys.argv[2]))
    finally:
        shutil.rmtree(place.parent, ignore_errors=True)
