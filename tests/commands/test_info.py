"""What a file holds is said from its headers, for every format, and at once."""

import json
import time

import h5py
import numpy as np
import pytest
import scipy.io

from recon.__main__ import main
from recon.io import read_scan
from tests.fuzz import kspace_files, volume_file
from tests.io.io_files import header, write_mrd


def facts(path, capsys) -> dict:
    assert main(["info", str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("kind", ["ismrmrd", "fastmri", "cfl", "hdr", "npy", "npz", "packed"])
def test_every_format_of_kspace(kind, tmp_path, capsys):
    path = kspace_files(kind, tmp_path)
    assert facts(path, capsys)["format"].split()[0].lower() in (
        kind, "bart", "npz", "ismrmrd", "fastmri",
    )  # fmt: skip
    assert main(["info", str(path)]) == 0 and "format" in capsys.readouterr().out


def test_volumes_matlab_and_weights(tmp_path, capsys):
    found = facts(volume_file(".nii.gz", tmp_path), capsys)
    assert found["format"] == "NIfTI" and found["orientation"] == "not given"
    scipy.io.savemat(tmp_path / "a.mat", {"kspace": np.ones((2, 8, 6), np.complex64)})
    assert facts(tmp_path / "a.mat", capsys)["arrays"]["kspace"].endswith("2×8×6")
    found = facts("data/priors/demo_knee.safetensors", capsys)
    assert found["format"] == "weights" and "provenance" in found


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", b"x"), ("a.npy", b"x"), ("a.h5", b"x"), ("a.nii.gz", b"x"),
                          ("a.mat", b"x"), ("a.safetensors", b"x"), ("a.npz", b""), ("b.h5", None)]
)  # fmt: skip
def test_other_files_are_refused_in_one_line(name, content, tmp_path, capsys):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["info", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and name in said


def test_two_gigabytes_take_less_than_a_second(tmp_path, capsys):
    """Nothing but the headers is read. The files are sparse."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("kspace", (40, 16, 640, 640), np.complex64)
        file["kspace"][0, 0, 0, 0] = 1
    np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.complex64, (16, 256, 320, 200))
    (tmp_path / "a.hdr").write_text("# Dimensions\n256 320 200 16\n")
    (tmp_path / "a.cfl").touch()
    for name in ("a.h5", "a.npy", "a.cfl"):
        begun = time.perf_counter()
        facts(tmp_path / name, capsys)
        assert time.perf_counter() - begun < 1


def test_methods_are_listed_and_explained(capsys):
    assert main(["methods"]) == 0
    assert "annealed" in capsys.readouterr().out
    assert main(["methods", "variational"]) == 0
    said = capsys.readouterr().out
    for words in ("settings (--set KEY=VALUE)", "t_max", "400", "of 1000", "prior (denoiser)"):
        assert words in said
    assert main(["methods", "magic"]) == 2


def test_every_setting_of_every_method_is_explained():
    from recon import methods

    for name in methods.names():
        for line in methods.explained(name):
            if line.startswith("  "):
                assert len(line.split(None, 2)) == 3, f"{name}: {line}"


def test_matlab_files_of_both_versions_hold_the_same(tmp_path):
    """Version 7.3 reverses the axes; CMRxRecon's order is named."""
    rng = np.random.default_rng(0)
    kspace = (rng.standard_normal((3, 8, 6, 4)) + 1j).astype(np.complex64)
    scipy.io.savemat(tmp_path / "v5.mat", {"kspace": kspace, "other": np.ones(3)})
    pair = np.empty(kspace.T.shape, [("real", "<f8"), ("imag", "<f8")])
    pair["real"], pair["imag"] = kspace.T.real, kspace.T.imag
    for name in ("v73.mat", "v73.h5"):
        with h5py.File(tmp_path / name, "w", userblock_size=512) as file:
            file["kspace"] = pair
            file["kspace"].attrs["MATLAB_class"] = np.bytes_(b"double")
    for name in ("v5.mat", "v73.mat", "v73.h5"):
        np.testing.assert_array_equal(read_scan(tmp_path / name).kspace.numpy(), kspace)


def test_an_empty_ismrmrd_file_is_described(tmp_path, capsys):
    path = write_mrd(tmp_path / "a.h5", [], header((8, 4, 1), oversampling=1))
    assert main(["info", str(path)]) in (0, 2)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "recon: No space left on device; make room"),
        (OSError(13, "Permission denied", "a.npy"), "recon: a.npy: Permission denied; make room"),
        (OSError("unable to write"), "recon: unable to write; make room, or choose another path"),
    ],
)
def test_an_error_of_the_system_is_one_line(error, words, monkeypatch, tmp_path, capsys):
    def fail(path):
        raise error

    monkeypatch.setattr("recon.io.summary.summary", fail)
    assert main(["info", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(words) and said.count("\n") == 1
