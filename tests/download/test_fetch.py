import gzip
import hashlib
import io
import json
import signal
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from types import SimpleNamespace

import h5py
import nibabel as nib
import numpy as np
import pytest

from recon import ReconError
from recon.__main__ import main
from recon.download import fetch, registry, transport
from recon.download.entries import SPLITS, bare
from recon.schema import ROOT
from tests.download.conftest import BODY, MD5, OTHER, SHA


def refused(arguments, capsys) -> str:
    """The one line that a failing command prints."""
    assert main(["fetch", *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("recon: ") and message.count("\n") == 1, message
    return message


def files(root: Path) -> set[str]:
    return {
        p.relative_to(root).as_posix()
        for p in root.rglob("*")
        if p.is_file() and not p.name.startswith(".")
    }


# One file


SOON = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)


@pytest.mark.parametrize(
    ("faults", "requests"),
    [
        ([], 1),
        (["slow 0.02"], 1),
        (["cut 100000"], 2),
        (["cut 100000", "cut 50000", "cut 20000"], 4),
        (["cut 100000", "hang-up", "hang-up", ""], 4),  # dies midway and comes back
        (["hang-up"], 2),
        (["status 503"], 2),
        (["status 500", "status 502"], 3),
        (["status 429 0"], 2),
        (["status 429 nonsense"], 2),
        (["status 503 " + SOON], 2),
        (["cut 100000", "ignores-range"], 2),
        (["cut 100000", "status 416"], 3),
        (["cut 100000", "shifted"], 3),
        (["gzip"], 1),
        (["cut 100000", "gzip"], 2),
        (["redirect /a"], 2),
    ],
)
@pytest.mark.parametrize("hashed", [True, False])
def test_a_passing_fault_is_survived(faults, requests, hashed, knee, root, server):
    path = knee(*faults, hashed=hashed)
    fetch.fetch("knees", ["a"])
    assert path.read_bytes() == BODY and len(server.asked) == requests
    assert files(root) == {"knees/a.bin"} | (set() if hashed else {"registry.lock.json"})
    assert all(
        h["User-Agent"].startswith("recon/") and h["Accept-Encoding"] == "identity"
        for _, h in server.asked
    )


@pytest.mark.parametrize(
    ("always", "words"),
    [
        ("status 404", "answers 404"),
        ("status 403", "answers 403"),
        ("status 503", "answers 503 (5 tries)"),
        ("status 429 4000", "asks to wait 4000 s"),
        ("flipped", "differs from the sha256 of registry.yaml"),
        ("longer", "offers 300001 bytes, not the 300000 of registry.yaml"),
        ("empty", "offers 0 bytes"),
        ("redirect /a", "TooManyRedirects"),
        ("redirect file:///etc/passwd", "leads from http to file"),
        ("hang-up", "broke off (ConnectionError) (5 tries)"),
    ],
)
def test_a_lasting_fault_is_one_line_and_leaves_nothing(always, words, knee, root, server, capsys):
    knee(always=always)
    message = refused(["knees"], capsys)
    assert words in message and "knees/a.bin" in message and server.url("a") in message
    assert files(root) == set()


def test_an_empty_body_is_refused_where_no_size_is_known(knee, root, capsys):
    knee(always="empty", hashed=False)
    assert "is empty" in refused(["knees"], capsys) and files(root) == set()


def test_a_login_page_is_not_taken_for_data(server, root, declare, capsys):
    """Without a known hash, the file must at least open as what its name says."""
    declare(path="{subject}.h5", mirrors=[server.url("{subject}")])
    server.put("a", b"<html>please log in</html>")
    assert (
        "does not open as what its name says" in refused(["knees"], capsys) and files(root) == set()
    )


def test_a_part_continues_only_from_the_same_version(knee, server):
    """The file and its ETag change between two attempts: the whole new file is fetched."""
    path = knee("cut 100000", hashed=False)
    served = server.files["/a"]
    served.faults.append("status 503")
    original = server.next

    def change(name, headers):
        answer = original(name, headers)
        if len(server.asked) == 2:
            served.body, served.etag = OTHER, '"v2"'
        return answer

    server.next = change
    fetch.fetch("knees", ["a"])
    assert path.read_bytes() == OTHER and server.ranges() == [
        None,
        "bytes=100000-",
        "bytes=100000-",
    ]
    assert server.asked[2][1]["If-Range"] == '"v1"'


def test_a_server_that_ignores_if_range_is_seen_through(knee, root, server):
    path = knee(hashed=False, etag='"v2"', always="ignores-if-range")
    leave_part(root, {"url": server.url("a"), "version": '"v1"', "bytes": 300_000}, OTHER[:1000])
    fetch.fetch("knees", ["a"])
    assert path.read_bytes() == BODY and server.ranges() == ["bytes=1000-", None]


def leave_part(root, note, content):
    """Writes what an interrupted run leaves."""
    (root / "knees").mkdir(parents=True)
    (root / "knees/a.bin.part").write_bytes(content)
    (root / "knees/a.bin.part.json").write_text(note if isinstance(note, str) else json.dumps(note))


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize(
    ("etag", "modified"),
    [(None, "Sat, 01 Nov 2025 10:00:00 GMT"), ('W/"weak"', None), (None, None)],
)
def test_without_a_known_hash_only_a_strong_version_is_continued(
    etag, modified, hashed, knee, server
):
    path = knee("cut 100000", etag=etag, modified=modified, hashed=hashed)
    fetch.fetch("knees", ["a"])
    assert path.read_bytes() == BODY and server.ranges() == [
        None,
        "bytes=100000-" if modified or hashed else None,
    ]
    assert server.asked[1][1].get("If-Range") == modified


def test_a_file_that_changed_midway_is_found_by_its_hash(knee, root, server):
    path = knee(etag=None)
    leave_part(root, {"url": server.url("a"), "version": None, "bytes": 300_000}, OTHER[:1000])
    fetch.fetch("knees", ["a"])
    assert path.read_bytes() == BODY and server.ranges() == ["bytes=1000-", None]


@pytest.mark.parametrize(
    "note", ["", "[1]", '{"url": "http://other.org/a", "version": "\\"v1\\"", "bytes": 300000}']
)
def test_a_part_of_unknown_origin_is_started_again(note, knee, root, server):
    path = knee()
    leave_part(root, note, OTHER[:1000])
    fetch.fetch("knees", ["a"])
    assert path.read_bytes() == BODY and server.ranges() == [None]


def test_a_damaged_part_is_found_by_the_hash_and_fetched_again(knee, root, server):
    path = knee()
    leave_part(root, {"url": server.url("a"), "version": '"v1"', "bytes": 300_000}, OTHER[:1000])
    fetch.fetch("knees", ["a"])
    assert path.read_bytes() == BODY and server.ranges() == ["bytes=1000-", None]


def test_a_complete_part_is_checked_without_a_request(knee, root, server):
    path = knee()
    leave_part(root, {"url": server.url("a"), "version": '"v1"', "bytes": 300_000}, BODY)
    fetch.fetch("knees", ["a"])
    assert path.read_bytes() == BODY and not server.asked


def test_mirrors_are_tried_in_turn_but_the_part_is_continued_first(server, root, declare):
    server.put("one/a", BODY, "status 404", "status 404")
    server.put("two/a", BODY, "cut 100000", *["status 503"] * 4)
    declare(
        mirrors=[server.url("one/{subject}"), server.url("two/{subject}")],
        files={"a": {"sha256": SHA}},
    )
    with pytest.raises(ReconError, match=r"one/a answers 404; .*two/a answers 503"):
        fetch.fetch("knees", ["a"])
    assert files(root) == {"knees/a.bin.part", "knees/a.bin.part.json"}
    server.asked.clear()
    fetch.fetch("knees", ["a"])
    assert [path for path, _ in server.asked] == ["/two/a"] and server.ranges() == ["bytes=100000-"]


def test_a_gz_file_labelled_as_encoded_arrives_as_it_lies_there(server, root, declare):
    """Apache labels stored .gz files as gzip-encoded.

    Decoding would store a .nii under the name .nii.gz.
    """
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), root.parent / "v.nii.gz")
    stored = (root.parent / "v.nii.gz").read_bytes()
    server.put("a", gzip.decompress(stored), "gzip")
    declare(path="{subject}.nii.gz", mirrors=[server.url("{subject}")])
    fetch.fetch("knees", ["a"])
    assert nib.load(root / "knees/a.nii.gz").shape == (4, 4, 4)


