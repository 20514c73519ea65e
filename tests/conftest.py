"""Shared fixtures: a small multi-coil scan, and the real data where it lies beside the project."""

import os
from pathlib import Path

import pytest
import torch
from jaxtyping import config, install_import_hook

import tests.typecheck  # noqa: F401

if not torch.cuda.is_available():
    # Before any test loads Triton: its kernels then run here, in its interpreter.
    os.environ["TRITON_INTERPRET"] = "1"
install_import_hook(
    "recon", "tests.typecheck.checked"
)  # shapes and types of every call are checked from here on

from recon import phantoms  # noqa: E402
from recon.schema import ROOT  # noqa: E402

torch.set_num_threads(1)  # the arrays of the tests are too small to share between threads
REAL_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture
def generator() -> torch.Generator:
    """A fresh generator, so that every test draws the same numbers alone and in company."""
    return torch.Generator().manual_seed(0)


@pytest.fixture
def unchecked():
    """Switches the run-time type checks off, to see what a user without them is told."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """A knee of 24×32×28 voxels and four unit-norm coil maps."""
    shape = (24, 32, 28)
    image = phantoms.subject("knee", 1).render(shape)
    maps = phantoms.coil_maps(4, shape, phantoms.FOV["knee"], 1)
    return image, maps / maps.abs().square().sum(0).sqrt()


@pytest.fixture
def real_data() -> Path:
    """The folder of real volumes; tests that need it are skipped where it is absent."""
    if not REAL_DATA.is_dir():
        pytest.skip("the folder of real data is not beside the project")
    return REAL_DATA


def complex_normal(
    *shape: int, generator: torch.Generator, dtype: torch.dtype = torch.complex64
) -> torch.Tensor:
    """Standard complex normal numbers."""
    return torch.randn(shape, generator=generator, dtype=dtype)
