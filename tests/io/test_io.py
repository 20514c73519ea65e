"""Files as their formats publish them give back the coil images they were made from.

The object has no symmetry, so a flip, a shift or a lost factor fails.
"""

import shutil
import subprocess
import time

import h5py
import ismrmrd
import numpy as np
import pytest
import torch

from recon.errors import ReconError
from recon.io import Selection, read_scan, read_volume
from recon.mri import fourier
from recon.mri.scan import Scan
from tests.io.io_files import (
    COILS,
    NX,
    NY,
    NZ,
    acquisition,
    coil_images,
    header,
    lines,
    oversampled,
    transform,
    write_cfl,
    write_fastmri,
    write_mrd,
)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return coil_images()


def assert_recovers(scan: Scan, images: np.ndarray) -> None:
    assert scan.kspace.dtype == torch.complex64 and scan.kspace.shape == images.shape
    torch.testing.assert_close(
        fourier.ifft(scan.volume().kspace), torch.from_numpy(images), rtol=1e-4, atol=1e-4
    )


# ISMRMRD


def test_ismrmrd_3d_recovers_the_coil_images(tmp_path, images):
    """With an oversampled readout, a noise scan, a navigator to be ignored, and shuffled lines."""
    rng = np.random.default_rng(0)
    noise = (rng.standard_normal((COILS, 50)) + 1j * rng.standard_normal((COILS, 50))).astype(
        np.complex64
    )
    shuffled = [lines(oversampled(images))[i] for i in rng.permutation(NY * NZ)]
    navigator = acquisition(100 * np.ones((COILS, 8)), 1, 1, [ismrmrd.ACQ_IS_NAVIGATION_DATA])
    first = acquisition(noise, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])
    scan = read_scan(write_mrd(tmp_path / "a.h5", [first, navigator, *shuffled], header()))
    assert_recovers(scan, images)
    assert scan.mask.all() and scan.voxel == (1.0, 1.5, 2.0)
    torch.testing.assert_close(scan.noise, torch.from_numpy(noise))
    assert scan.meta["matrix"] == (2 * NX, NY, NZ) and "oversampling" in scan.meta


def test_ismrmrd_noise_scan_is_given_at_the_level_of_the_image(tmp_path, images):
    """Noise at four times the bandwidth is twice as strong.

    Two averages lower the noise of the image by the square root of two.
    """
    noise = np.ones((COILS, 50), np.complex64)
    first = acquisition(noise, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT], sample_time_us=2.5)
    once = lines(transform(images, (1, 2, 3)), sample_time_us=10.0)
    scan = read_scan(
        write_mrd(tmp_path / "a.h5", [first, *once], header((NX, NY, NZ), oversampling=1))
    )
    torch.testing.assert_close(scan.noise, torch.from_numpy(noise / 2))
    twice = once + lines(transform(images, (1, 2, 3)), sample_time_us=10.0, average=1)
    scan = read_scan(
        write_mrd(tmp_path / "b.h5", [first, *twice], header((NX, NY, NZ), oversampling=1))
    )
    torch.testing.assert_close(scan.noise, torch.from_numpy(noise / 2**1.5).to(torch.complex64))


