"""Files are whole or not there, and what killed processes left is swept."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from recon import files
from recon.files import alone, partial, recall, sweep, whole, write_json, write_text


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


def test_what_is_written_reaches_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """So a power cut leaves the old file or the new one, and no empty one."""
    order, replace = [], os.replace
    monkeypatch.setattr(os, "fsync", lambda file: order.append("synced"))
    monkeypatch.setattr(os, "replace", lambda *pair: (order.append("named"), replace(*pair)))
    write_text(tmp_path / "a.txt", "new")
    assert order == ["synced", "named"]


def test_files_from_the_future_are_dated_to_now_in_their_order(tmp_path):
    """Old ones keep their time; what is written next is younger than all."""
    day = 24 * 3600 * 10**9
    now = time.time_ns()
    stamps = {"old": now - day, "first": now + day, "second": now + 2 * day, "third": now + 3 * day}
    for name, stamp in stamps.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, ns=(stamp, stamp))
    assert [path.name for path in recall(tmp_path)] == ["first", "second", "third"]
    time.sleep(0.01)
    (tmp_path / "next").touch()
    found = sorted(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert [path.name for path in found] == ["old", "first", "second", "third", "next"]
    assert (tmp_path / "old").stat().st_mtime_ns == now - day
    assert recall(tmp_path) == []


@pytest.mark.parametrize("value", [{"a": [1, {"b": None}], "ö": "\n"}, [{"a": 1}, [2]], {}, []])
def test_json_has_one_line_for_each_entry(tmp_path, value):
    path = tmp_path / "a.json"
    write_json(path, value)
    assert json.loads(path.read_text()) == value
    assert len(path.read_text().splitlines()) == 2 + max(len(value), 1)
