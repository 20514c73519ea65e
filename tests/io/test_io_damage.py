"""Damaged files give a valid record or an error of one line; `make fuzz` tries many more."""

import os
import re
import signal
import struct
import zipfile
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest
import torch

from recon.data.ahead import ahead_scan
from recon.data.calgary import calgary_scan
from recon.data.stanford import stanford_scan
from recon.errors import ReconError
from recon.io import read_scan
from recon.mri import fourier
from tests.data import writers
from tests.fuzz import COILS, LOADERS, SECONDS, SHAPE, Fuzz, check_line, kspace_files
from tests.io import io_files

FILES = 60  # for each loader


@pytest.fixture(autouse=True)
def no_endless_loop():
    """Ends the run if a test hangs; a loop within HDF5 cannot be stopped in another way."""
    signal.alarm(6 * SECONDS)
    yield
    signal.alarm(0)


@pytest.mark.parametrize("name", LOADERS)
def test_a_damaged_file_gives_a_record_or_one_line(tmp_path, name):
    fuzz = Fuzz(name, tmp_path)
    for seed in range(FILES):
        path = fuzz.damage(seed)
        try:
            fuzz.accepted(path)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise


# What the fuzzing found, one by one


def refused(path: Path, message: str, read=read_scan) -> None:
    """Checks that ``read`` refuses the file with one line that matches ``message``."""
    with pytest.raises(ReconError, match=message) as caught:
        read(path)
    check_line(caught.value, path)


def changed(folder: Path, kind: str) -> h5py.File:
    """A valid file of that kind, open for changes."""
    return h5py.File(kspace_files(kind, folder), "r+")


@pytest.mark.parametrize(
    "kind, name",
    [
        ("fastmri", "kspace"),
        ("fastmri", "mask"),
        ("fastmri", "ismrmrd_header"),
        ("ismrmrd", "dataset"),
        ("ismrmrd", "dataset/xml"),
    ],
)
def test_links_are_not_followed(tmp_path, kind, name):
    """HDF5 would read any file that is named, and would wait until somebody writes to a pipe."""
    os.mkfifo(tmp_path / "pipe")
    for link in (
        h5py.ExternalLink("pipe", "/x"),
        h5py.ExternalLink("/etc/passwd", "/x"),
        h5py.SoftLink("/elsewhere"),
    ):
        with changed(tmp_path, kind) as file:
            file.move(name, "elsewhere")
            file[name] = link
        refused(tmp_path / "scan.h5", "is a link, which is not followed")
        (tmp_path / "scan.h5").unlink()


def test_datasets_in_other_files_are_not_read(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(range(256)) * 16)
    with changed(tmp_path, "fastmri") as file:
        del file["kspace"]
        file.create_dataset("kspace", (2, 2, 8, 6), "c8", external=[(str(secret), 0, 4096)])
    refused(tmp_path / "scan.h5", "stored in other files")
    with changed(tmp_path, "fastmri") as file:
        file.move("kspace", "elsewhere")
        layout = h5py.VirtualLayout((2, 2, 8, 6), "c8")
        layout[...] = h5py.VirtualSource(".", "elsewhere", (2, 2, 8, 6))
        file.create_virtual_dataset("kspace", layout)
    refused(tmp_path / "scan.h5", "stored in other files")


def heaps(raw: bytes) -> list[int]:
    """The positions of the heaps, where HDF5 keeps data of variable length."""
    return [found.start() for found in re.finditer(b"GCOL\1", raw)]


@pytest.mark.parametrize("kind", ["ismrmrd", "fastmri"])
@pytest.mark.parametrize("index, size", [(1, 2**64 - 16), (0, 0), (0, 8), (1, 2**40)])
def test_a_heap_in_which_hdf5_goes_round_and_round(tmp_path, kind, index, size):
    """The next object after a damaged one is the same object, or lies before it."""
    path = kspace_files(kind, tmp_path)
    raw = bytearray(path.read_bytes())
    for heap in heaps(raw):
        struct.pack_into("<H6xQ", raw, heap + 16, index, size)
    path.write_bytes(raw)
    refused(path, "data of variable length is damaged")


