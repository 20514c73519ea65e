"""Downloads come from where the registry says, and archives are unpacked in their folder alone."""

import gzip
import io
import ssl
import subprocess
import tarfile
import threading
import zipfile

import pytest
import yaml

from recon import ReconError
from recon.download import fetch, registry
from tests.download.conftest import BODY, OTHER, SHA
from tests.download.http_server import Server
from tests.download.test_fetch import files, refused, tar_of

# Redirects. The test server is 127.0.0.1; localhost is another host on the same machine.


def elsewhere(server: Server, name: str = "elsewhere") -> str:
    """An address of the same server under another name of its host."""
    return server.put(name, BODY).replace("127.0.0.1", "localhost")


@pytest.mark.parametrize("hashed", [True, False])
def test_another_host_is_followed_only_where_a_hash_decides(hashed, knee, root, server, capsys):
    path = knee(always=f"redirect {elsewhere(server)}", hashed=hashed)
    if hashed:
        fetch.fetch("knees", ["a"])
        assert path.read_bytes() == BODY
    else:
        message = refused(["knees"], capsys)
        assert "leads to another host, localhost" in message and files(root) == set()
        assert [asked for asked, _ in server.asked] == ["/a"]  # localhost was never asked


def test_another_host_cannot_replace_a_file_whose_hash_is_known(knee, root, server, capsys):
    knee(always=f"redirect {elsewhere(server)}")
    server.put("elsewhere", OTHER)
    assert "differs from the sha256" in refused(["knees"], capsys) and files(root) == set()


def test_a_host_that_the_registry_names_for_the_file_is_followed(server, root, declare):
    server.put("a", BODY, always=f"redirect {elsewhere(server)}")
    declare(mirrors=[server.url("{subject}"), elsewhere(server, "second/{subject}")])
    fetch.fetch("knees", ["a"])
    assert (root / "knees/a.bin").read_bytes() == BODY


@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize(
    "target",
    ["file:///etc/passwd", "ftp://127.0.0.1/a", "data:,x", "gopher://x/", "FILE:/etc/passwd"],
)
def test_a_redirect_to_another_scheme_is_not_followed(target, hashed, knee, root, server, capsys):
    knee(always=f"redirect {target}", hashed=hashed)
    message = refused(["knees"], capsys)
    assert f"leads from http to {target.partition(':')[0].lower()}" in message
    assert files(root) == set() and len(server.asked) == 1


@pytest.mark.parametrize("name", [r"localhost\@127.0.0.1", r"127.0.0.1\@localhost", "a@localhost"])
def test_what_is_asked_is_what_was_checked(name, knee, server, capsys):
    r"""Parsers differ on the host of http://one\@other/; the host that is asked is a named one."""
    knee(always=f"redirect http://{name}:{server.server_address[1]}/a", hashed=False)
    refused(["knees"], capsys)
    assert all(headers["Host"].startswith("127.0.0.1:") for _, headers in server.asked)


