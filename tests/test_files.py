"""Files are whole or not there, and what killed processes left is swept."""

import os
import subprocess
import sys
import threading

import pytest

from recon import files
from recon.files import alone, partial, sweep, whole, write_text


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), whole(path) as part:
        part.write_text("half")
        assert path.read_text() == "old"
        raise ZeroDivisionError
    assert path.read_text() == "old" and os.listdir(path.parent) == ["a.txt"]


def test_the_sweep_takes_what_dead_processes_of_this_machine_left_and_nothing_else(tmp_path):
    """Not the file of a living process, nor of another machine, nor a resumable download."""
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True
    )
    left = tmp_path / "deep" / f"a.h5.{files.HOST}.{int(dead.stdout)}.part"
    left.parent.mkdir()
    kept = [
        partial(tmp_path / "mine.h5"),
        tmp_path / f"b.h5.another-host.{int(dead.stdout)}.part",
        tmp_path / "download.zip.part",
        tmp_path / "deep" / "a.h5",
    ]
    for path in (left, *kept):
        path.write_text("")
    assert sweep(tmp_path) == [left]
    assert not left.exists() and all(path.exists() for path in kept)


def test_of_two_that_want_the_same_the_second_waits(tmp_path):
    order, waiting = [], threading.Event()

    def second() -> None:
        waiting.set()
        with alone(tmp_path / "sub" / "x.lock"):
            order.append("second")

    with alone(tmp_path / "sub" / "x.lock"):
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
