import json
import os
import re
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch

from recon.__main__ import main
from recon.commands.asking import MASKS
from recon.commands.choosing import warn_of_masks
from recon.mri import fourier, masks
from recon.mri.problem import Problem
from recon.networks.unet import UNet, UNetConfig
from recon.networks.weights import save_weights
from recon.priors.ddpm import DDPM, DDPMTraining
from recon.schema import ROOT
from tests.conftest import complex_normal

WAVELET = ("--method", "l1_wavelet")


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
    given = {"input": str(scan_file), "output": str(out), "method": "cg_sense"}
    assert made["options"] == given | {"set": ["weight=0.0001"]}
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


@pytest.mark.parametrize("depth", [28, 1])
def test_infusion_on_a_volume_and_on_a_slice(depth, scene, tmp_path, generator):
    """Its network takes columns of a volume, and pixels of a slice."""
    image, maps = (part[..., :depth] for part in scene)
    kspace = torch.stack([fourier.fft(s * image) for s in maps])
    kspace = kspace + 0.01 * torch.randn(kspace.shape, generator=generator)
    np.savez(tmp_path / "scan.npz", kspace=kspace.numpy(), voxel=np.array([2.0, 2.0, 2.0]))
    network = UNetConfig(channels=16, multipliers=(1, 2), attention=(1,))
    save_weights(tmp_path / "p.safetensors", DDPMTraining(network=network), DDPM(UNet(network)), {})
    files = [str(tmp_path / name) for name in ("scan.npz", "out.nii.gz")]
    given = ["--method", "infusion", "--prior", str(tmp_path / "p.safetensors"), "--no-tune"]
    assert main(["reconstruct", *files, *given, "--set", "iterations=12"]) == 0
    volume = np.asarray(nib.load(tmp_path / "out.nii.gz").dataobj)
    assert volume.shape == (24, 32, depth) and np.isfinite(volume).all() and volume.any()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["IN", "out.png"], "end the name in .nii.gz"),
        (["absent.h5", "out.nii.gz"], "absent.h5"),
        (["IN", "out.nii.gz", "--method", "magic"], "no method is called 'magic'"),
        (["IN", "out.nii.gz", *WAVELET, "--set", "lambda=1"], "has no setting 'lambda'"),
        (["IN", "out.nii.gz", *WAVELET, "--set", "weight"], "expected KEY=VALUE"),
        (["IN", "out.nii.gz", *WAVELET, "--set", "weight=[1"], "weight = '[1'"),
        (["IN", "out.nii.gz", *WAVELET, "--set", "iterations=0"], "iterations"),
        (["IN", "out.nii.gz", "--set", "weight=0.1"], "give --method, too"),
        (["IN", "out.nii.gz", "--network", "prior=p"], "give --method, too"),
        (["IN", "out.nii.gz", "--device", "tpu"], "--device tpu"),
        (["IN", "absent/out.nii.gz"], "absent does not exist"),
        (["IN", "out.nii.gz", "--method", "annealed"], "needs --prior"),
        (
            ["IN", "out.nii.gz", "--method", "annealed", "--prior", "absent.safetensors"],
            "absent.safetensors",
        ),
        (["IN", "out.nii.gz", "--acceleration", "4", "--calibration", "2", "2"], "calibration"),
        (["IN", "out.nii.gz", "--acceleration", "0.5"], "--acceleration 0.5"),
        (["IN", "out.nii.gz", "--acceleration", "nan"], "--acceleration nan"),
        (["IN", "out.nii.gz", "--seed", "-1"], "--seed -1"),
        (["IN", "out.nii.gz", "--seed", str(10**20)], "--seed 1000"),
        (["IN", "out.nii.gz", *WAVELET, "--set", "levels=99"], "levels"),
        (["IN", "out.nii.gz", "--coils", "0"], "--coils 0"),
        (["IN", "out.nii.gz", "--coils", "9"], "9 virtual coils"),
        (["IN", "out.nii.gz", "--voxel", "0", "1", "1"], "--voxel"),
        (["IN", "out.nii.gz", "--axes", "coil,x,y,q"], "'q' is none"),
        (["IN", "out.nii.gz", "--axes", "coil,x,y"], "names 3 axes"),
        (["IN", "out.nii.gz", "--repetition", "3"], "has no repetition"),
        (["IN", "out.nii.gz", "--variable", "image"], "no array 'image'"),
        (["IN", "out.nii.gz", "--maps", "absent.npy"], "absent.npy"),
        (["IN", "out.nii.gz", "--save-maps", "maps.png"], "maps.png"),
        (["IN", "out.nii.gz", "--espirit", "size=3"], "--espirit size"),
        (["IN", "out.nii.gz", "--espirit", "crop=2"], "crop is 2"),
        (["IN", "out.nii.gz", "--espirit", "sets=5"], "5 sets"),
        (["IN", "out.nii.gz", "--device", "cuda:99"], "--device cuda:99"),
        # An option without effect is refused, never ignored.
        (["IN", "out.nii.gz", "--mask", "uniform"], "--mask belongs to --acceleration"),
        (["IN", "out.nii.gz", "--calibration", "8", "8"], "belongs to --acceleration"),
        (["IN", "out.nii.gz", "--prior", "x.safetensors"], "x.safetensors"),
        (["IN", "out.nii.gz", "--method", "cg_sense", "--prior", "x"], "needs no network"),
        (["IN", "out.nii.gz", "--trials", "5", "--no-tune"], "belongs to --tune"),
        (["IN", "out.nii.gz", "--trials", "1"], "--trials 1"),
        (["IN", "out.nii.gz", "--samples", "1"], "--samples 1"),
        (["IN", "out.nii.gz", "--method", "zero_filled", "--tune"], "nothing to tune"),
        (["IN", "out.nii.gz", "--method", "cg_sense", "--samples", "2"], "no prior to draw"),
        (["IN", "out.nii.gz", *WAVELET, "--network", "prior=x.safetensors"], "takes no network"),
        (["IN", "out.nii.gz", "--method", "zero_filled", "--seed", "1"], "draws nothing"),
        (["IN", "out.nii.gz", "--save-maps", "m.npy", "--all"], "give one"),
        (["s.hdr", "out.nii.gz", "--save-maps", "s.cfl"], "would overwrite"),
        (["s", "out.nii.gz", "--save-maps", "s.cfl"], "would overwrite"),
        (["x" * 300 + ".npy", "out.nii.gz"], "name too long"),
        (["IN", "x" * 300 + ".nii.gz"], "name too long"),
        (["IN", "out.nii.gz", "--partial-fourier", "zero"], "do not give --partial-fourier"),
        (["IN", "out.nii.gz", "--maps", "m.npy", "--save-maps", "m.npy"], "would overwrite"),
        (["IN", "out.nii.gz", "--maps", "m.npy", "--espirit", "crop=0.9"], "choose one"),
        (["IN", "out.nii.gz", "--partial-fourier", "pocs"], "do not give --partial-fourier"),
    ],
)
def test_every_error_is_one_line_and_writes_nothing(
    arguments, words, scan_file, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    assert main(["reconstruct", *[str(scan_file) if a == "IN" else a for a in arguments]]) == 2
    message = capsys.readouterr().err
    assert (
        words.lower() in message.lower()
        and message.startswith("recon: ")
        and message.count("\n") == 1
    )
    assert set(tmp_path.iterdir()) == before


def run(*arguments) -> int:
    return main(["reconstruct", *map(str, arguments)])


def test_masks_of_the_help_are_those_there_are():
    assert set(MASKS) == set(masks.KINDS)


def test_a_picture_of_somebody_else_is_kept(scan_file, tmp_path, capsys):
    """One beside a volume of this name is ours, and is replaced."""
    (tmp_path / "out.png").write_bytes(b"a photograph")
    assert run(scan_file, tmp_path / "out.nii.gz", "--method", "zero_filled") == 2
    assert "out.png: is there already" in capsys.readouterr().err
    assert (tmp_path / "out.png").read_bytes() == b"a photograph"
    for _ in range(2):
        assert run(scan_file, tmp_path / "new.nii.gz", "--method", "zero_filled") == 0


def test_a_sidecar_of_somebody_else_is_kept(scan_file, tmp_path, capsys):
    """One of ours is replaced."""
    (tmp_path / "out.json").write_text('{"EchoTime": 0.003}')
    assert run(scan_file, tmp_path / "out.nii.gz", "--method", "zero_filled") == 2
    assert "was not written by recon" in capsys.readouterr().err
    assert (tmp_path / "out.json").read_text() == '{"EchoTime": 0.003}'
    for _ in range(2):
        assert run(scan_file, tmp_path / "other.nii.gz", "--method", "zero_filled") == 0


def test_what_was_read_is_said(scan_file, tmp_path, capsys):
    """Sizes, voxels, sampling and noise; then what was assumed."""
    assert run(scan_file, tmp_path / "a.nii.gz", "--acceleration", 4, "--calibration", 12, 12) == 0
    said = capsys.readouterr().out
    for words in ("4 coils, 24 × 32 × 28 (x × y × z), voxels 2 × 2 × 2 mm", "R = 4.00", "signal"):
        assert words in said
    arrays = dict(np.load(scan_file))
    arrays["kspace"][2] = 0
    np.savez(scan_file, **arrays)
    assert run(scan_file, tmp_path / "a.nii.gz", "--voxel", 1, 1, 3) == 0
    said = capsys.readouterr().out
    assert "Channel 2 holds nothing" in said and "voxels 1 × 1 × 3 mm" in said
    made = json.loads((tmp_path / "a.json").read_text())
    assert "Channel 2" in made["notes"][0] and made["explained_by_maps"] > 0.9
    assert nib.load(tmp_path / "a.nii.gz").header.get_zooms() == (1, 1, 3)


def test_an_implausible_scan_is_refused_unless_forced(scan_file, tmp_path, capsys):
    arrays = dict(np.load(scan_file))
    arrays["kspace"] = np.fft.ifft(arrays["kspace"], axis=1)
    np.savez(scan_file, **arrays)
    out = tmp_path / "a.nii.gz"
    assert run(scan_file, out, "--method", "zero_filled") == 2
    assert "no centre along x" in capsys.readouterr().err and not out.exists()
    assert run(scan_file, out, "--method", "zero_filled", "--force") == 0 and out.exists()


def test_complex_numbers_and_the_phase(scan_file, scene, tmp_path):
    few = ("--method", "cg_sense", "--set", "weight=1e-4")
    assert run(scan_file, tmp_path / "a.nii.gz", *few, "--complex", "--phase") == 0
    whole = np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj)
    phase = np.asarray(nib.load(tmp_path / "a_phase.nii.gz").dataobj)
    assert whole.dtype == np.complex64 and phase.dtype == np.float32
    inside = abs(whole) > 0.1 * abs(whole).max()
    np.testing.assert_allclose(
        np.exp(1j * phase)[inside], whole[inside] / abs(whole[inside]), atol=1e-5
    )


