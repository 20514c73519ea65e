"""The small inputs that once failed, where they lie beside the project, each with what is expected.

Small copies of every kind are in tests/io, tests/mri and tests/commands, and always run.
"""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from recon.__main__ import main
from recon.schema import ROOT

CASES = ROOT.parent / "shared" / "cases"
PRIOR = ROOT / "data" / "priors" / "demo_brain.safetensors"
# Case, file, options, and the largest error against the image that is expected.
RIGHT = [
    ("00_axis_of_two", "two_slices.h5", "cg_sense", "expected.npy", 0.02),
    (
        "02_centre_of_kspace_not_checked",
        "corner_clean.npy",
        "cg_sense",
        "corner_expected.npy",
        0.05,
    ),
    ("07_fewer_samples_than_the_matrix", "half.h5", "cg_sense", "expected.npy", 0.05),
    ("21_annealed_one_coil", "one_coil_undersampled.npy", "annealed", "expected.npy", 0.12),
    ("21_annealed_one_coil", "one_coil_undersampled.npy", "l1_wavelet", "expected.npy", 0.1),
]
READ = [
    ("04_separate_calibration", "separate.h5", "calibration scan of 16"),
    ("04_separate_calibration", "embedded.h5", "R = 1.43"),
    ("05_orientation", "sagittal.h5", "R = 1.00"),
    ("06_dead_channel_in_noise_scan", "dead.h5", "left out"),
    ("06_dead_channel_in_noise_scan", "dead_without_noise_scan.h5", "left out"),
    ("06_dead_channel_in_noise_scan", "zeros.h5", "left out"),
    ("09_matrix_z_2_of_a_2d_scan", "z2.h5", "a 2D scan"),
    ("11_centre_sample_one_off", "centre31.h5", "was taken for the middle"),
    ("18_frames", "aborted.h5", "repetition 1 is unfinished"),
    ("18_frames", "complete.h5", "first of 2 repetitions"),
    ("22_matlab", "v5.mat", "6 coils"),
    ("22_matlab", "v73.mat", "6 coils"),
    ("22_matlab", "v73.h5", "6 coils"),
]
REFUSED = [
    ("01_undersampled_along_axis_1", "ky_kx.npy", [], "sampling varies along x"),
    ("03_calibration_within_the_noise", "noise.npy", [], "rises above the noise"),
    ("03_calibration_within_the_noise", "low_snr.npy", [], "rises above the noise"),
    ("12_one_line", "line.npy", ["--method", "annealed", "--prior", str(PRIOR)], "no slices"),
    ("12_one_line", "line.npy", ["--method", "tpdm_dds", "--prior", str(PRIOR)], "no slices"),
    ("12_one_line", "sample.npy", ["--method", "zero_filled"], "rises above the noise"),
    ("13_numbers_too_large", "small.npy", ["--seed", "99999999999999999999"], "--seed"),
    ("13_numbers_too_large", "small.npy", ["--set", "levels=99"], "levels"),
]


def case(name: str, file: str) -> str:
    path = CASES / name / file
    if not path.exists():
        pytest.skip("the folder of cases is not beside the project")
    return str(path)


def reconstructed(name: str, file: str, method: str, out: Path) -> np.ndarray:
    prior = ["--prior", str(PRIOR)] if method == "annealed" else []
    assert main(["reconstruct", case(name, file), str(out), "--method", method, *prior]) == 0
    return np.asarray(nib.load(out).dataobj)


@pytest.mark.parametrize(("name", "file", "method", "expected", "most"), RIGHT)
def test_the_image_is_right(name, file, method, expected, most, tmp_path):
    volume = reconstructed(name, file, method, tmp_path / "o.nii.gz")
    truth = np.load(case(name, expected))
    assert np.linalg.norm(volume.reshape(truth.shape) - truth) < most * np.linalg.norm(truth)


@pytest.mark.parametrize(("name", "file", "words"), READ)
def test_it_is_read_with_a_word(name, file, words, tmp_path, capsys):
    volume = reconstructed(name, file, "cg_sense", tmp_path / "o.nii.gz")
    assert volume.any() and words in capsys.readouterr().out


@pytest.mark.parametrize(("name", "file", "options", "words"), REFUSED)
def test_it_is_refused_in_one_line(name, file, options, words, tmp_path, capsys):
    assert main(["reconstruct", case(name, file), str(tmp_path / "o.nii.gz"), *options]) == 2
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("slices", [24, 48])
def test_end_slices_are_as_good_as_the_others(slices, tmp_path):
    make = case("08_end_slices_of_a_stack", "make.py")
    subprocess.run([sys.executable, make, str(tmp_path), str(slices)], check=True)
    stack, out = str(tmp_path / "stack.h5"), str(tmp_path / "o.nii.gz")
    assert main(["reconstruct", stack, out, "--method", "l1_wavelet"]) == 0
    compare = [sys.executable, make, str(tmp_path), str(slices), "compare"]
    said = subprocess.run(compare, check=True, capture_output=True, text=True).stdout
    errors = [float(e) for e in said.split("[")[1].rstrip("]\n").split()]
    assert max(errors) < 0.03 and max(errors) < 1.3 * min(errors)
