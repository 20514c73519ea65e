"""A process that has imported what steps need, and forks one whenever a job asks.

Importing takes three seconds, which every job would pay for, however short it is. The process ends
with the run that started it, and when code changes on disk. Where it cannot be reached, a job is a
step itself.
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
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from recon.schema import ROOT

FOLDER = "RECON_WARM"  # the environment variable that says where the process listens
THREADS = "OMP_NUM_THREADS"
# Snakemake sets these for every job. Libraries read them when they load.
COUNTS = (THREADS, *(f"{x}_NUM_THREADS" for x in ("GOTO", "OPENBLAS", "MKL", "VECLIB", "NUMEXPR")))
NEEDED = ("recon.study.tuning", "recon.training.loop", "workflow.scripts.notebooks")
TAKEN = b"taken\n"  # what a step says first: from here on it is the job


def start(threads: int) -> None:
    """Starts the process, for jobs of so many threads; those of this process find it."""
    forget()
    folder = tempfile.mkdtemp(prefix="recon-")  # which nobody else may enter
    lives, ours = os.pipe()  # ``ours`` is closed when this process ends, however it does
    os.set_inheritable(lives, True)
    command = [sys.executable, "-m", "workflow.scripts.warm", f"{folder}/{threads}", str(lives)]
    environment = os.environ | dict.fromkeys(COUNTS, str(threads))
    subprocess.Popen(command, env=environment, pass_fds=[lives], stdin=subprocess.DEVNULL)
    os.close(lives)
    os.environ[FOLDER] = folder


def forget() -> None:
    """Deletes what killed processes of ours have left: sockets that nobody listens at."""
    for left in Path(tempfile.gettempdir()).glob("recon-*/*"):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as line:
            if left.is_socket() and left.stat().st_uid == os.getuid():
                if line.connect_ex(str(left)) != 0:
                    shutil.rmtree(left.parent, ignore_errors=True)


def ask(arguments: list[str]) -> int | None:
    """The exit status of a step that the process runs for this one; None where there is none.

    The step has the folder, the environment and the open files of this process, and ends with it.
    """
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(Path(os.environ[FOLDER], os.environ[THREADS])))
            socket.send_fds(line, [b"0"], [0, 1, 2])
            line.sendall(json.dumps(request).encode() + b"\n")
            answers = line.makefile("rb")
            if answers.readline() != TAKEN:
                return None
        except (KeyError, OSError):
            return None
        status = int(answers.readline() or 128 + signal.SIGKILL)  # or that process was killed
    if status > 128:
        print(f"Error: the step was ended by {signal.Signals(status - 128).name}", file=sys.stderr)
    return status


def serve(address: str, lives: int) -> None:
    """Forks a step for everyone who asks at ``address``, until the pipe ``lives`` is closed.

    It ends as well when it would run other code than lies on disk.
    """
    found = code()
    from workflow.scripts.step import main

    for module in NEEDED:
        import_module(module)
    ended, woken = socket.socketpair()  # says that a step has ended
    woken.setblocking(False)
    signal.set_wakeup_fd(woken.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for Snakemake, which ends the jobs
    for one in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, lambda *_: sys.exit())
    asking: dict[int, socket.socket] = {}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        current = True
        while current or asking:
            ready = select.select([*([listener, lives] if current else []), ended], [], [])[0]
            if lives in ready:
                return
            if ended in ready:
                ended.recv(4096)
                _tell(asking)
            if listener in ready:
                line, _ = listener.accept()
                current = code() == found
                if current:
                    with suppress(OSError):  # no process, or no memory for one: it is told nothing
                        process = os.fork()
                        if process == 0:
                            for other in (listener, *asking.values()):  # the server's alone
                                other.close()
                            _become(main, line)
                        asking[process] = line
                        continue
                line.close()
                if not current:
                    listener.close()
                    Path(address).unlink(missing_ok=True)


def code() -> list[tuple[str, int, int]]:
    """The files of code, each with its date and its size."""
    files = [path for folder in ("recon", "workflow") for path in (ROOT / folder).rglob("*.py")]
    return sorted((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files)


def _tell(asking: dict[int, socket.socket]) -> None:
    """Tells those whose steps have ended with what status; a signal is 128 and its number."""
    for process in list(asking):
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            found = os.waitstatus_to_exitcode(status)
            with suppress(OSError), asking.pop(process) as line:
                line.sendall(f"{found if found >= 0 else 128 - found}\n".encode())


def _become(main: Callable[[list[str]], int], line: socket.socket) -> NoReturn:
    """Makes this process the step that is asked for over ``line``, and ends it."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        for one in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
            signal.signal(one, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _, files, *_ = socket.recv_fds(line, 1, 3)
        if not files:  # another run's `forget` asks whether anybody listens
            sys.exit()
        request = json.loads(line.makefile().readline())
        os.chdir(request["folder"])
        line.sendall(TAKEN)
        for target, file in enumerate(files):
            os.dup2(file, target)
            os.close(file)
        os.environ.clear()
        os.environ.update(request["environment"])
        del os.environ[FOLDER]  # A step that starts others starts them itself.
        threading.Thread(target=_end_with, args=(line,), daemon=True).start()
        status = main(request["arguments"])
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:  # whatever happens, this process must not go on as the one that it was forked from
        sys.stdout.flush()
        sys.stderr.flush()
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
