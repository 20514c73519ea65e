"""The same seed gives the same bits on one device, and nearly the same numbers elsewhere.

The CPU is compared with a GPU in tests/test_gpu.py.
"""

import os
import random
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from recon import methods, phantoms
from recon.files import digest
from recon.mri import masks
from recon.mri.metrics import psnr
from recon.mri.prepared import Prepared
from recon.mri.problem import Problem
from recon.mri.sense import Sense
from recon.networks.unet import UNetConfig
from recon.networks.weights import save_weights
from recon.priors.ddpm import DDPMTraining
from recon.schema import ROOT
from recon.study.config import Comparison, Tuning, load
from recon.study.study import Study
from recon.study.tuning import tune
from recon.training.loop import made_by, train_network
from tests.conftest import complex_normal
from tests.gaussian import network_for

# Relative ℓ2 between one thread and two, after two iterations: sums of float32 in another order.
# Conjugate gradients and samplers with a Gaussian prior differ by at most 4e-6. What is fitted by
# Adam divides by the size of a gradient, so a difference in a small one counts fully.
THREADS = 1e-2
CLOSE = dict.fromkeys(("annealed", "cg_sense", "dds", "diffusion_mbir", "fastmri_unet"), 2e-5)
# It begins with many steps of Adam, which fit a network to a first volume: 0.13 was measured.
CLOSE["field_implicit"] = 0.3


@pytest.fixture(scope="module")
def problem(scene) -> Problem:
    """A knee at R = 3 with a little noise, large enough that torch shares it between threads."""
    image, maps = scene
    generator = torch.Generator().manual_seed(0)
    kspace = Sense(maps, torch.ones(maps.shape[-2:], dtype=torch.bool)).forward(image)
    level = 0.05 * float(torch.view_as_real(image).std())
    kspace = kspace + phantoms.complex_noise(tuple(kspace.shape), level, generator)
    mask = masks.make("poisson_disc", tuple(maps.shape[-2:]), 3, (8, 8), 0)
    return Problem.build(kspace, mask, maps, level)


def reconstructed(problem: Problem, method: str, threads: int = 1, luck: int = 0) -> torch.Tensor:
    """Two iterations of a method; ``luck`` seeds every generator that the method must not use."""
    torch.manual_seed(0)
    network = network_for(method)  # its weights are drawn from torch's own generator
    torch.manual_seed(luck)
    np.random.seed(luck)
    random.seed(luck)
    few = dict.fromkeys({"iterations", "steps"} & set(vars(methods.lookup(method).settings())), 2)
    torch.set_num_threads(threads)
    try:
        return methods.reconstruct(problem, method, network, **few)
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize("method", methods.names())
def test_a_method_gives_the_same_bits_again_and_nearly_the_same_on_two_threads(method, problem):
    """Whatever was drawn before from the generators that all share."""
    first = reconstructed(problem, method)
    assert torch.equal(first, reconstructed(problem, method, luck=1))
    shared = reconstructed(problem, method, threads=2)
    apart = float((shared - first).norm() / first.norm())
    assert apart < CLOSE.get(method, THREADS)


# What a processor without AVX and without bf16 would do.
OLD = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"}


def test_an_older_processor_gives_nearly_the_same(tmp_path):
    """Within 0.01 dB; docs/cluster.md states it."""
    found = []
    for name, environment in (("new", {}), ("old", OLD)):
        command = [sys.executable, "-m", "tests.processor", str(tmp_path / name)]
        subprocess.run(command, cwd=ROOT, env=os.environ | environment, check=True)
        found.append(load_file(tmp_path / name))
    for method in ("cg_sense", "annealed"):
        one, other = (psnr(made[method], made["truth"]) for made in found)
        assert abs(one - other) < 0.01, f"{method}: {one:.4f} and {other:.4f} dB"


def test_another_seed_gives_another_result(problem):
    """Else the test above could not fail for methods that draw."""
    seeded = [n for n in methods.names() if "seed" in vars(methods.lookup(n).settings())]
    assert "tpdm" in seeded
    prior = network_for("tpdm")
    one, other = (
        methods.reconstruct(problem, "tpdm", prior, steps=3, seed=seed) for seed in (0, 1)
    )
    assert not torch.equal(one, other)


def trained(folder, seed: int = 0) -> tuple[torch.nn.Module, dict]:
    """A small network after eight steps, and the hash of its file."""
    generator = torch.Generator().manual_seed(1)
    volumes = [
        torch.fft.ifftn(complex_normal(2, 2, 2, generator=generator), s=(12, 16, 10))
        for _ in range(2)
    ]
    about = {"noise": 0.0, "voxel": (1.0, 1.0, 1.0), "name": "", "origin": "phantom", "hash": ""}
    held = [Prepared(None, v[0].abs() >= 0, None, v, v.abs() > 0, **about) for v in volumes]
    network = UNetConfig(channels=16, multipliers=(1, 2), attention=(1,), patch=2)
    settings = DDPMTraining(network=network, steps=8, check_every=4, batch=2, seed=seed)
    model, log = train_network(settings, held, held, folder / f"{seed}.ckpt")
    for entry in log:
        entry["seconds"] = 0.0  # the one thing that a clock says
    save_weights(folder / f"{seed}.safetensors", settings, model, made_by(settings, log))
    return model, digest(folder / f"{seed}.safetensors")


def test_training_gives_the_same_weights_again(tmp_path):
    """Bit for bit, in memory and on disk; another seed gives others."""
    found = []
    for luck, name in enumerate(("one", "two")):
        torch.manual_seed(luck)
        np.random.seed(luck)
        (tmp_path / name).mkdir()
        found.append(trained(tmp_path / name))
    (one, first), (two, second) = found
    weights = one.state_dict(), two.state_dict()
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert first == second
    assert trained(tmp_path / "one", seed=1)[1] != first


def small(folder) -> Study:
    """A study of one small knee with methods that need no prior."""
    config = load("smoke")
    section = config.datasets["knee"].model_copy(update={"shape": (16, 32, 32), "coils": 2})
    parts = {
        "datasets": {"knee": section},
        "methods": {"zero_filled": {}, "cg_sense": {}, "l1_wavelet": {"iterations": 5}},
        "networks": {},
        "accelerations": [3.0],
        "comparisons": {"10_methods_without_shift": Comparison()},
        "notebooks": ["10_methods_without_shift"],
        "tuning": Tuning(trials=4, subjects=1, edges="report", widen=0, accelerations=[3.0]),
    }
    return Study(config.model_copy(update=parts), folder)


def test_preparing_tuning_and_comparing_give_the_same_again(tmp_path):
    """In two folders that share nothing: the volume, the record, and the table but its costs."""
    studies = [small(tmp_path / name) for name in ("one", "two")]
    files = [study.prepare("knee", 200) for study in studies]
    with h5py.File(files[0]) as one, h5py.File(files[1]) as two:
        assert one.attrs["hash"] == two.attrs["hash"] and set(one) == set(two)
        assert all(np.array_equal(one[name], two[name]) for name in one)
    records = [tune(study, "knee", "l1_wavelet") for study in studies]
    assert records[0] == records[1] and records[0]["best"]["3"]
    tables = [study.comparison("10_methods_without_shift") for study in studies]
    costs = ["seconds", "peak_memory_mb"]
    one, two = (table.drop(columns=costs) for table in tables)
    pd.testing.assert_frame_equal(one, two, check_exact=True)
