"""Damaged files end in a valid record or in one line, whatever the damage."""

import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from recon.data.scan import Scan
from recon.errors import ReconError
from recon.io import read_scan, read_volume, write_volume
from tests.io_files import NX, NY, coil_images, header, lines, transform, write_cfl, write_fastmri, write_mrd


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return coil_images()


@pytest.fixture(scope="module")
def good_files(tmp_path_factory, images) -> dict[str, bytes]:
    """One small valid file of every kind, as bytes."""
    folder = tmp_path_factory.mktemp("good")
    kspace = transform(images, (1, 2, 3))
    write_mrd(folder / "ismrmrd.h5", lines(kspace[:, :, :4, :3]), header((NX, 4, 3), oversampling=1))
    write_fastmri(folder / "fastmri.h5", kspace.transpose(3, 0, 1, 2)[:2], header((NX, NY, 1), oversampling=1), mask=np.ones(NY))
    write_cfl(folder / "bart", kspace.transpose(1, 2, 3, 0)[:, :4, :3])
    np.save(folder / "array.npy", kspace[:, :, :4, :3])
    np.savez(folder / "arrays.npz", kspace=kspace[:, :, :4, :3], mask=np.ones((4, 3)), voxel=[1, 2, 3])
    np.savez_compressed(folder / "packed.npz", kspace=kspace[:, :, :4, :3], voxel=[1, 2, 3])
    write_volume(folder / "volume.nii.gz", torch.from_numpy(images[0]), (1.0, 1.0, 1.0), complex=True)
    write_volume(folder / "volume.nii", torch.from_numpy(images[0]), (1.0, 1.0, 1.0))
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".json"}


def damaged(raw: bytes, seed: int) -> bytes:
    """A few overwritten bytes (half of them near the start, where the headers are) and, in every fourth file, a lost tail."""
    rng, out = random.Random(seed), bytearray(raw)
    for _ in range(rng.randint(1, 8)):
        out[int(rng.random() * rng.choice((1, 0.05)) * len(raw))] = rng.randrange(256)
    return bytes(out[: rng.randrange(len(raw))] if seed % 4 == 0 else out)


KINDS = ["ismrmrd.h5", "fastmri.h5", "bart.hdr", "bart.cfl", "array.npy", "arrays.npz", "packed.npz", "volume.nii.gz", "volume.nii"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore")
@settings(
    max_examples=150, phases=[Phase.generate], deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(seed=st.integers(0, 2**32))
def test_a_damaged_file_gives_a_scan_or_one_line(tmp_path_factory, good_files, name, seed):
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    for partner in ("bart.hdr", "bart.cfl"):
        (folder / partner).write_bytes(good_files[partner])
    (folder / name).write_bytes(damaged(good_files[name], seed))
    try:
        result = (read_volume if "volume" in name else read_scan)(folder / name)
        assert isinstance(result, Scan) or torch.isfinite(torch.view_as_real(result[0])).all()
    except ReconError as error:
        assert "\n" not in str(error) and name.partition(".")[0] in str(error)
