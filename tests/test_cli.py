import json

import nibabel as nib
import numpy as np
import pytest
import torch

from recon.__main__ import main
from recon.mri import fourier
from recon.networks.unet import UNet, UNetConfig
from recon.networks.weights import save_weights
from recon.priors.ddpm import DDPM, DDPMTraining


@pytest.fixture
def scan_file(scene, tmp_path):
    """A fully sampled scan as .npz, 2 mm voxels."""
    image, maps = scene
    kspace = torch.stack([fourier.fft(s * image) for s in maps])
    path = tmp_path / "scan.npz"
    np.savez(path, kspace=kspace.numpy(), voxel=np.array([2.0, 2.0, 2.0]))
    return path


def test_reconstruct_recovers_the_image(scan_file, scene, tmp_path, capsys):
    """A fully sampled scan comes back as its magnitude, and the sidecar says how."""
    out = tmp_path / "out.nii.gz"
    assert (
        main(
            [
                "reconstruct",
                str(scan_file),
                str(out),
                "--method",
                "cg_sense",
                "--set",
                "weight=0.0001",
            ]
        )
        == 0
    )
    volume, truth = np.asarray(nib.load(out).dataobj), scene[0].abs().numpy()
    assert np.linalg.norm(volume - truth) < 0.05 * np.linalg.norm(truth)
    assert nib.load(out).header.get_zooms()[:3] == (2, 2, 2)
    made = json.loads((tmp_path / "out.json").read_text())
    assert (
        made["method"] == "cg_sense"
        and made["settings"]["weight"] == 1e-4
        and made["acceleration"] == 1
    )
    assert "24 × 32 × 28" in capsys.readouterr().out


def test_reconstruct_with_a_prior_undersamples_first(scan_file, tmp_path):
    network = UNetConfig(channels=16, multipliers=(1, 2), attention=(1,))
    save_weights(tmp_path / "p.safetensors", DDPMTraining(network=network), DDPM(UNet(network)), {})
    arguments = [
        "--method",
        "annealed",
        "--prior",
        str(tmp_path / "p.safetensors"),
        "--set",
        "steps=3",
    ]
    out = tmp_path / "out.nii.gz"
    assert (
        main(
            [
                "reconstruct",
                str(scan_file),
                str(out),
                *arguments,
                "--acceleration",
                "4",
                "--calibration",
                "8",
                "8",
            ]
        )
        == 0
    )
    assert json.loads((tmp_path / "out.json").read_text())["acceleration"] == pytest.approx(
        4, rel=0.02
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["IN", "out.png"], "end the name in .nii.gz"),
        (["absent.h5", "out.nii.gz"], "absent.h5"),
        (["IN", "out.nii.gz", "--method", "magic"], "no method is called 'magic'"),
        (["IN", "out.nii.gz", "--set", "lambda=1"], "has no setting 'lambda'"),
        (["IN", "out.nii.gz", "--set", "weight"], "expected KEY=VALUE"),
        (["IN", "out.nii.gz", "--set", "weight=[1"], "weight = '[1'"),
        (["IN", "out.nii.gz", "--set", "iterations=0"], "iterations"),
        (["IN", "out.nii.gz", "--device", "tpu"], "--device tpu"),
        (["IN", "absent/out.nii.gz"], "absent does not exist"),
        (["IN", "out.nii.gz", "--method", "annealed"], "needs --prior"),
        (
            ["IN", "out.nii.gz", "--method", "annealed", "--prior", "absent.safetensors"],
            "absent.safetensors",
        ),
        (["IN", "out.nii.gz", "--acceleration", "4", "--calibration", "2", "2"], "calibration"),
        (["IN", "out.nii.gz", "--acceleration", "0.5"], "0.5"),
    ],
)
def test_every_error_is_one_line_and_writes_nothing(
    arguments, words, scan_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    assert main(["reconstruct", *[str(scan_file) if a == "IN" else a for a in arguments]]) == 2
    message = capsys.readouterr().err
    assert words in message and message.startswith("recon: ") and message.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def test_nan_is_refused(scan_file, tmp_path, capsys):
    arrays = dict(np.load(scan_file))
    arrays["kspace"][0, 1, 2, 3] = np.nan
    np.savez(scan_file, **arrays)
    assert main(["reconstruct", str(scan_file), str(tmp_path / "out.nii.gz")]) == 2
    assert "scan.npz" in capsys.readouterr().err


def test_measured_coil_images_are_reconstructed(real_data, tmp_path):
    """Seven measured coils, three times fewer lines: each better method comes closer to the fully
    sampled reconstruction.
    """
    images = np.load(real_data / "multicoil/brain_axial_7coil_images.npz")["arr_0"]
    kspace = fourier.fft(torch.from_numpy(np.moveaxis(images, -1, 0)), (-2, -1))
    np.savez(tmp_path / "scan.npz", kspace=kspace.numpy()[..., None])
    undersampled = ["--acceleration", "3", "--mask", "gaussian_1d", "--calibration", "24", "1"]
    volumes = {}
    for name, method, options in [
        ("full", "zero_filled", []),
        *[(m, m, undersampled) for m in ("zero_filled", "cg_sense", "l1_wavelet")],
    ]:
        out = tmp_path / f"{name}.nii.gz"
        assert (
            main(
                ["reconstruct", str(tmp_path / "scan.npz"), str(out), "--method", method, *options]
            )
            == 0
        )
        volumes[name] = np.asarray(nib.load(out).dataobj)
    errors = [
        np.linalg.norm(volumes[m] - volumes["full"])
        for m in ("zero_filled", "cg_sense", "l1_wavelet")
    ]
    assert errors == sorted(errors, reverse=True) and errors[2] < 0.1 * np.linalg.norm(
        volumes["full"]
    )