def test_retry_after_is_obeyed(knee, monkeypatch):
    waits = []
    monkeypatch.setattr(transport.Meter, "pause", lambda self, seconds: waits.append(seconds))
    knee("status 429 3", "status 503")
    fetch.fetch("knees", ["a"])
    assert [w for w in waits if w] == [3.0, pytest.approx(0.02)]


def test_several_files_come_at_once_and_one_failure_does_not_stop_the_others(
    server, root, declare, capsys
):
    names = ["a", "b", "c", "d"]
    for name in "abd":
        server.put(name, BODY, "slow 0.02")
    declare(mirrors=[server.url("{subject}")], splits={"train": names})
    message = refused(["knees"], capsys)
    assert "knees/c.bin" in message and "answers 404" in message
    assert files(root) == {"knees/a.bin", "knees/b.bin", "knees/d.bin", "registry.lock.json"}


def test_a_full_disk_is_told_before_the_start(knee, root, server, monkeypatch, capsys):
    knee()
    monkeypatch.setattr(transport.shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    assert "0.3 MB needed, 0.0 MB free" in refused(["knees"], capsys) and not server.asked


def test_a_folder_that_cannot_be_made_is_one_line(knee, root, server, capsys):
    knee()
    root.mkdir()
    (root / "knees").write_text("in the way")
    assert "knees" in refused(["knees"], capsys) and not server.asked


# Processes


SCRIPT = """
import sys
from pathlib import Path
from recon.download import fetch, registry
registry.REGISTRY = Path(sys.argv[1])
fetch.fetch("knees", ["a"])
"""


def start(path: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path)], cwd=ROOT, stdout=subprocess.DEVNULL
    )