def test_attributes_in_such_a_heap(tmp_path):
    """The file has attributes of variable length and no header."""
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        file["kspace"] = np.ones((2, 2, 8, 6), np.complex64)
        file.attrs["acquisition"] = "CORPD_FBK"
    assert read_scan(tmp_path / "scan.h5").meta["acquisition"] == "CORPD_FBK"
    raw = bytearray((tmp_path / "scan.h5").read_bytes())
    struct.pack_into("<H6xQ", raw, heaps(raw)[0] + 16, 0, 0)
    (tmp_path / "scan.h5").write_bytes(raw)
    refused(tmp_path / "scan.h5", "data of variable length is damaged")


def test_a_fastmri_header_that_claims_four_gigabytes(tmp_path):
    path = kspace_files("fastmri", tmp_path)
    raw = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        start = file["ismrmrd_header"].id.get_offset()
    struct.pack_into("<I", raw, start, 4 * 10**9)
    path.write_bytes(raw)
    refused(path, "claim more than the file holds")


def test_headers_behind_a_user_block_are_read(tmp_path):
    """The addresses of heaps count from the end of the user block."""
    path = kspace_files("fastmri", tmp_path)
    with h5py.File(path) as old, h5py.File(tmp_path / "block.h5", "w", userblock_size=1024) as file:
        for name in old:
            old.copy(name, file)
        file.attrs["acquisition"] = "CORPD_FBK"
    assert torch.equal(read_scan(tmp_path / "block.h5").kspace, read_scan(path).kspace)


def test_headers_that_are_no_text(tmp_path):
    for kind, name in {"fastmri": "ismrmrd_header", "ismrmrd": "dataset/xml"}.items():
        with changed(tmp_path, kind) as file:
            del file[name]
            file[name] = np.ones(1, [("a\nb", "f4")])
        refused(tmp_path / "scan.h5", "not text")
        (tmp_path / "scan.h5").unlink()


LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10 if i else "lol" * 9}">' for i in range(10))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ('"1.0"', '"1.0" encoding="foo"', "unknown encoding"),
        (">cartesian<", ">car\nte&#x85;sian<", "trajectory"),
        (">cartesian<", f">{'x' * 10**6}<", "trajectory"),
        ("<x>8</x>", f"<x>{'9' * 5000}</x>", "expected three numbers|cannot be read"),
        ("<x>8</x>", f"<x>{'9' * 300}</x>", "expected three positive sizes"),
        ("?><", f"?><!DOCTYPE x [{LAUGHS}]><", "amplification"),
        ("?><", '?><!DOCTYPE x [<!ENTITY l9 SYSTEM "file:///etc/passwd">]><', "undefined entity"),
    ],
)
def test_headers_that_are_traps(tmp_path, old, new, message):
    with changed(tmp_path, "fastmri" if "encoding" in new else "ismrmrd") as file:
        name = "ismrmrd_header" if "ismrmrd_header" in file else "dataset/xml"
        xml = np.asarray(file[name][()]).reshape(-1)[0].decode()
        xml = xml.replace(old, new, 1).replace(
            ">cartesian<", ">&l9;<" if "DOCTYPE" in new else ">cartesian<"
        )
        file[name][...] = xml
    refused(tmp_path / "scan.h5", message)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_noise_scan_whose_dwell_time_makes_it_infinite(tmp_path):
    with changed(tmp_path, "ismrmrd") as file:
        rows = file["dataset/data"][()]
        rows["head"]["sample_time_us"] = 1e-45
        rows["head"]["sample_time_us"][
            rows["head"]["flags"] == 1 << (ismrmrd.ACQ_IS_NOISE_MEASUREMENT - 1)
        ] = 3e38
        file["dataset/data"][...] = rows
    refused(tmp_path / "scan.h5", "the noise scan holds NaN or infinite")


