"""All that is written with a result says its seed, the versions, and hashes of its inputs."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from recon.__main__ import main
from recon.figures.sidecar import sidecar
from recon.files import digest
from recon.mri import fourier
from recon.networks.unet import UNetConfig
from recon.networks.weights import load_weights, save_weights
from recon.priors.ddpm import DDPMTraining
from recon.training.loop import made_by, run_key
from recon.versions import versions
from tests.test_determinism import small, trained


def entries(values: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All keys with their values, those inside others, too."""
    if isinstance(values, dict):
        for key, value in values.items():
            yield key, value
            yield from entries(value, key)


def check(made: dict) -> None:
    """Fails where a sidecar lacks a seed, a version or a hash."""
    found = list(entries(made))
    assert any("seed" in key and value is not None for key, value in found), "no seed"
    packages = next(value for key, value in found if key == "packages")
    assert versions().items() <= packages.items() and packages["torch"] == torch.__version__
    hashes = [v for _, v in found if isinstance(v, str) and re.search(r"\b[0-9a-f]{12,64}\b", v)]
    assert hashes, "no hash"


@pytest.fixture
def study(tmp_path):
    study = small(tmp_path)
    for method in ("cg_sense", "l1_wavelet"):
        path = study.tuning_path("knee", method)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"best": {"3": {}}}))
    return study


def test_that_of_a_figure(study):
    for subject in (200, 201):
        study.prepare("knee", subject)
    made = json.loads(json.dumps(sidecar(study, "10_methods_without_shift")))
    check(made)
    assert set(made["volumes"]) == {"knee/200", "knee/201"} and made["packages"]["snakemake"]


def test_that_of_a_case(study):
    """Its record stands beside the volume; the table has numbers alone, and its key is the same."""
    case = study.case("knee", 200, 3, "l1_wavelet")
    row = study.run(case)
    path = study.case_path(row["key"]).with_suffix(".json")
    made = json.loads(path.read_text())["made"]
    check(made | {"seed": study.config.mask.seed})
    assert made["volume"] == study.volume("knee", 200).hash and made["settings"] == case.settings
    assert "made" not in row and row["key"] == study.key(case)
    old = {k: v for k, v in json.loads(path.read_text()).items() if k != "made"}
    path.write_text(json.dumps(old))  # as records were before
    assert study.run(case) == row


def test_that_of_weights(tmp_path):
    network = UNetConfig(channels=16, multipliers=(1, 2), attention=(1,), patch=2)
    settings = DDPMTraining(network=network, steps=8, check_every=4, batch=2, seed=3)
    model, _ = trained(tmp_path)
    path, key = tmp_path / "a.safetensors", run_key(settings, ["hash"], "code")
    save_weights(path, settings, model, made_by(settings, [], run=key))
    made = load_weights(path)[1]
    check(made)
    assert made["training"]["seed"] == 3 and made["run"] == key


@pytest.mark.parametrize("kind", ["npz", "bart", "bart without an ending"])
def test_that_of_a_scan(kind, scene, tmp_path):
    """The hash is that of the samples, of BART's pair, too, and that of given maps."""
    image, maps = scene
    kspace = torch.stack([fourier.fft(s * image) for s in maps]).numpy()
    np.save(tmp_path / "maps.npy", maps.numpy())
    if kind == "npz":
        samples = given = tmp_path / "scan.npz"
        np.savez(given, kspace=kspace)
    else:
        samples = tmp_path / "scan.cfl"
        given = samples if kind == "bart" else tmp_path / "scan"
        samples.write_bytes(kspace.transpose(1, 2, 3, 0).astype("<c8").tobytes(order="F"))
        sizes = " ".join(map(str, (*kspace.shape[1:], kspace.shape[0], *(12 * [1]))))
        samples.with_suffix(".hdr").write_text(f"# Dimensions\n{sizes}\n")
    options = ["--method", "cg_sense", "--no-tune", "--maps", str(tmp_path / "maps.npy")]
    assert main(["reconstruct", str(given), str(tmp_path / "out.nii.gz"), *options]) == 0
    made = json.loads((tmp_path / "out.json").read_text())
    check(made)
    assert made["input_sha256"] == digest(samples)[:16]
    assert made["maps_sha256"] == digest(tmp_path / "maps.npy")[:16]
    assert made["device"] and made["threads"] >= 1