def test_a_killed_run_is_resumed(knee, root, server):
    path = knee("slow 0.3", "")
    run = start(registry.REGISTRY)
    part = root / "knees/a.bin.part"
    while not (part.exists() and part.stat().st_size > 0):
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    have = part.stat().st_size
    assert 0 < have < len(BODY) and not path.exists()
    assert start(registry.REGISTRY).wait() == 0
    assert (
        path.read_bytes() == BODY
        and server.ranges() == [None, f"bytes={have}-"]
        and files(root) == {"knees/a.bin"}
    )


def test_two_processes_fetch_a_file_once(knee, root, server):
    path = knee("slow 0.2", "slow 0.2", hashed=False)
    runs = [start(registry.REGISTRY) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert path.read_bytes() == BODY and len(server.asked) == 1
    assert registry.remembered() == {"knees/a.bin": {"bytes": len(BODY), "sha256": SHA}}


def test_a_part_that_its_owner_removed_meanwhile_is_not_written_to(knee, root, monkeypatch):
    """Another process may finish between opening and locking.

    The open file is then no longer the one at the path.
    """
    knee()
    (item,), owner, removed = registry.items("knees", ["a"]), transport.try_lock, []

    def late(file):
        if not removed:
            removed.append(transport.part_of(item).unlink())
        return owner(file)

    monkeypatch.setattr(transport, "try_lock", late)
    with transport.claimed(item, transport.Meter("knees", None)) as file:
        assert removed and transport.is_at(file, transport.part_of(item))


# The lock


def test_hashes_recorded_at_once_are_all_kept(root):
    root.mkdir()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: registry.remember(f"knees/{n}", n, SHA), range(64)))
    assert registry.remembered() == {f"knees/{n}": {"bytes": n, "sha256": SHA} for n in range(64)}


def test_a_file_that_changed_since_its_first_download_is_refused(knee, root, server, capsys):
    path = knee(hashed=False)
    fetch.fetch("knees", ["a"])
    path.unlink()
    server.put("a", OTHER)
    assert (
        "differs from the sha256 of registry.lock.json" in refused(["knees"], capsys)
        and not path.exists()
    )
    with pytest.raises(ReconError, match="not the file of the first download"):
        registry.remember("knees/a.bin", 1, "0" * 64)
    assert registry.remembered()["knees/a.bin"]["sha256"] == SHA


@pytest.mark.parametrize(
    "text", ["{", "[]1", '{"knees/a.bin": {}}', '{"knees/a.bin": {"bytes": 1, "sha256": "0"}}']
)
def test_a_damaged_lock_is_refused(text, knee, root, server, capsys):
    knee(hashed=False)
    root.mkdir()
    (root / "registry.lock.json").write_text(text)
    assert "registry.lock.json: damaged" in refused(["knees"], capsys) and not server.asked


def test_check_finds_a_flipped_byte(knee, capsys):
    path = knee(hashed=False)
    assert main(["fetch", "knees"]) == 0 and main(["fetch", "--check"]) == 0
    assert "knees/a.bin: ok\n" in capsys.readouterr().out
    content = bytearray(BODY)
    content[1234] ^= 1
    path.write_bytes(content)
    assert "a.bin: differs from the sha256 of registry.lock.json" in refused(
        ["--check", "knees"], capsys
    )
    path.write_bytes(BODY[:-1])
    assert "has 299999 bytes, not the 300000" in refused(["--check"], capsys)


# Archives


