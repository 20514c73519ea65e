"""A case that does not fit into memory is done again in smaller chunks, says so, and is the same.

Memory is short here where a network, or an implicit function, sees too many samples at once.
"""

import json

import pytest
import torch

from recon.errors import ReconError
from recon.mri.problem import Problem
from recon.networks import trained
from recon.networks.unet import UNet, UNetConfig
from recon.networks.weights import save_weights
from recon.priors.ddpm import DDPMTraining
from recon.representations.implicit import Implicit
from recon.study.config import load
from recon.study.memory import DIVISORS, divided, fitting
from recon.study.study import Study
from tests.conftest import complex_normal

CPU = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"
ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    MemoryError("Unable to allocate 9.00 GiB for an array"),
    MemoryError(),
    RuntimeError(CPU),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
]
IMPLICIT = {"slices": 2, "iterations": 2, "pixel": 1.0}
IMPLICIT["representation"] = {"kind": "implicit", "warm": 0}
TOLERANCE = 1e-5  # of the largest value: sums of float32 in another order


def small(root) -> Study:
    """A phantom of 16×24×24 voxels, a prior with random weights, and two methods."""
    config = load("smoke")
    knee = config.datasets["knee"].model_copy(update={"shape": (16, 24, 24), "coils": 2})
    prior = DDPMTraining(
        dataset="knee", network=UNetConfig(channels=8, multipliers=(1,), attention=())
    )
    methods = {
        "annealed": {"steps": 3},
        "field_implicit": IMPLICIT,
    }
    changes = {"datasets": {"knee": knee}, "networks": {"knee": prior}, "methods": methods}
    changes["mask"] = config.mask.model_copy(update={"calibration": (8, 8)})
    study = Study(config.model_copy(update=changes), root)
    torch.manual_seed(0)
    save_weights(study.network_path("knee"), prior, trained.build(prior), {})
    return study


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What `annealed` gives where memory is ample: its row and magnitude."""
    study = small(tmp_path_factory.mktemp("plain"))
    row = study.run(study.case("knee", 200, 2, "annealed"))
    return row, study.reconstruction(row)


def short(monkeypatch, kind, method, most, error):
    """Calls with more than ``most`` samples meet ``error``."""
    run = getattr(kind, method)

    def limited(self, x, *more):
        if len(x) > most:
            raise error
        return run(self, x, *more)

    monkeypatch.setattr(kind, method, limited)


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: f"{type(e).__name__} {str(e)[:20]}")
def test_a_network_sees_fewer_slices_at_once(error, plain, tmp_path, monkeypatch, capsys):
    short(monkeypatch, UNet, "forward", 8, error)
    study = small(tmp_path)
    row = study.run(study.case("knee", 200, 2, "annealed"))
    known, magnitude = plain
    assert torch.allclose(
        study.reconstruction(row), magnitude, rtol=0, atol=TOLERANCE * float(magnitude.max())
    )
    assert row["key"] == known["key"] and row["denoised_slices"] == known["denoised_slices"]
    assert row["chunks_divided_by"] == 4 and "chunks_divided_by" not in known
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "annealed on knee/200 at R = 2: out of memory" in said
    [record] = (study.results / "cases").glob("*.json")
    assert json.loads(record.read_text())["chunks_divided_by"] == 4
    assert study.network("knee").batch == 32, "later cases begin with the full size again"


def test_an_implicit_function_sees_fewer_points_at_once(tmp_path, monkeypatch):
    """In float32, as bf16 rounds by 1e-2. Adam divides small gradients by their size, and so
    makes their rounding larger: 1e-4 was measured."""
    monkeypatch.setattr("recon.representations.implicit.multiplies_bf16", lambda device: False)
    ample = small(tmp_path / "ample")
    magnitude = ample.reconstruction(ample.run(ample.case("knee", 200, 2, "field_implicit")))
    short(monkeypatch, Implicit, "features", 2500, RuntimeError(CPU))
    study = small(tmp_path / "short")
    row = study.run(study.case("knee", 200, 2, "field_implicit"))
    error = float((study.reconstruction(row) - magnitude).abs().max() / magnitude.max())
    assert row["chunks_divided_by"] == 16 and error < 1e-3


def test_the_forward_model_is_the_same_in_smaller_chunks(generator):
    maps = complex_normal(6, 12, 8, 10, generator=generator)
    mask = torch.rand(8, 10, generator=generator) > 0.5
    problem = Problem.build(mask * maps, mask, maps)
    smaller = divided(problem, {}, {}, 4)[0].operator
    assert (smaller.slab, smaller.coils_per_chunk) != (
        problem.operator.slab,
        problem.operator.coils_per_chunk,
    )
    x = complex_normal(12, 8, 10, generator=generator)
    assert torch.equal(smaller.normal(x), problem.operator.normal(x))
    assert torch.allclose(smaller.adjoint(maps), problem.operator.adjoint(maps), rtol=0, atol=1e-5)


def test_what_does_not_fit_in_the_smallest_chunks_is_one_line(tmp_path, monkeypatch, capsys):
    short(monkeypatch, UNet, "forward", 0, torch.OutOfMemoryError("CUDA out of memory.\nmore"))
    study = small(tmp_path)
    with pytest.raises(ReconError, match="even in the smallest chunks") as refused:
        study.run(study.case("knee", 200, 2, "annealed"))
    assert "\n" not in str(refused.value) and "annealed on knee/200" in str(refused.value)
    assert capsys.readouterr().err.count("\n") == len(DIVISORS) - 1
    assert not list((study.results / "cases").glob("*.json"))


def test_other_errors_are_not_tried_again():
    calls = []

    def work(divisor):
        calls.append(divisor)
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        fitting("x", work)
    assert calls == [1]