@pytest.mark.parametrize("name", ["maps.npy", "maps.h5", "maps.cfl"])
@pytest.mark.parametrize("sets", [1, 2])
def test_maps_are_written_and_read_again(name, sets, scan_file, tmp_path):
    """The same maps give the same volume."""
    first, second, maps = (tmp_path / n for n in ("a.nii.gz", "b.nii.gz", name))
    few = ("--method", "cg_sense")
    assert run(scan_file, first, *few, "--save-maps", maps, "--espirit", f"sets={sets}") == 0
    assert run(scan_file, second, *few, "--maps", maps) == 0
    volumes = [np.asarray(nib.load(p).dataobj) for p in (first, second)]
    np.testing.assert_allclose(*volumes, atol=1e-3 * volumes[0].max())


def test_every_frame_is_written_to_a_file_of_its_own(scan_file, tmp_path, capsys):
    kspace = np.load(scan_file)["kspace"]
    series = np.stack([kspace, 2 * kspace, 3 * kspace])
    np.save(tmp_path / "s.npy", series)
    named = ("--method", "zero_filled", "--axes", "repetition,coil,x,y,z")
    assert run(tmp_path / "s.npy", tmp_path / "a.nii.gz", *named) == 0
    assert "first of 3 repetitions" in capsys.readouterr().out
    assert run(tmp_path / "s.npy", tmp_path / "b.nii.gz", *named, "--all") == 0
    paths = [tmp_path / f"b_repetition-{n}.nii.gz" for n in range(3)]
    volumes = [np.asarray(nib.load(p).dataobj) for p in paths]
    one = np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj)
    for n, volume in enumerate(volumes):
        np.testing.assert_allclose(volume, (n + 1) * one, rtol=1e-3, atol=1e-4 * one.max())