def zip_of(*named: tuple[str, bytes], link: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as held:
        for name, content in named:
            info = zipfile.ZipInfo(name)
            info.external_attr = ((stat.S_IFLNK if link else stat.S_IFREG) | 0o777) << 16
            held.writestr(info, content)
    return out.getvalue()


def tar_of(*named: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as held:
        for name, content in named:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(content), "/etc/passwd"
            held.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("name", ["all.zip", "all.tar.gz"])
def test_an_archive_is_fetched_once_and_only_what_is_needed_leaves_it(name, archived, root, server):
    make = zip_of if name.endswith("zip") else tar_of
    archived(
        name, make(("v1/brains/b.bin", OTHER), ("v1/brains/a.bin", BODY), ("v1/../../evil", b"x"))
    )
    fetch.fetch("knees", ["a"])
    assert files(root) == {"registry.lock.json", f"knees/{name}", "knees/brains/a.bin"}
    fetch.fetch("knees", ["a", "b"])
    assert (root / "knees/brains/b.bin").read_bytes() == OTHER and (
        root / "knees/brains/a.bin"
    ).read_bytes() == BODY
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("all.zip", zip_of(("../../brains/a.bin", BODY)), "leaves its folder"),
        ("all.zip", zip_of(("/brains/a.bin", BODY)), "leaves its folder"),
        ("all.zip", zip_of(("..\\x/brains/a.bin", BODY)), "leaves its folder"),
        ("all.zip", zip_of(("brains/a.bin", b"/etc/passwd"), link=True), "is a link"),
        ("all.tar.gz", tar_of(("../brains/a.bin", BODY)), "leaves its folder"),
        ("all.tar.gz", tar_of(("brains/a.bin", b""), kind=tarfile.SYMTYPE), "is a link"),
        ("all.tar.gz", tar_of(("brains/a.bin", b""), kind=tarfile.LNKTYPE), "is a link"),
        ("all.zip", zip_of(("elsewhere.bin", BODY)), "0 members are called brains/a.bin"),
        (
            "all.zip",
            zip_of(("x/brains/a.bin", BODY), ("y/brains/a.bin", BODY)),
            "2 members are called",
        ),
        ("all.zip", zip_of(("brains/a.bin", b"")), "is empty"),
        ("all.zip", zip_of(("brains/a.bin", BODY))[:-30], "does not open as what its name says"),
        (
            "all.zip",
            zip_of(("brains/a.bin", BODY)).replace(BODY[1000:1008], b"12345678"),
            "cannot be unpacked",
        ),
        ("all.tar.gz", tar_of(("brains/a.bin", BODY))[:-5000], "cannot be unpacked"),
    ],
)
def test_a_bad_archive_is_refused(name, content, words, archived, root, capsys):
    archived(name, content)
    message = refused(["knees", "--subjects", "a"], capsys)
    assert words in message and name in message
    assert (
        files(root) <= {"registry.lock.json", f"knees/{name}"}
        and not (root.parent / "brains").exists()
    )


def test_a_zip_that_understates_a_size_yields_no_more_than_that(archived, root, capsys):
    """A member that declares 1000 bytes and holds 300 000 is refused."""
    content = bytearray(zip_of(("brains/a.bin", bytes(300_000))))
    for signature, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        where = content.index(signature) + at
        content[where : where + 4] = (1000).to_bytes(4, "little")
    archived("all.zip", bytes(content))
    assert "cannot be unpacked" in refused(["knees", "--subjects", "a"], capsys)
    assert "knees/brains/a.bin" not in files(root)


def test_a_member_is_held_to_its_own_hash(archived, root, capsys):
    archived("all.zip", zip_of(("brains/a.bin", OTHER)), sha256=SHA)
    assert "knees/brains/a.bin: the member of all.zip differs from the sha256" in refused(
        ["knees", "--subjects", "a"], capsys
    )