def test_ismrmrd_partial_fourier_is_placed_around_the_encoded_centre(tmp_path, images):
    """Steps count from the first measured line; the encoding limits give the centre."""
    kspace = oversampled(images)
    acquisitions = [
        acquisition(kspace[:, :, y, z], y - 2, z - 1) for y in range(2, NY) for z in range(1, NZ)
    ]
    scan = read_scan(
        write_mrd(tmp_path / "a.h5", acquisitions, header(center=(NY // 2 - 2, NZ // 2 - 1)))
    )
    expected = transform(images, (1, 2, 3))
    expected[:, :, :2], expected[..., :1] = 0, 0
    torch.testing.assert_close(scan.kspace, torch.from_numpy(expected), rtol=1e-4, atol=1e-4)
    assert torch.equal(
        scan.mask, torch.from_numpy(np.outer(np.arange(NY) >= 2, np.arange(NZ) >= 1))
    )


@pytest.mark.parametrize(("pre", "post"), [(0, 0), (2, 3)])
def test_ismrmrd_asymmetric_echo_is_zero_filled_around_its_centre(tmp_path, images, pre, post):
    kspace, start = transform(images, (1, 2, 3)), 4
    acquisitions = lines(
        kspace[:, start:], center=NX // 2 - start, discard_pre=pre, discard_post=post
    )
    scan = read_scan(
        write_mrd(tmp_path / "a.h5", acquisitions, header((NX, NY, NZ), oversampling=1))
    )
    kspace[:, : start + pre], kspace[:, NX - post :] = 0, 0
    torch.testing.assert_close(scan.kspace, torch.from_numpy(kspace))
    assert f"{NX - start - pre - post} of {NX}" in scan.meta["asymmetric_echo"]


def test_ismrmrd_slices_are_ordered_by_position_and_make_a_stack(tmp_path, images):
    """Slices are interleaved: the slice counter follows time, the positions follow space."""
    kspace, place = oversampled(images, (1, 2)), [3, 0, 5, 1, 6, 2, 4]
    acquisitions = [
        acquisition(kspace[:, :, y, place[s]], y, slice=s)
        for y in range(0, NY, 2)
        for s in range(NZ)
    ]
    for acq in acquisitions:
        acq.position[:] = (7.0, 0.0, 3.5 * place[acq.idx.slice] - 10)
    scan = read_scan(write_mrd(tmp_path / "a.h5", acquisitions, header((2 * NX, NY, 1))))
    assert scan.stack
    scan = scan.volume()
    expected = transform(images, (1, 2, 3))
    expected[:, :, 1::2] = 0
    torch.testing.assert_close(scan.kspace, torch.from_numpy(expected), rtol=1e-4, atol=1e-4)
    assert scan.mask[::2].all() and not scan.mask[1::2].any() and scan.voxel == (1.0, 1.5, 3.5)


def test_ismrmrd_averages_are_the_mean_of_however_many_there_are(tmp_path, images):
    kspace = transform(images, (1, 2, 3))
    acquisitions = (
        lines(0.5 * kspace, average=0)
        + lines(1.5 * kspace, average=1)
        + lines(kspace[:, :, :4], average=2)
    )
    scan = read_scan(
        write_mrd(tmp_path / "a.h5", acquisitions, header((NX, NY, NZ), oversampling=1))
    )
    assert_recovers(scan, images)
    assert scan.meta["averages"] == 3


def test_ismrmrd_separate_calibration_and_frames_are_told_apart(tmp_path, images):
    kspace = transform(images, (1, 2, 3))
    flags = [ismrmrd.ACQ_IS_PARALLEL_CALIBRATION]
    reference = [
        acquisition(9 * kspace[:, :, y, z], y, z, flags) for y in range(3, 7) for z in range(NZ)
    ]
    parallel = (
        "<parallelImaging><accelerationFactor>"
        "<kspace_encoding_step_1>2</kspace_encoding_step_1>"
        "<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>"
        "<calibrationMode>{}</calibrationMode></parallelImaging>"
    )
    xml = header((NX, NY, NZ), oversampling=1, parallel=parallel)
    acquisitions = lines(kspace) + reference + lines(5 * kspace, encoding_space_ref=1)
    scan = read_scan(write_mrd(tmp_path / "a.h5", acquisitions, xml.format("separate")))
    assert_recovers(scan, images)
    assert scan.meta["acceleration"] == (2, 1)
    assert any("further encoding" in note for note in scan.notes)
    torch.testing.assert_close(scan.calibration, torch.from_numpy(9 * kspace[:, :, 3:7]))
    embedded = lines(kspace, flags=[ismrmrd.ACQ_IS_PARALLEL_CALIBRATION])
    assert_recovers(
        read_scan(write_mrd(tmp_path / "b.h5", embedded, xml.format("embedded"))), images
    )
    echoes = lines(kspace, contrast=0) + lines(7 * kspace, contrast=1)
    scan = read_scan(write_mrd(tmp_path / "c.h5", echoes, xml.format("other")))
    assert_recovers(scan, images)
    assert scan.meta["frames"]["contrast"] == [0, 1] and "first of 2 contrasts" in scan.notes[0]
    scan = read_scan(tmp_path / "c.h5", Selection(contrast=1))
    assert_recovers(scan, 7 * images)


def test_ismrmrd_refuses_what_it_cannot_place(tmp_path, images):
    kspace = transform(images, (1, 2, 3))
    good, xml = lines(kspace), header((NX, NY, NZ), oversampling=1)
    cases = {
        "trajectory 'radial'": (good, header(trajectory="radial")),
        "number_of_samples differs": ([*good, acquisition(kspace[:, :-2, 0, 0])], xml),
        "do not fit the encoded matrix": (lines(kspace[:, 1:], center=1), xml),
        "lack some on both sides": (lines(kspace[:, 3:-2]), xml),
        "encoding step 1 runs outside": ([*good, acquisition(kspace[:, :, 0, 0], NY)], xml),
        "reversed": (lines(kspace, flags=[ismrmrd.ACQ_IS_REVERSE]), xml),
        "is imaging data": (lines(kspace, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT]), xml),
        "slabs": (good + lines(kspace, slice=1), xml),
        "the file holds": (good, header((NX, 40000, 40000), center=(5, 3), oversampling=1)),
        "expected three positive sizes": (good, header((0, NY, NZ), oversampling=1)),
        "NaN": ([*good, acquisition(np.nan * kspace[:, :, 0, 0])], xml),
        "no <encoding>": (good, "<ismrmrdHeader/>"),
        "cannot be read": (good, xml[:-20]),
    }
    for i, (message, (acquisitions, head)) in enumerate(cases.items()):
        path = write_mrd(tmp_path / f"{i}.h5", acquisitions, head)
        with pytest.raises(ReconError, match=message) as caught:
            read_scan(path)
        assert "\n" not in str(caught.value) and path.name in str(caught.value)


def test_ismrmrd_is_read_in_bulk(tmp_path):
    """Reading is at least five times faster than one acquisition at a time.

    The slow way is timed on every tenth acquisition.
    """
    rng = np.random.default_rng(0)
    kspace = rng.standard_normal((4, 64, 80, 80)).astype(np.complex64)
    path = tmp_path / "a.h5"
    rows = np.zeros(6400, ismrmrd.hdf5.acquisition_dtype)
    rows["head"] = np.frombuffer(
        acquisition(kspace[:, :, 0, 0]).getHead(), ismrmrd.hdf5.acquisition_header_dtype
    )
    y, z = (index.ravel() for index in np.meshgrid(np.arange(80), np.arange(80), indexing="ij"))
    rows["head"]["idx"]["kspace_encode_step_1"], rows["head"]["idx"]["kspace_encode_step_2"] = y, z
    for row, i, j in zip(rows, y, z, strict=True):
        row["data"], row["traj"] = (
            np.ascontiguousarray(kspace[:, :, i, j]).view(np.float32).ravel(),
            np.zeros(0, np.float32),
        )
    write_mrd(path, [], header((64, 80, 80), oversampling=1))
    with h5py.File(path, "a") as file:
        file["dataset"].create_dataset("data", data=rows, maxshape=(None,))

    start = time.perf_counter()
    scan = read_scan(path)
    ours = time.perf_counter() - start
    start = time.perf_counter()
    with ismrmrd.Dataset(str(path), mode="r") as dataset:
        loop = [dataset.read_acquisition(i).data for i in range(0, 6400, 10)]
    theirs = 10 * (time.perf_counter() - start)
    np.testing.assert_array_equal(
        scan.kspace[:, :, y[::10], z[::10]].permute(2, 0, 1), np.stack(loop)
    )
    print(f"ISMRMRD, 6400 acquisitions: {ours:.2f} s, one by one {theirs:.2f} s")
    assert theirs > 5 * ours, f"bulk {ours:.2f} s, one by one {theirs:.2f} s"


# fastMRI, BART, NumPy


def test_fastmri_multicoil_stack_recovers_the_coil_images(tmp_path, images):
    """Oversampling is removed, and the zero-padded edge of the matrix is not in the mask.

    The axes are (slice, coil, row, column).
    """
    kspace = oversampled(images, (1, 2)).transpose(3, 0, 1, 2)
    scan = read_scan(write_fastmri(tmp_path / "a.h5", kspace, header((2 * NX, NY, 1))))
    assert_recovers(scan, images)
    assert (
        scan.mask.all()
        and scan.voxel == (1.0, 1.5, 2.0)
        and scan.meta["acquisition"] == "CORPD_FBK"
    )
    kspace[..., :2] = 0
    mask = np.arange(NY) % 3 == 0
    scan = read_scan(write_fastmri(tmp_path / "b.h5", kspace, mask=mask.astype(np.float32)))
    expected = transform(np.pad(images, ((0, 0), (NX // 2, NX // 2), (0, 0), (0, 0))), (1, 2, 3))
    expected[:, :, ~(mask & (np.arange(NY) >= 2))] = 0
    torch.testing.assert_close(
        scan.volume().kspace, torch.from_numpy(expected), rtol=1e-4, atol=1e-4
    )
    assert (
        scan.mask[:, 0].tolist() == (mask & (np.arange(NY) >= 2)).tolist()
        and scan.meta["voxel"] == "unknown"
    )


def test_fastmri_single_coil_gets_a_coil_axis(tmp_path, images):
    kspace = transform(images, (1, 2))[0].transpose(2, 0, 1)
    assert_recovers(read_scan(write_fastmri(tmp_path / "a.h5", kspace)), images[:1])


def test_fastmri_refuses_other_layouts(tmp_path, images):
    kspace = transform(images, (1, 2)).transpose(3, 0, 1, 2)
    differs = kspace.copy()
    differs[0, ..., 3] = 0
    scan = read_scan(write_fastmri(tmp_path / "differs.h5", kspace=differs))
    assert scan.mask.sum(0).tolist() == [NY - 1] + (NZ - 1) * [NY]  # each slice has its own mask
    with pytest.raises(ReconError, match="sampled differently"):
        scan.volume()
    cases = {
        "not complex": {"kspace": kspace.real},
        "expected .slice": {"kspace": kspace[0, 0]},
        "one per column": {"kspace": kspace, "mask": np.ones(NY + 1)},
        "rows, the header": {"kspace": kspace, "xml": header((2 * NX, NY, 1))},
        "NaN": {"kspace": np.where(kspace == kspace[0, 0, 0, 0], np.nan, kspace)},
    }
    for i, (message, arrays) in enumerate(cases.items()):
        with pytest.raises(ReconError, match=message):
            read_scan(write_fastmri(tmp_path / f"{i}.h5", **arrays))
    with h5py.File(tmp_path / "huge.h5", "w") as file:
        file.create_dataset(
            "kspace", (20000, 20, 20000, 2000), np.complex64, chunks=(1, 1, 100, 100)
        )
    with pytest.raises(ReconError, match="more than the file can hold"):
        read_scan(tmp_path / "huge.h5")


@pytest.mark.parametrize("suffix", ["", ".cfl", ".hdr"])
def test_bart_pair_recovers_the_coil_images(tmp_path, images, suffix):
    base = write_cfl(tmp_path / "scan.v1", transform(images, (1, 2, 3)).transpose(1, 2, 3, 0))
    scan = read_scan(f"{base}{suffix}")
    assert_recovers(scan, images)
    assert scan.voxel == (1.0, 1.0, 1.0) and scan.meta["voxel"] == "unknown" and scan.mask.all()


@pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed")
def test_bart_agrees_with_our_transform_on_a_file_of_its_own(tmp_path):
    subprocess.run(
        ["bart", "phantom", "-k", "-3", "-s2", "-x16", "k"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    subprocess.run(
        ["bart", "fft", "-u", "-i", "7", "k", "image"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    image = (
        np.fromfile(tmp_path / "image.cfl", "<c8")
        .reshape((16, 16, 16, 2), order="F")
        .transpose(3, 0, 1, 2)
    )
    scan = read_scan(tmp_path / "k")
    torch.testing.assert_close(
        fourier.ifft(scan.kspace),
        torch.from_numpy(image.copy()),
        rtol=1e-4,
        atol=1e-5 * np.abs(image).max(),
    )


def test_bart_mask_is_what_any_coil_measured(tmp_path, images):
    kspace = transform(images, (1, 2, 3)).transpose(1, 2, 3, 0)
    kspace[:, 1::2, 2] = 0
    kspace[:, 3, 3, 0] = 0
    expected = np.ones((NY, NZ), bool)
    expected[1::2, 2] = False
    assert np.array_equal(read_scan(write_cfl(tmp_path / "a", kspace)).mask.numpy(), expected)


def test_bart_refuses_sets_and_headers_that_lie(tmp_path, images):
    kspace = transform(images, (1, 2, 3)).transpose(1, 2, 3, 0)
    undersampled_x = kspace * (np.arange(NX) % 4 == 0)[:, None, None, None] * 1
    undersampled_x[:, 0] = kspace[:, 0]
    cases = {
        "hold a set of scans": (kspace[..., None].repeat(2, -1), None),
        "gives dimensions": (kspace, "100000 100000 100000 8"),
        "expected up to 16 positive integers": (kspace, "12 -10 7 3"),
        "fully sampled readout": (undersampled_x, None),
        "empty": (0 * kspace, None),
    }
    for message, (array, dims) in cases.items():
        with pytest.raises(ReconError, match=message):
            read_scan(write_cfl(tmp_path / "a", array, dims))
    (tmp_path / "a.hdr").unlink()
    with pytest.raises(ReconError, match="a.hdr: no such file"):
        read_scan(tmp_path / "a.cfl")


def test_numpy_files_recover_the_coil_images(tmp_path, images):
    kspace = transform(images, (1, 2, 3))
    np.save(tmp_path / "a.npy", np.asfortranarray(kspace.astype(np.complex128)))
    assert_recovers(read_scan(tmp_path / "a.npy"), images)
    np.save(tmp_path / "b.npy", transform(images[..., 0], (1, 2)))
    assert_recovers(read_scan(tmp_path / "b.npy"), images[..., :1])
    np.save(tmp_path / "c.npy", transform(images[0, ..., 0], (0, 1)))
    assert_recovers(read_scan(tmp_path / "c.npy"), images[:1, ..., :1])
    mask = np.random.default_rng(0).random((NY, NZ)) < 0.5
    np.savez_compressed(
        tmp_path / "d.npz", kspace=kspace, mask=mask, voxel=[1, 2, 3], noise=kspace[:, 0, 0]
    )
    scan = read_scan(tmp_path / "d.npz")
    assert (
        np.array_equal(scan.mask, mask)
        and scan.voxel == (1.0, 2.0, 3.0)
        and scan.noise.shape == (COILS, NZ)
    )
    torch.testing.assert_close(scan.kspace, torch.from_numpy(kspace * mask))
    np.savez(tmp_path / "e.npz", kspace)
    assert_recovers(read_scan(tmp_path / "e.npz"), images)


def test_numpy_refuses_pickles_and_wrong_arrays(tmp_path, images):
    kspace = transform(images, (1, 2, 3))
    np.savez(tmp_path / "pickle.npz", kspace=np.array([{}, 1], object))
    np.save(tmp_path / "pickle.npy", np.array([{}, 1], object))
    np.savez(tmp_path / "keys.npz", a=kspace, b=kspace)
    np.savez(tmp_path / "mask.npz", kspace=kspace, mask=np.ones((NZ, NY)))
    np.savez(tmp_path / "noise.npz", kspace=kspace, noise=np.ones((2, 9), np.complex64))
    np.savez(tmp_path / "voxel.npz", kspace=kspace, voxel=[1, 1, -2])
    np.save(tmp_path / "real.npy", np.abs(kspace))
    np.save(tmp_path / "dims.npy", kspace[0, 0, 0])
    np.save(tmp_path / "nan.npy", kspace * np.nan)
    expected = {
        "pickle.npz": "pickle",
        "pickle.npy": "cannot be read",
        "keys.npz": "no array 'kspace'",
        "mask.npz": "expected .10, 7.",
        "noise.npz": "3 coils",
        "voxel.npz": "not plausible",
        "real.npy": "not complex",
        "dims.npy": "expected .coil",
        "nan.npy": "NaN",
    }
    for name, message in expected.items():
        with pytest.raises(ReconError, match=message):
            read_scan(tmp_path / name)


def test_files_that_are_not_there_or_not_what_their_name_says(tmp_path):
    for name in ("a.h5", "a.npy", "a.npz", "a.cfl", "a.nii.gz", "a"):
        with pytest.raises(ReconError, match="no such file"):
            (read_volume if ".nii" in name else read_scan)(tmp_path / name)
    for name in ("b.h5", "b.npy", "b.npz", "b.nii", "b.nii.gz", "b.txt"):
        (tmp_path / name).write_text("not what it says\n" * 40)
        with pytest.raises(ReconError, match="HDF5|cannot be read|unknown kind"):
            (read_volume if ".nii" in name else read_scan)(tmp_path / name)
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["image"] = 1
    with pytest.raises(ReconError, match="holds .'image'."):
        read_scan(tmp_path / "c.h5")