def test_partial_fourier_is_completed_and_said(scan_file, scene, tmp_path, capsys):
    """The error falls by a third at least; ``zero`` leaves it."""
    arrays = dict(np.load(scan_file))
    arrays["kspace"][:, :, 19:] = 0
    np.savez(scan_file, **arrays)
    truth, errors = scene[0].abs().numpy(), {}
    for choice in ("pocs", "zero"):
        out = tmp_path / f"{choice}.nii.gz"
        assert run(scan_file, out, "--method", "cg_sense", "--partial-fourier", choice) == 0
        errors[choice] = np.linalg.norm(np.asarray(nib.load(out).dataobj) - truth)
    assert errors["pocs"] < 0.67 * errors["zero"]
    assert "is completed by POCS" in capsys.readouterr().out


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


def test_without_options_the_scan_chooses_method_prior_and_settings(scan_file, tmp_path, capsys):
    """It says what it found, and writes volume, picture and a record to repeat it."""
    out = tmp_path / "out.nii.gz"
    few = ["--acceleration", "3", "--calibration", "8", "8", "--trials", "3"]
    assert main(["reconstruct", str(scan_file), str(out), *few]) == 0
    said = capsys.readouterr().out
    assert "l1_wavelet predicts samples that were kept back to" in said
    assert "annealed with the prior head predicts" in said and "So it is" in said
    assert "3 trials on the scan itself took" in said
    made = json.loads((tmp_path / "out.json").read_text())
    assert made["method"] in ("l1_wavelet", "annealed")
    assert made["choice"]["tuning"]["trials"] == 3 and len(made["choice"]["predicted_to"]) == 2
    assert (tmp_path / "out.png").is_file()
    given = [f"{k}={v}" for k, v in made["settings"].items() if k == "weight"]
    again = ["--method", made["method"], "--no-tune", "--set", *given, *few[:5]]
    again += ["--prior", made["weights"]["prior"]] if made["weights"] else []
    assert main(["reconstruct", str(scan_file), str(tmp_path / "again.nii.gz"), *again]) == 0