def test_an_md5_is_checked_on_the_first_download_and_its_sha256_remembered(archived, root, capsys):
    content = zip_of(("brains/a.bin", BODY))
    archived("all.zip", content, md5="0" * 32)
    assert "all.zip delivers a file that differs from the md5 of registry.yaml" in refused(
        ["knees", "--subjects", "a"], capsys
    )
    assert files(root) == set()
    archived("all.zip", content, md5=hashlib.md5(content).hexdigest())
    assert main(["fetch", "knees", "--subjects", "a"]) == 0
    assert registry.remembered()["knees/all.zip"] == {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


# Datasets


@pytest.mark.parametrize(
    ("md5", "words"), [(MD5, None), ("f" * 32, "differs from the md5 of registry.yaml")]
)
def test_a_file_with_an_md5_alone(md5, words, server, root, declare, capsys):
    declare(files={"a": {"urls": [server.put("a", BODY)], "md5": md5}})
    if words is None:
        assert (
            main(["fetch", "knees"]) == 0 and registry.remembered()["knees/a.bin"]["sha256"] == SHA
        )
        (root / "registry.lock.json").unlink()
        assert (
            main(["fetch", "--check", "knees"]) == 0
            and "knees/a.bin: ok\n" in capsys.readouterr().out
        )
        (root / "knees/a.bin").write_bytes(OTHER)
        assert "differs from the md5" in refused(["--check", "knees"], capsys)
    else:
        assert words in refused(["knees"], capsys) and files(root) == set()


def test_missing_says_what_how_much_and_how(server, root, declare):
    entries = {s: {"bytes": len(BODY), "urls": [server.put(s, BODY)]} for s in "ab"}
    declare(files=entries, splits={"test": ["a", "b"]})
    assert fetch.missing("knees", ["a", "b"]).bytes == 2 * len(BODY)
    fetch.fetch("knees", ["a"])
    lack = fetch.missing("knees", ["a", "b"])
    assert (
        lack.files == [str(root / "knees/b.bin")]
        and lack.bytes == len(BODY)
        and lack.how.endswith("fetch knees --subjects b")
    )
    assert main(["fetch", "knees", "--split", "test"]) == 0
    assert fetch.missing("knees", ["a", "b"]) == fetch.Missing([], 0, "nothing is missing")
    declare(mirrors=["http://x.org/{subject}"], splits={"test": ["z"]})
    assert fetch.missing("knees", ["z"]).bytes is None


def test_volumes_begin_with_the_test_split(server, root, declare, capsys):
    for s in "abc":
        server.put(s, BODY)
    declare(
        mirrors=[server.url("{subject}")],
        splits={"train": ["a"], "validation": ["b"], "test": ["c"]},
    )
    assert main(["fetch", "knees", "--volumes", "2"]) == 0
    assert files(root) == {"knees/c.bin", "knees/b.bin", "registry.lock.json"}
    assert main(["fetch", "--list"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == [
        "knees",
        "open",
        "A",
        "2/3",
        "of",
        "unknown",
        "size",
    ]


@pytest.fixture
def agreement(root, declare):
    declare(
        access="agreement",
        path="**/{subject}.*",
        steps=["Sign the form.", "Unzip it."],
        splits={"test": ["a"], "train": ["b"]},
    )
    (root / "knees/release_7").mkdir(parents=True)
    return root / "knees/release_7"


def test_an_agreement_is_explained_until_its_files_are_there(agreement, capsys):
    assert main(["fetch", "knees"]) == 2
    out, err = capsys.readouterr()
    assert (
        "1. Sign the form.\n2. Unzip it." in out
        and str(agreement.parent) in out
        and "2 of 2 files are missing" in err
    )
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), agreement / "a.nii.gz")
    (agreement / "b.h5").write_text("not HDF5")
    assert "1 of 2 files are missing or wrong, first knees/release_7/b.h5" in refused(
        ["knees"], capsys
    )
    h5py.File(agreement / "b.h5", "w").close()
    assert main(["fetch", "knees"]) == 0 and fetch.missing("knees", ["a", "b"]).files == []
    (agreement.parent / "b.h5").write_bytes(b"twice")
    assert "2 files in" in refused(["knees"], capsys)


def test_a_set_without_a_published_list_is_whatever_matches(agreement, declare, capsys):
    declare(access="agreement", path="**/{subject}.h5", steps=["Sign."], splits={})
    assert "no file in" in refused(["knees"], capsys)
    for folder in ("multi", "single"):
        (agreement / folder).mkdir()
        h5py.File(agreement / folder / "file1.h5", "w").close()
    (agreement / "file2.h5.part").touch()
    assert main(["fetch", "knees"]) == 0
    assert main(["fetch", "--list"]) == 0 and capsys.readouterr().out.splitlines()[-1].split()[
        3:
    ] == ["2/?", "?"]
    assert "name its folder" in refused(["knees", "--subjects", "file1"], capsys)
    assert main(["fetch", "knees", "--subjects", "multi/file1"]) == 0
    assert fetch.missing("knees", ["file1x"]).files == [str(agreement.parent / "**/file1x.h5")]
    assert "no subject is called '../file1'" in refused(["knees", "--subjects", "../file1"], capsys)
    (agreement / "multi/file1.h5").write_bytes(b"damaged")
    assert "multi/file1.h5: does not open" in refused(["--check"], capsys)


UNREADABLE = [
    ("a.h5", b""),
    ("a.nii", b"x" * 400),
    ("a.nii.gz", b"x"),
    ("a.zip", b"x"),
    ("a.tar", b"x" * 99),
]


@pytest.mark.parametrize(("name", "content"), UNREADABLE)
def test_a_file_that_does_not_open_is_wrong(name, content, agreement, capsys):
    (agreement / name).write_bytes(content)
    message = refused(["--check", "knees"], capsys)
    assert "is empty" in message or "does not open as what its name says" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a dataset"),
        (["elbows"], "no dataset is called 'elbows'; data/registry.yaml has knees"),
        (["--check", "elbows"], "'elbows'"),
        (["knees", "--subjects", "x"], "no subject is called 'x'"),
        (["knees", "--volumes", "0"], "--volumes 0"),
        (["knees", "--split", "train"], "split train has no subjects"),
        (["knees", "--jobs", "9"], "--jobs 9"),
        (["knees", "--subjects", "a", "--volumes", "1"], "do not give --split or --volumes"),
    ],
)
def test_every_impossible_request_is_one_line(arguments, words, knee, server, capsys):
    knee()
    assert words in refused(arguments, capsys) and not server.asked


SHIPPED = registry.load(ROOT / "data/registry.yaml")