@pytest.fixture
def secure(tmp_path, monkeypatch):
    """A server over https, whose certificate is trusted; skipped where openssl is not installed."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    try:
        files = ["-keyout", str(key), "-out", str(certificate)]
        subprocess.run([*make.split(), *names, *files], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Server() as one:
        one.socket = context.wrap_socket(one.socket, server_side=True)
        one.url = lambda name: f"https://127.0.0.1:{one.server_address[1]}/{name}"
        yield one
        one.shutdown()


@pytest.mark.parametrize("hashed", [True, False])
def test_https_never_leads_to_http(hashed, secure, server, root, declare, capsys):
    """Not even with a hash, and not even on the same host."""
    url = secure.put("a", BODY, always=f"redirect {server.put('a', BODY)}")
    declare(files={"a": {"urls": [url]} | ({"sha256": SHA} if hashed else {})})
    assert "leads from https to http, which" in refused(["knees"], capsys)
    assert files(root) == set() and not server.asked and secure.asked


def test_a_certificate_that_nobody_trusts_is_refused(secure, root, declare, monkeypatch, capsys):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    declare(files={"a": {"urls": [secure.put("a", BODY)], "sha256": SHA}})
    assert "cannot be used (SSLError)" in refused(["knees"], capsys) and files(root) == set()


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x.org/a", "/etc/passwd", "data:,x"])
@pytest.mark.parametrize("where", ["mirrors", "files", "archives", "dataverse"])
def test_the_registry_has_no_other_scheme(url, where, declare):
    entry = {
        "mirrors": {"mirrors": [url + "{subject}"]},
        "files": {"files": {"a": {"urls": [url]}}},
        "archives": {"archives": {"x.zip": {"urls": [url]}}, "mirrors": ["http://x.org/{subject}"]},
        "dataverse": {"dataverse": {"server": url, "doi": "1", "pattern": "x", "counts": {}}},
    }[where]
    declare(**entry)
    with pytest.raises(ReconError, match=r"http.*"):
        registry.datasets()


def test_every_address_of_the_shipped_registry_is_https():
    for name, entry in registry.load(registry.REGISTRY).items():
        urls = [*entry.mirrors, *(u for a in entry.archives.values() for u in a.urls)]
        urls += [u for f in entry.files.values() for u in f.urls]
        urls += [entry.dataverse.server] if entry.dataverse else []
        assert all(url.startswith("https://") for url in urls), name


def test_a_dataverse_does_not_lead_elsewhere(server, root, declare, capsys):
    """Its list gives the hashes, so it comes from the server that the registry names."""
    ask = "api/datasets/:persistentId/versions/:latest/files?persistentId=doi:1"
    server.put(ask, b"{}", always=f"redirect {elsewhere(server)}")
    source = {"server": server.url("")[:-1], "doi": "doi:1", "counts": {"test": 1}}
    known = source | {"pattern": r"(?P<subject>\d+)\.bin"}
    declare(path="**/{subject}.bin", dataverse=known, splits={})
    assert "leads to another host, localhost" in refused(["knees"], capsys)
    assert files(root) == set() and len(server.asked) == 1


# Archives


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.CHRTYPE, "is a link"),
        (tarfile.BLKTYPE, "is a link"),
        (tarfile.FIFOTYPE, "is a link"),
        (tarfile.DIRTYPE, "0 members are called"),
        (b"Z", None),  # unknown kinds are plain files, as tar has it
    ],
)
def test_no_device_pipe_or_folder_is_unpacked(kind, words, archived, root, capsys):
    archived("all.tar.gz", tar_of(("brains/a.bin", b""), kind=kind))
    message = refused(["knees", "--subjects", "a"], capsys)
    assert words is None or words in message
    assert files(root) <= {"registry.lock.json", "knees/all.tar.gz"}


@pytest.mark.parametrize("name", ["/brains/a.bin", "../../brains/a.bin", "x/../../brains/a.bin"])
def test_no_name_of_a_tar_leads_out(name, archived, root, capsys):
    archived("all.tar.gz", tar_of((name, BODY)))
    assert "leaves its folder" in refused(["knees", "--subjects", "a"], capsys)
    assert files(root) <= {"registry.lock.json", "knees/all.tar.gz"}
    assert not list(root.parent.rglob("a.bin"))


def test_a_link_in_the_archive_does_not_lead_the_next_member_out(archived, root):
    """brains -> /tmp/out and then brains/a.bin: links are never made, so the file stays inside."""
    out = io.BytesIO()
    outside = root.parent / "outside"
    outside.mkdir()
    with tarfile.open(fileobj=out, mode="w:gz") as held:
        link = tarfile.TarInfo("brains")
        link.type, link.linkname = tarfile.SYMTYPE, str(outside)
        held.addfile(link)
        info = tarfile.TarInfo("brains/a.bin")
        info.size = len(BODY)
        held.addfile(info, io.BytesIO(BODY))
    archived("all.tar.gz", out.getvalue())
    fetch.fetch("knees", ["a"])
    assert (root / "knees/brains/a.bin").read_bytes() == BODY
    assert not (root / "knees/brains").is_symlink() and not list(outside.iterdir())


def claiming(size: int, content: bytes = b"x" * 1024) -> bytes:
    """A tar file whose second member claims another size than it has."""
    first = tarfile.TarInfo("first").tobuf(tarfile.GNU_FORMAT)
    info = tarfile.TarInfo("brains/a.bin")
    head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    head[124:136] = (size % 256**12).to_bytes(12, "big")
    head[124] |= 0x80 if size >= 0 else 0xFF  # base 256, as GNU tar writes large sizes
    head[148:156] = b"        "
    head[148:156] = f"{sum(head):06o}\0 ".encode()
    return gzip.compress(first + bytes(head) + content + bytes(1024))


@pytest.mark.parametrize("size", [10**15, 2**80, 10**6, -1, -512, -1024])
def test_a_claim_of_size_is_not_believed(size, archived, root, capsys):
    """Terabytes are not written, and a negative size does not go round in circles."""
    archived("all.tar.gz", claiming(size))
    done = []
    worker = threading.Thread(
        target=lambda: done.append(refused(["knees", "--subjects", "a"], capsys)), daemon=True
    )
    worker.start()
    worker.join(20)
    assert done, "it hangs"
    assert files(root) <= {"registry.lock.json", "knees/all.tar.gz"}
    assert sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) < 10**5


def test_a_zip_that_claims_more_than_the_disk_holds_is_not_unpacked(archived, root, capsys):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as held:
        held.writestr("brains/a.bin", bytes(10**6))
        held.infolist()[0].file_size = 10**15
    archived("all.zip", out.getvalue())
    assert "make room" in refused(["knees", "--subjects", "a"], capsys)
    assert files(root) <= {"registry.lock.json", "knees/all.zip"}


@pytest.mark.parametrize("name", ["a/../../x", "/x", "..", "x\\..\\y", ""])
def test_a_list_of_files_cannot_name_one_outside(name, root, declare):
    """The list of a Dataverse is read again from disk, where somebody may have changed it."""
    folder = root / "knees"
    folder.mkdir(parents=True)
    (folder / "listing.json").write_text(yaml.safe_dump({"001": {"name": name}}))
    source = {"server": "https://x.org", "doi": "1", "pattern": "(?P<subject>.*)"}
    declare(path="**/{subject}.bin", dataverse=source | {"counts": {"test": 1}}, splits={})
    with pytest.raises(ReconError, match="listing.json"):
        registry.lookup("knees")


@pytest.mark.parametrize("subject", ["../x", "/etc/passwd", "a/../../x", "", "a\n", "a\0b"])
def test_no_subject_leads_out_of_the_data_folder(subject, root, declare):
    """Not even of a dataset that takes every file of its folder."""
    declare(access="agreement", path="**/{subject}.h5", steps=["Sign."], splits={})
    with pytest.raises(ReconError, match="no subject is called"):
        registry.items("knees", [subject])