def test_samples_are_drawn_with_a_prior_whatever_predicts_best(scan_file, tmp_path, capsys):
    few = ["--acceleration", "3", "--calibration", "8", "8", "--no-tune", "--samples", "2"]
    assert main(["reconstruct", str(scan_file), str(tmp_path / "out.nii.gz"), *few]) == 0
    said = capsys.readouterr().out
    assert "So it is annealed with the prior head" in said and "Prior head: trained on" in said
    errors = dict(re.findall(r"(l1_wavelet|annealed).* predicts .* to ([\d.]+) %", said))
    worse = float(errors["annealed"]) > float(errors["l1_wavelet"])
    assert worse == ("Warning: l1_wavelet predicts better" in said)
    assert (tmp_path / "out_std.nii.gz").is_file()


def test_samples_are_drawn_unchecked_where_nothing_can_be_held_out(
    scan_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("recon.methods.prediction.FEWEST", 10**6)
    few = ["--acceleration", "3", "--calibration", "8", "8", "--no-tune", "--samples", "2"]
    assert main(["reconstruct", str(scan_file), str(tmp_path / "out.nii.gz"), *few]) == 0
    assert "annealed with the prior head is taken unchecked" in capsys.readouterr().out
    assert (tmp_path / "out_std.nii.gz").is_file()


def test_weights_of_another_kind_are_refused_before_the_scan_is_read(tmp_path, capsys):
    prior = str(ROOT / "data" / "priors" / "demo_brain_4x.safetensors")
    scan = tmp_path / "missing.h5"
    arguments = ["--method", "modl", "--prior", prior]
    assert main(["reconstruct", str(scan), str(tmp_path / "out.nii.gz"), *arguments]) == 2
    assert "needs a network of kind modl" in capsys.readouterr().err


def test_a_scan_larger_than_the_memory_says_how_much_it_needs(
    scan_file, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("recon.commands.reconstruct.COPIES", 10**9)
    assert main(["reconstruct", str(scan_file), str(tmp_path / "out.nii.gz")]) == 2
    message = capsys.readouterr().err
    assert "GB of memory" in message and message.count("\n") == 1
    assert not list(tmp_path.glob("out*"))


def test_a_prior_of_something_else_is_used_with_a_warning(scan_file, tmp_path, capsys):
    """It is taken, since it was asked for."""
    prior = str(ROOT / "data" / "priors" / "demo_brain_4x.safetensors")
    arguments = ["--prior", prior, "--no-tune", "--set", "steps=2", "--voxel", "0.5", "0.5", "0.5"]
    assert main(["reconstruct", str(scan_file), str(tmp_path / "out.nii.gz"), *arguments]) == 0
    said = capsys.readouterr().out
    assert "Warning: demo_brain_4x.safetensors was trained on brain (phantom)" in said
    assert "was trained on pixels of" in said and "here are 0.5 to 0.5 mm" in said


@pytest.mark.parametrize(
    ("mask", "rate", "warnings"),
    [
        ("gaussian_2d", 8, []),
        ("gaussian_2d", 4, ["was trained at R = 8; here R is"]),
        (
            "uniform_1d",
            8,
            ["was trained on masks gaussian_2d; whole lines", "R = 8; here R is 4.4"],
        ),
    ],
)
def test_a_network_that_learned_other_masks_is_used_with_a_warning(
    mask, rate, warnings, generator, capsys
):
    shape = (48, 48)
    kept = masks.make(mask, shape, rate, (6, 6), 0)
    kspace = complex_normal(2, 4, *shape, generator=generator)
    problem = Problem.build(kspace, kept, torch.ones(2, 4, *shape, dtype=torch.complex64))
    warn_of_masks(ROOT / "data" / "priors" / "r3dm_gaussian_modl.safetensors", problem)
    said = capsys.readouterr().out
    assert said.count("Warning") == len(warnings) and all(w in said for w in warnings)


def test_idle_threads_leave_the_cores_to_others_unless_the_user_says_otherwise():
    """Spin counts are read when torch is loaded, so `recon` sets them first."""
    show = "import os, recon; print(os.environ.get('GOMP_SPINCOUNT'))"
    clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    for given, expected in [
        ({}, "3000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "passive"}, "None"),
    ]:
        command = [sys.executable, "-c", show]
        done = subprocess.run(command, env=clean | given, check=True, capture_output=True)
        assert done.stdout.decode().strip() == expected


def test_samples_give_a_mean_and_a_standard_deviation(scan_file, tmp_path):
    prior = str(ROOT / "data" / "priors" / "demo_knee_2x.safetensors")
    arguments = ["--prior", prior, "--no-tune", "--acceleration", "3", "--calibration", "8", "8"]
    arguments += ["--set", "steps=2", "--samples", "2"]
    out = tmp_path / "out.nii.gz"
    assert main(["reconstruct", str(scan_file), str(out), *arguments]) == 0
    mean, std = (
        np.asarray(nib.load(tmp_path / f"out_{n}.nii.gz").dataobj) for n in ("mean", "std")
    )
    assert mean.shape == std.shape == (24, 32, 28)
    assert (std >= 0).all() and std.max() > 0 and mean.max() > std.max()