def test_the_shipped_registry_is_valid():
    for name, dataset in SHIPPED.items():
        assert dataset.papers and (
            dataset.subjects() or dataset.access != "open" or dataset.dataverse
        ), name


@pytest.mark.parametrize(
    ("name", "counts"),
    [("stanford", (13, 2, 4)), ("calgary", (40, 7, 20)), ("fastmri_brain", (0, 0, 96))],
)
def test_the_splits_have_the_sizes_that_the_papers_give(name, counts):
    assert tuple(len(SHIPPED[name].subjects(split)) for split in SPLITS) == counts


def test_the_96_slices_are_of_16_files_and_the_77_brains_are_dealt_out():
    slices = SHIPPED["fastmri_brain"].subjects("test")
    assert (
        len(set(slices)) == 96
        and len(bare(slices)) == 16
        and slices[0] == "file_brain_AXT2_206_6000222:4"
    )
    assert {s.partition(":")[2] for s in slices} == set("456789")
    source = SHIPPED["ahead"].dataverse
    splits = source.splits([f"{n:03}" for n in range(77, 0, -1)], "")
    assert [len(getattr(splits, split)) for split in SPLITS] == [63, 6, 8]
    assert (splits.train[0], splits.validation[0], splits.test[0], splits.test[-1]) == (
        "001",
        "064",
        "070",
        "077",
    )
    named = [
        "mp2rageme_001_inv1.h5",
        "mp2rageme_001_inv1_te1.h5",
        "mp2rageme_001_inv2_te1.h5",
        "coilsens_001.h5",
        "mp2rageme_001_inv1.nii.gz",
    ]
    assert [bool(source.pattern.fullmatch(name)) for name in named] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert (
        SHIPPED["calgary"].archives["train_val_12_channel.zip"].md5
        == "670deede8e64c76375ebab4ecdf1232e"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sise": 1}, "knees.sise"),
        ({"papers": ["D"]}, "'A', 'B' or 'C'"),
        ({"splits": {"test": ["a"], "train": ["a"]}}, "subject a is twice in train"),
        ({"splits": {"test": [8]}}, "write it in quotes"),
        ({"splits": {"test": ["../a"]}}, "knees.splits.test.0"),
        ({"files": {"b": {}}}, "subject a of the splits is not under files"),
        ({"files": {"a": {"archive": "x.zip"}}}, "archive x.zip"),
        ({"files": {"a": {"sha256": "ab"}}}, "knees.files.a.sha256"),
        ({"mirrors": []}, "has no mirrors, urls or archive"),
        ({"mirrors": ["ftp://x.org/{subject}"]}, "knees.mirrors.0"),
        (
            {"mirrors": ["http://x.org/one"], "splits": {"test": ["a", "b"]}},
            "every subject the same file",
        ),
        ({"path": "../{subject}"}, "must lie below"),
        ({"path": "*/{subject}"}, "glob characters"),
        ({"access": "agreement"}, "steps must say"),
        (
            {"splits": {"test": ["a:3"], "train": ["a:4"]}},
            "the file of a is in train and in test",
        ),
        (
            {"splits": {"test": ["multi/a:3"], "validation": ["a"]}},
            "the file of a is in validation and in test",
        ),
        ({"splits": {"test": ["a:"]}}, "knees.splits.test.0"),
        ({"files": {"a:1": {}}}, "knees.files.a:1"),
        ({"files": {"a": {"md5": "ab"}}}, "knees.files.a.md5"),
        (
            {"dataverse": {"server": "http://x.org", "doi": "doi:1", "counts": {}, "pattern": "a"}},
            "no group (?P<subject>...)",
        ),
        (
            {"dataverse": {"server": "http://x.org", "doi": "doi:1", "counts": {}, "pattern": "("}},
            "regular expression",
        ),
        (
            {
                "dataverse": {
                    "server": "http://x.org",
                    "doi": "doi:1",
                    "counts": {"all": 3},
                    "pattern": "(?P<subject>a)",
                }
            },
            "knees.dataverse.counts",
        ),
    ],
)
def test_a_wrong_registry_is_one_line(change, words, declare):
    path = declare(**{"mirrors": ["http://x.org/{subject}"]} | change)
    with pytest.raises(ReconError) as error:
        registry.datasets()
    assert (
        words in str(error.value) and path.name in str(error.value) and "\n" not in str(error.value)
    )


# Subjects that are a part of a file


