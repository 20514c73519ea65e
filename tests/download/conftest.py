"""A local server, a registry of one dataset, and files and archives of known content."""

import hashlib
import random
from pathlib import Path

import pytest
import yaml

from recon.download import registry, transport
from tests.download.http_server import Server

BODY = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
SHA = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()


@pytest.fixture
def server():
    with Server() as one:
        yield one
        one.shutdown()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty data root, and no pauses worth mentioning."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setattr(transport, "BACKOFF_S", 0.01)
    return tmp_path / "data"


@pytest.fixture
def declare(tmp_path, monkeypatch):
    """Returns a function that writes a registry with one dataset, knees, and makes it current."""

    def write(**entry) -> Path:
        known = {
            "title": "Knees",
            "papers": ["A"],
            "about": "k-space",
            "source": "http://k.org",
            "licence": "CC BY",
            "access": "open",
        }
        path = tmp_path / f"registry{len(list(tmp_path.glob('registry*')))}.yaml"
        values = known | {"path": "{subject}.bin", "splits": {"test": ["a"]}} | entry
        path.write_text(yaml.safe_dump({"knees": values}))
        monkeypatch.setattr(registry, "REGISTRY", path)
        return path

    return write


@pytest.fixture
def knee(server, root, declare):
    """One file of known content at one source; returns a function that serves it with faults."""

    def serve(*faults, hashed=True, **more):
        url = server.put("a", BODY, *faults, **more)
        declare(
            files={"a": {"urls": [url]} | ({"bytes": len(BODY), "sha256": SHA} if hashed else {})}
        )
        return root / "knees/a.bin"

    return serve


@pytest.fixture
def archived(server, root, declare):
    """Returns a function that serves an archive with two subjects."""

    def serve(name, content, md5=None, **known):
        url = server.put(name, content)
        inside = {s: {"archive": name} | known for s in "ab"}
        declare(
            path="brains/{subject}.bin",
            archives={name: {"urls": [url], "md5": md5}},
            files=inside,
            splits={"test": ["a"], "train": ["b"]},
        )

    return serve