def test_attributes_neither_stand_for_facts_nor_have_odd_names(tmp_path):
    """One attribute gives another format; another has a name that is not UTF-8, as JSON needs."""
    with changed(tmp_path, "fastmri") as file:
        del file["ismrmrd_header"]
        file.attrs.update({"format": "ISMRMRD", b"\xff": 1.0})
    meta = read_scan(tmp_path / "scan.h5").meta
    assert meta["format"] == "fastMRI" and all(isinstance(key, str) for key in meta)
    refused(
        tmp_path / "scan.h5", "not an ISMRMRD file", lambda path: stanford_scan(tmp_path, "scan")
    )


def test_a_mask_of_records_is_no_mask(tmp_path):
    kspace, mask = np.ones((2, 8, 6, 8), np.complex64), np.zeros((6, 8), [("a\nb", "f4")])
    np.savez(tmp_path / "scan.npz", kspace=kspace, mask=mask)
    refused(tmp_path / "scan.npz", "'mask' is of type")
    with changed(tmp_path, "fastmri") as file:
        del file["mask"]
        file["mask"] = mask[:, 0]
    refused(tmp_path / "scan.h5", "'mask' is of type")


def test_a_member_of_an_archive_without_npy_is_no_array(tmp_path):
    """Where numpy gives two members the same name, the one that was checked is read."""
    np.savez(tmp_path / "scan.npz", kspace=np.ones((2, 8, 6, 8), np.complex64), voxel=[1, 2, 3])
    with zipfile.ZipFile(tmp_path / "scan.npz", "a") as archive:
        archive.writestr("kspace", b"text")
        archive.writestr("voxel", b"text")
    assert read_scan(tmp_path / "scan.npz").voxel == (1.0, 2.0, 3.0)


def test_a_terminal_is_not_told_what_to_do(tmp_path):
    io_files.write_cfl(tmp_path / "scan", np.ones((2, 2, 2, 2)), dims="2 2 \x1b[2J 2")
    refused(tmp_path / "scan.hdr", "dimensions read")


def test_more_chunks_than_could_be_listed(tmp_path):
    """The chunks hold one number each; what is stored shows that there are few of them."""
    with changed(tmp_path, "fastmri") as file:
        del file["kspace"]
        kspace = file.create_dataset(
            "kspace", (1, 1, 10**4, 10**4), "c8", chunks=(1, 1, 1, 1), compression="gzip"
        )
        kspace.id.write_direct_chunk((0, 0, 0, 0), bytes(10**6))
    refused(tmp_path / "scan.h5", "chunks of 'kspace' are not all there")


def test_one_plane_of_kz_has_no_unsampled_end(tmp_path):
    parts = writers.hybrid(writers.coil_images((8, 6, 1), COILS) + np.complex64(1), 1)
    writers.write_calgary(tmp_path, "scan", parts)
    assert calgary_scan(tmp_path, "scan").mask.sum() == parts.any((0, 2, 3)).sum()


def test_the_mask_is_rolled_with_kspace(tmp_path):
    """In this file, lines begin with the centre of kz: k-space and mask move together."""
    images, sampled = writers.coil_images(SHAPE, COILS), np.ones(SHAPE[1:], bool)
    sampled[:, 2] = False
    chopped = images * (-1) ** np.arange(SHAPE[2])
    writers.write_ahead(
        tmp_path,
        "mp2rageme_001_inv1",
        chopped.astype(np.complex64),
        np.roll(sampled, -SHAPE[2] // 2, 1),
    )
    path = next(tmp_path.glob("*.h5"))
    with h5py.File(path, "r+") as file:  # lines that were not measured are absent
        rows = file["dataset/data"][()]
        keep = np.array([row["data"].any() for row in rows])
        del file["dataset/data"]
        file["dataset"].create_dataset("data", data=rows[keep])
    scan = ahead_scan(tmp_path, "001")
    assert np.array_equal(scan.mask.numpy(), sampled)
    kept = fourier.fft(torch.from_numpy(images))[:, :, sampled]
    torch.testing.assert_close(scan.kspace[:, :, scan.mask], kept, rtol=1e-3, atol=1e-3)