def test_slices_of_a_file_are_one_file(server, root, declare):
    declare(
        mirrors=[server.url("{subject}")],
        splits={"test": ["a:1", "a:2"], "train": ["b:flair", "c:inv2_te1"]},
    )
    for name in "abc":
        server.put(name, BODY)
    assert [i.key for i in registry.items("knees", ["a:2", "a:1", "b:t1", "a"])] == [
        "knees/a.bin",
        "knees/b.bin",
    ]
    assert fetch.missing("knees", ["a:1", "a:2"]).how.endswith("fetch knees --subjects a")
    assert (
        main(["fetch", "knees", "--volumes", "2"]) == 0
        and main(["fetch", "knees", "--subjects", "c:inv2_te1"]) == 0
    )
    assert (
        sorted(path for path, _ in server.asked) == ["/a", "/b", "/c"]
        and fetch.missing("knees", ["a:1", "a:7"]).files == []
    )
    with pytest.raises(ReconError, match="no subject is called 'd:1'"):
        registry.items("knees", ["d:1"])


def test_a_partial_list_leaves_other_files_of_the_set_usable(agreement, declare, capsys):
    """As for the fastMRI brains: test slices are listed, training files are those in a folder."""
    declare(
        access="agreement", path="**/{subject}.h5", steps=["Sign."], splits={"test": ["a:4", "a:5"]}
    )
    for name in ("a.h5", "b.h5"):
        h5py.File(agreement / name, "w").close()
    assert main(["fetch", "knees"]) == 0 and "b.h5" not in capsys.readouterr().out
    assert [i.key for i in registry.items("knees", ["release_7/b:3", "a:4"])] == [
        "knees/release_7/b.h5",
        "knees/release_7/a.h5",
    ]
    assert registry.here("knees") == ["a", "b"] and fetch.missing("knees", ["c:1"]).files
    assert main(["fetch", "--list"]) == 0 and capsys.readouterr().out.splitlines()[-1].split()[
        3:
    ] == ["2/?", "?"]
    (agreement / "multi").mkdir()
    h5py.File(agreement / "multi/b.h5", "w").close()
    assert registry.here("knees") == ["a"]  # there are two files of b


# Datasets that a Dataverse lists


DOI = "doi:10.34894/TEST"
ASK = f"api/datasets/:persistentId/versions/:latest/files?persistentId={DOI}"


@pytest.fixture
def brains(server, root, declare):
    """Four subjects of a Dataverse.

    Returns a function that serves their files and the list, which ``spoil`` may change.
    """

    def row(number, name, body):
        server.put(f"api/access/datafile/{number}", body)
        md5 = hashlib.md5(body).hexdigest()
        data = {
            "id": number,
            "filename": name,
            "filesize": len(body),
            "md5": md5,
            "checksum": {"type": "MD5", "value": md5},
        }
        return {
            "label": name,
            "restricted": False,
            "directoryLabel": "raw",
            "version": 1,
            "dataFile": data,
        }

    def serve(*faults, subjects=("003", "001", "010", "007"), spoil=lambda answer: None):
        rows = [
            row(10 + n, f"brain_{s}_inv1_x.bin", f"inversion one of {s}".encode())
            for n, s in enumerate(subjects)
        ]
        rows += [
            row(30, "brain_001_inv2_te1.bin", b"another"),
            row(31, "coilsens_001.bin", b"maps"),
        ]
        answer = {"status": "OK", "totalCount": len(rows), "data": rows}
        answer = spoil(answer) or answer
        server.put(
            ASK, answer if isinstance(answer, bytes) else json.dumps(answer).encode(), *faults
        )
        pattern = r"brain_(?P<subject>\d+)_inv1\w*\.bin"
        known = {
            "server": server.url("")[:-1],
            "doi": DOI,
            "pattern": pattern,
            "counts": {"train": 2, "validation": 1, "test": 1},
        }
        declare(path="**/brain_{subject}_inv1*.bin", dataverse=known, splits={})
        return root / "knees"

    return serve


def test_a_dataverse_is_asked_once_and_its_list_is_the_registry_from_then_on(
    brains, server, root, capsys
):
    folder = brains()
    assert main(["fetch", "--list"]) == 0
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .endswith("0/?      run: python -m recon fetch knees")
    )
    assert fetch.missing("knees", []) == fetch.Missing(
        [str(folder / "listing.json")], None, "run: python -m recon fetch knees"
    )
    assert not server.asked and main(["fetch", "knees", "--volumes", "1"]) == 0
    assert [path for path, _ in server.asked] == [f"/{ASK}", "/api/access/datafile/12"]
    known = registry.lookup("knees")
    assert (known.splits.train, known.splits.validation, known.splits.test) == (
        ["001", "003"],
        ["007"],
        ["010"],
    )
    assert (
        known.files["010"].bytes == 20
        and known.files["010"].md5
        and registry.datasets()["knees"] == known
    )
    assert fetch.missing("knees", ["001"]).bytes == 20 and fetch.missing(
        "knees", ["001"]
    ).files == [str(folder / "brain_001_inv1_x.bin")]
    assert (
        main(["fetch", "knees"]) == 0
        and main(["fetch", "--check", "knees"]) == 0
        and len(server.asked) == 5
    )
    assert files(root) == {"registry.lock.json", "knees/listing.json"} | {
        f"knees/brain_{s}_inv1_x.bin" for s in known.listed()
    }
    (folder / "brain_007_inv1_x.bin").unlink()
    server.put("api/access/datafile/13", b"inversion ONE of 007")
    assert "differs from the sha256 of registry.lock.json" in refused(["knees"], capsys)
    (root / "registry.lock.json").unlink()
    assert "differs from the md5 of listing.json" in refused(["knees"], capsys)
    with pytest.raises(ReconError, match="no subject is called '002'"):
        registry.items("knees", ["002"])


