"""Stanford knees: slices of alternating sign, a header of 2D data, and what is refused."""

import time

import h5py
import ismrmrd
import numpy as np
import pytest
import torch

from recon.data.stanford import stanford_scan
from recon.errors import ReconError
from recon.mri import fourier
from tests.data.writers import COILS, SHAPE, centred, coil_images, damages, write_stanford
from tests.io.io_files import acquisition, header, write_mrd

UUID = "52c2fd53-d233-4444-8bfd-7c454240d314"


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return coil_images()


@pytest.mark.parametrize("slices", ["chopped", "plain"])
def test_recovers_the_coil_images(tmp_path, images, slices):
    """Nothing is flipped or shifted, and amplitudes are as stored.

    This holds whether or not the sign of the slices alternates.
    """
    write_stanford(tmp_path, UUID, images, slices)
    scan = stanford_scan(tmp_path, UUID)
    torch.testing.assert_close(
        fourier.ifft(scan.kspace), torch.from_numpy(images), rtol=1e-4, atol=1e-4
    )
    assert scan.kspace.dtype == torch.complex64 and scan.shape == SHAPE and scan.coils == COILS
    assert scan.mask.all() and scan.mask.shape == SHAPE[1:]
    assert (
        scan.voxel == pytest.approx((0.5, 0.5, 0.6))
        and scan.name == UUID
        and scan.origin == "measured"
    )
    assert scan.meta["alternating sign of slices removed"] == (slices == "chopped")


def test_is_what_dl_cs_computes(tmp_path, images):
    """The factor (-1)^slice, then a centred transform along the slices, is written out here."""
    path = write_stanford(tmp_path, UUID, images)
    expected = np.zeros((COILS, *SHAPE), np.complex64)
    with ismrmrd.Dataset(str(path), mode="r") as dataset:
        for i in range(dataset.number_of_acquisitions()):
            line = dataset.read_acquisition(i)
            expected[:, :, line.idx.kspace_encode_step_1, line.idx.slice] = (
                line.data * (-1) ** line.idx.slice
            )
    torch.testing.assert_close(
        stanford_scan(tmp_path, UUID).kspace,
        torch.from_numpy(centred(expected, (3,))),
        rtol=1e-4,
        atol=1e-4,
    )


def test_noise_does_not_mislead_the_centring(tmp_path, images):
    rng = np.random.default_rng(0)
    noise = 0.3 * (rng.standard_normal(images.shape) + 1j * rng.standard_normal(images.shape))
    write_stanford(tmp_path, UUID, (images + noise).astype(np.complex64))
    torch.testing.assert_close(
        fourier.ifft(stanford_scan(tmp_path, UUID).kspace),
        torch.from_numpy(images + noise).to(torch.complex64),
    )


def test_refuses_damage_and_other_files(tmp_path, images):
    path = write_stanford(tmp_path, UUID, images)
    for kind in damages(path):
        with pytest.raises(ReconError) as caught:
            stanford_scan(tmp_path, UUID)
        assert "\n" not in str(caught.value) and path.name in str(caught.value), kind
    with pytest.raises(ReconError, match="0 files .* named absent"):
        stanford_scan(tmp_path, "absent")
    with pytest.raises(ReconError, match="no such folder"):
        stanford_scan(tmp_path / "absent", UUID)


def test_refuses_what_would_be_reconstructed_wrongly(tmp_path, images):
    wide = np.repeat(images[:, 4:8, 2:6, 5:6], 64, 3)  # fills the field of view along z
    cases = {"no centre along z": wide, "NaN": np.where(np.arange(SHAPE[2]) == 5, np.nan, images)}
    for message, content in cases.items():
        write_stanford(
            tmp_path,
            message[:3],
            content.astype(np.complex64),
            "kz" if "centre" in message else "chopped",
        )
        with pytest.raises(ReconError, match=message) as caught:
            stanford_scan(tmp_path, message[:3])
        assert "\n" not in str(caught.value) and f"{message[:3]}.h5" in str(caught.value)
    with h5py.File(tmp_path / "fast.h5", "w") as file:
        file["kspace"] = centred(images, (1, 2, 3)).transpose(3, 0, 1, 2)
    with pytest.raises(ReconError, match="fast.h5: is not an ISMRMRD file"):
        stanford_scan(tmp_path, "fast")


def test_a_volume_is_read_ten_times_faster_than_line_by_line(tmp_path):
    """The bulk reader is timed as the best of three.

    The loop over acquisitions is timed on every twentieth of the 8192 lines.
    """
    nx, ny, nz, coils = 32, 64, 128, 4
    rng = np.random.default_rng(0)
    rows = np.zeros(ny * nz, ismrmrd.hdf5.acquisition_dtype)
    rows["head"] = np.frombuffer(
        acquisition(np.zeros((coils, nx))).getHead(), ismrmrd.hdf5.acquisition_header_dtype
    )
    slices, lines = (
        index.ravel() for index in np.meshgrid(np.arange(nz), np.arange(ny), indexing="ij")
    )
    rows["head"]["idx"]["kspace_encode_step_1"], rows["head"]["idx"]["slice"] = lines, slices
    # an image along z, as far as the centring is concerned
    smooth = np.exp(-((slices - nz / 2) ** 2) / 400)
    for row, data in zip(
        rows, np.outer(smooth, rng.standard_normal(2 * coils * nx)).astype(np.float32), strict=True
    ):
        row["data"], row["traj"] = data, np.zeros(0, np.float32)
    path = write_mrd(tmp_path / "a.h5", [], header((nx, ny, 1), oversampling=1))
    with h5py.File(path, "a") as file:
        file["dataset"].create_dataset("data", data=rows, maxshape=(None,))

    ours = []
    for _ in range(3):
        start = time.perf_counter()
        stanford_scan(tmp_path, "a")
        ours.append(time.perf_counter() - start)
    start = time.perf_counter()
    with ismrmrd.Dataset(str(path), mode="r") as dataset:
        for i in range(0, ny * nz, 20):
            _ = dataset.read_acquisition(i).data
    theirs = 20 * (time.perf_counter() - start)
    print(f"{ny * nz} acquisitions: {min(ours):.2f} s, one by one {theirs:.2f} s")
    assert theirs > 10 * min(ours)