def test_older_and_newer_checksums_are_understood(brains):
    def spoil(answer):
        first, second, third, _ = (row["dataFile"] for row in answer["data"][:4])
        del first["checksum"], answer["totalCount"], first["md5"], second["checksum"]
        third["checksum"] = {"type": "SHA-256", "value": SHA}

    brains(spoil=spoil)
    fetch.survey("knees")
    known = registry.lookup("knees").files
    assert (
        (known["003"].md5, known["003"].sha256) == (None, None)
        and known["001"].md5
        and known["010"].sha256 == SHA
    )


@pytest.mark.parametrize(
    ("subjects", "found"), [(["001", "002", "003"], 3), ([], 0), ([f"{n:03}" for n in range(5)], 5)]
)
def test_another_number_of_subjects_is_refused(subjects, found, brains, root, capsys):
    brains(subjects=subjects)
    assert (
        f"{found} subjects found, not the 4 of data/registry.yaml" in refused(["knees"], capsys)
        and files(root) == set()
    )


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: b'{"status": "OK", "da', "JSONDecodeError"),
        (lambda a: b"<html>please log in</html>", "JSONDecodeError"),
        (lambda a: b"[1]", "TypeError"),
        (lambda a: {"status": "ERROR", "message": "no", "data": []}, "status ERROR"),
        (lambda a: {"status": "OK"}, "KeyError: 'data'"),
        (lambda a: a["data"][0].pop("dataFile") and None, "KeyError: 'dataFile'"),
        (lambda a: a["data"][0]["dataFile"]["checksum"].update(value="xyz"), "md5"),
        (lambda a: a["data"][0]["dataFile"].update(filesize=-1), "bytes"),
        (lambda a: a.update(totalCount=1000), "6 of 1000 files"),
        (
            lambda a: (
                a["data"].append(a["data"][0] | {"label": "brain_003_inv1_y.bin"})
                or a.update(totalCount=7)
            ),
            "are of one subject",
        ),
    ],
)
def test_an_answer_that_is_no_list_is_refused_and_not_kept(spoil, words, brains, root, capsys):
    brains(spoil=spoil)
    message = refused(["knees"], capsys)
    assert (
        words in message and ASK in message and "http://k.org" in message and files(root) == set()
    )


def test_a_dataverse_out_of_reach_is_one_line(brains, root, capsys):
    brains("status 503", "status 404")
    assert "503 Server Error" in refused(["knees"], capsys) and "404 Client Error" in refused(
        ["knees"], capsys
    )
    root.mkdir(exist_ok=True)
    (root / "knees").write_text("in the way")
    assert "knees: no list of files" in refused(["knees"], capsys)


@pytest.mark.parametrize(
    "text",
    [
        '{"001": {"na',
        "",
        "[]",
        '{"001": {"name": "../x"}}',
        '{"001": {"size": 3}}',
        '{"001": {"name": "x.bin"}}',
    ],
)
def test_a_damaged_list_is_refused(text, brains, capsys):
    folder = brains()
    folder.mkdir(parents=True)
    (folder / "listing.json").write_text(text)
    assert "listing.json" in refused(["knees"], capsys)


def test_files_put_there_by_hand_need_no_list(brains, server, root, capsys):
    """The files may be in any folder. Splits are there only when all files are.

    A part of the files would be distributed over the splits differently.
    """
    folder = brains() / "by hand"
    folder.mkdir(parents=True)
    for number, subject in enumerate(["010", "001", "007", "003"]):
        assert (
            registry.here("knees") == sorted(["010", "001", "007", "003"][:number])
            and not registry.lookup("knees").subjects()
        )
        (folder / f"brain_{subject}_inv1.bin").write_bytes(b"x")
    assert registry.lookup("knees").subjects() == ["010", "007", "001", "003"]
    assert (
        fetch.missing("knees", ["010", "001:inv1"]).files == []
        and main(["fetch", "knees"]) == 0
        and not server.asked
    )
    (folder / "brain_001_inv1.bin").unlink()
    assert (
        fetch.missing("knees", ["001", "003"]).how
        == "run: python -m recon fetch knees --subjects 001"
    )
    assert main(["fetch", "--list"]) == 0 and "3/?" in capsys.readouterr().out
