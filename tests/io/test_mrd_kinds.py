"""ISMRMRD as scanners write it: frames, calibration and noise scans, orientation, odd headers."""

from itertools import permutations, product

import ismrmrd
import nibabel
import numpy as np
import pytest
import torch

from recon.errors import ReconError
from recon.io import Selection, frames_of, read_scan, write_volume
from recon.io.placement import DIRECTIONS
from recon.mri import fourier
from recon.mri.channels import alive
from recon.mri.problem import pose_scan
from tests.io.io_files import (
    NX,
    NY,
    NZ,
    acquisition,
    coil_images,
    header,
    lines,
    transform,
    write_mrd,
)

XML = header((NX, NY, NZ), oversampling=1)
FLAT = header((NX, NY, 1), oversampling=1)
SEPARATE = (
    "<parallelImaging><accelerationFactor><kspace_encoding_step_1>2</kspace_encoding_step_1>"
    "<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor>"
    "<calibrationMode>separate</calibrationMode></parallelImaging>"
)


@pytest.fixture(scope="module")
def kspace() -> np.ndarray:
    return transform(coil_images(), (1, 2, 3))


def close(a: torch.Tensor, b: np.ndarray) -> None:
    torch.testing.assert_close(a, torch.from_numpy(b).to(a.dtype), rtol=1e-4, atol=1e-4)


# Frames


def test_each_frame_can_be_chosen(tmp_path, kspace):
    """By repetition, contrast, phase and set; and all of them are listed."""
    frames = list(product((0, 1), (3, 5)))
    acquisitions = [
        line
        for repetition, contrast in frames
        for line in lines(
            (1 + repetition + contrast) * kspace, repetition=repetition, contrast=contrast
        )
    ]
    path = write_mrd(tmp_path / "a.h5", acquisitions, XML)
    scan = read_scan(path)
    close(scan.kspace, 4 * kspace)
    assert len(scan.notes) == 2 and "--contrast N chooses another" in scan.notes[0]
    chosen = frames_of(scan, Selection())
    assert {(s.repetition, s.contrast) for s in chosen} == set(frames)
    for one in chosen:
        close(read_scan(path, one).kspace, (1 + one.repetition + one.contrast) * kspace)
    assert len(frames_of(read_scan(path, Selection(contrast=5)), Selection(contrast=5))) == 2
    with pytest.raises(ReconError, match="has no contrast 4; it has 3, 5"):
        read_scan(path, Selection(contrast=4))
    with pytest.raises(ReconError, match="takes no --axes"):
        read_scan(path, Selection(axes=("coil", "x", "y", "z")))


def test_an_unfinished_repetition_is_left_out(tmp_path, kspace):
    """Whether it is the last or the first; it is read where it is asked for."""
    whole, half = lines(kspace, repetition=0), lines(2 * kspace, repetition=1)[: NY * NZ // 2]
    scan = read_scan(write_mrd(tmp_path / "a.h5", whole + half, XML))
    close(scan.kspace, kspace)
    assert "repetition 1 is unfinished" in scan.notes[0]
    assert frames_of(scan, Selection()) == [Selection(0, 0, 0, 0)]
    first = lines(2 * kspace, repetition=0)[:9]
    scan = read_scan(write_mrd(tmp_path / "b.h5", first + lines(kspace, repetition=1), XML))
    close(scan.kspace, kspace)
    scan = read_scan(tmp_path / "a.h5", Selection(repetition=1))
    assert int(scan.mask.sum()) == NY * NZ // 2


def test_shots_that_are_counted_as_repetitions_are_one_scan(tmp_path, kspace):
    """Each samples every other line; together they are fully sampled."""
    shots = [
        acquisition(kspace[:, :, y, z], y, z, repetition=y % 2)
        for y in range(NY)
        for z in range(NZ)
    ]
    scan = read_scan(write_mrd(tmp_path / "a.h5", shots, XML))
    close(scan.kspace, kspace)
    assert scan.mask.all() and "read together" in scan.notes[0]
    one = read_scan(tmp_path / "a.h5", Selection(repetition=1))
    assert one.mask[1::2].all() and not one.mask[::2].any()


def test_averages_are_averaged_and_slices_chosen(tmp_path):
    flat = transform(coil_images(), (1, 2))
    acquisitions = [
        acquisition((1 + a) * flat[:, :, y, s], y, slice=s, average=a)
        for a in range(2)
        for s in range(NZ)
        for y in range(NY)
    ]
    path = write_mrd(tmp_path / "a.h5", acquisitions, FLAT)
    close(read_scan(path).kspace, 1.5 * flat)
    one = read_scan(path, Selection(slice=4))
    close(one.kspace, 1.5 * flat[..., 4:5])
    assert not one.stack and one.shape == (NX, NY, 1)


def test_slabs_and_localizers_are_read_one_at_a_time(tmp_path, kspace):
    both = lines(kspace, slice=0) + lines(2 * kspace, slice=1)
    path = write_mrd(tmp_path / "a.h5", both, XML)
    with pytest.raises(ReconError, match="2 slabs.*--slice N"):
        read_scan(path)
    close(read_scan(path, Selection(slice=1)).kspace, 2 * kspace)
    flat = transform(coil_images(), (1, 2))
    planes = [acquisition(flat[:, :, y, s], y, slice=s) for s in range(3) for y in range(NY)]
    for acq in planes:
        acq.slice_dir[:] = np.eye(3)[acq.idx.slice]
    path = write_mrd(tmp_path / "b.h5", planes, FLAT)
    with pytest.raises(ReconError, match="not parallel.*--slice N"):
        read_scan(path)
    close(read_scan(path, Selection(slice=2)).kspace, flat[..., 2:3])


# Headers that disagree with the counters


@pytest.mark.parametrize("center", [0, NX // 2 - 1, NX // 2 + 1])
def test_a_full_readout_is_taken_as_it_is(center, tmp_path, kspace):
    close(read_scan(write_mrd(tmp_path / "a.h5", lines(kspace, center=center), XML)).kspace, kspace)


def test_readouts_whose_oversampling_was_removed_before(tmp_path, kspace):
    xml = header((2 * NX, NY, NZ), oversampling=2)
    scan = read_scan(write_mrd(tmp_path / "a.h5", lines(kspace), xml))
    close(scan.kspace, kspace)
    assert scan.voxel == (1.0, 1.5, 2.0) and "removed before" in scan.notes[0]


def test_a_2d_scan_whose_matrix_has_two_along_z(tmp_path):
    flat = transform(coil_images(), (1, 2))
    path = write_mrd(tmp_path / "a.h5", lines(flat[..., :1]), header((NX, NY, 2), oversampling=1))
    scan = read_scan(path)
    close(scan.kspace, flat[..., :1])
    assert "a 2D scan" in scan.notes[0]


def test_steps_that_count_from_one(tmp_path, kspace):
    counted = [acquisition(kspace[:, :, y, z], y + 1, z) for y in range(NY) for z in range(NZ)]
    scan = read_scan(write_mrd(tmp_path / "a.h5", counted, XML))
    close(scan.kspace, kspace)
    assert "steps 1 lay 1 outside" in scan.notes[0]


def test_slices_that_are_missing_are_noted(tmp_path):
    flat = transform(coil_images(), (1, 2))
    limits = "<slice><minimum>0</minimum><maximum>9</maximum><center>5</center></slice>"
    xml = FLAT.replace("</encodingLimits>", f"{limits}</encodingLimits>")
    three = [acquisition(flat[:, :, y, s], y, slice=s) for s in range(3) for y in range(NY)]
    scan = read_scan(write_mrd(tmp_path / "a.h5", three, xml))
    assert scan.shape == (NX, NY, 3) and "3 of the 10 slices" in scan.notes[0]


def test_phase_oversampling_is_known(tmp_path, kspace):
    """It lies beyond the reconstructed field of view, along y and z, and is cropped at the end."""
    xml = XML.replace(
        "<y>15.0</y><z>14.0</z></fieldOfView_mm></reconSpace>",
        "<y>9.0</y><z>10.0</z></fieldOfView_mm></reconSpace>",
    )
    assert xml != XML
    scan = read_scan(write_mrd(tmp_path / "a.h5", lines(kspace), xml))
    assert scan.field_of_view == (NX, 6, 5)
    assert read_scan(write_mrd(tmp_path / "b.h5", lines(kspace), XML)).field_of_view is None


# Calibration and noise scans


def test_maps_come_from_a_separate_calibration_scan(tmp_path):
    """In 2D and in a stack, R = 2 without a centre of its own."""
    images = coil_images()[:, :, :, 2:5]
    flat = transform(np.repeat(np.repeat(images, 2, 1), 2, 2), (1, 2))
    nx, ny = flat.shape[1:3]
    flags = [ismrmrd.ACQ_IS_PARALLEL_CALIBRATION]
    for slices in (1, 3):
        centre = [
            acquisition(5 * flat[:, :, y, s], y, flags=flags, slice=s)
            for s in range(slices)
            for y in range(ny // 2 - 5, ny // 2 + 5)
        ]
        half = [
            acquisition(flat[:, :, y, s], y, slice=s)
            for s in range(slices)
            for y in range(0, ny, 2)
        ]
        xml = header((nx, ny, 1), oversampling=1, parallel=SEPARATE)
        scan = read_scan(write_mrd(tmp_path / f"{slices}.h5", centre + half, xml))
        assert scan.calibration.shape == (3, nx, 10, slices) and scan.stack == (slices > 1)
        close(scan.calibration, 5 * flat[:, :, ny // 2 - 5 : ny // 2 + 5, :slices])
        assert int(scan.mask.sum()) == slices * ny // 2
        assert "calibration scan of 10" in scan.notes[0]
        assert pose_scan(scan).operator.support.any()


def test_a_calibration_scan_of_another_encoding(tmp_path, kspace):
    """External reference lines have a matrix of their own, over the same field of view."""
    small = transform(coil_images(), (1, 2, 3))[:, 3:9, 2:8, 1:6]
    flags = [ismrmrd.ACQ_IS_PARALLEL_CALIBRATION]
    xml = header((NX, NY, NZ), oversampling=1, parallel=SEPARATE.replace("separate", "external"))
    second = header((NX, NY, NZ), oversampling=1, parallel="")
    start, stop = (second.index(f"<{end}encoding>") for end in ("", "/"))
    encoding = second[start : stop + len("</encoding>")]
    for size, name in ((6, "x"), (6, "y"), (5, "z")):
        for n in ((NX, NY, NZ)["xyz".index(name)],):
            encoding = encoding.replace(f"<{name}>{n}</{name}>", f"<{name}>{size}</{name}>")
    encoding = encoding.replace(f"<center>{NY // 2}</center>", "<center>3</center>")
    encoding = encoding.replace(f"<center>{NZ // 2}</center>", "<center>2</center>")
    xml = xml.replace("</ismrmrdHeader>", f"{encoding}</ismrmrdHeader>")
    reference = lines(small, flags=flags, encoding_space_ref=1)
    scan = read_scan(write_mrd(tmp_path / "a.h5", lines(kspace) + reference, xml))
    close(scan.kspace, kspace)
    close(scan.calibration, small)


@pytest.mark.parametrize("dead", [(), (1,), (0, 1, 2)])
def test_noise_scans_of_dead_channels_are_left_out(dead, tmp_path, kspace):
    """A channel that is dead in both is left out; a noise scan alone of zeros is."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3, 200)) + 1j * rng.standard_normal((3, 200))
    noise[list(dead)] = 0
    first = acquisition(noise, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])
    path = write_mrd(tmp_path / "a.h5", [first, *lines(kspace)], XML)
    scan = alive(read_scan(path))
    assert (scan.noise is None) == bool(dead) and scan.coils == 3
    assert not dead or "noise scan" in scan.notes[-1]
    if len(dead) == 1:
        silent = kspace.copy()
        silent[list(dead)] = 0
        path = write_mrd(tmp_path / "b.h5", [first, *lines(silent)], XML)
        scan = alive(read_scan(path))
        assert scan.coils == 2 and scan.noise.shape[0] == 2 and "Channel 1" in scan.notes[0]
        pose_scan(scan)


def test_noise_scans_of_repeated_or_other_channels_are_left_out(tmp_path, kspace):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3, 200)) + 1j * rng.standard_normal((3, 200))
    noise[2] = noise[0]
    flags = [ismrmrd.ACQ_IS_NOISE_MEASUREMENT]
    path = write_mrd(tmp_path / "a.h5", [acquisition(noise, flags=flags), *lines(kspace)], XML)
    scan = alive(read_scan(path))
    assert scan.noise is None and "repeat one another" in scan.notes[0]
    path = write_mrd(tmp_path / "b.h5", [acquisition(noise[:2], flags=flags), *lines(kspace)], XML)
    scan = read_scan(path)
    assert scan.noise is None and "2 channels, the image 3" in scan.notes[0]


# Orientation

POSITION = np.array([12.0, -20.0, 31.0])  # mm, LPS
TURNED = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))[0]
ORIENTATIONS = {
    **{
        f"{order}{signs}": np.eye(3)[list(order)].T * signs
        for order in permutations(range(3))
        for signs in product((1, -1), repeat=3)
    },
    "oblique": TURNED,
}


def point(shape: tuple, voxel: tuple, at: np.ndarray, axes: np.ndarray, stack: bool) -> np.ndarray:
    """K-space of a point at ``at`` (mm, LPS), from the definition of the phase in space."""
    offset = axes.T @ (at - POSITION)  # along readout, phase and slice
    phase = 0
    for axis in range(2 if stack else 3):
        n = shape[axis]
        k = (np.arange(n) - n // 2) / (n * voxel[axis])
        phase = phase + (k * offset[axis]).reshape([-1 if a == axis else 1 for a in range(3)])
    kspace = np.exp(-2j * np.pi * phase)
    return np.broadcast_to(kspace, shape).astype(np.complex64)[None] + np.zeros((2, 1, 1, 1), "c8")


@pytest.mark.parametrize(
    ("name", "stack"),
    [(n, False) for n in ORIENTATIONS] + [(n, True) for n in list(ORIENTATIONS)[3::6]],
)
def test_a_point_lies_where_it_is_in_the_patient(name, stack, tmp_path):
    """Its brightest voxel and the affine give its place in the scanner, in RAS."""
    axes, shape = ORIENTATIONS[name], (12, 10, 6)
    voxel = (1.0, 1.5, 2.5 if stack else 2.0)  # slices of 2 mm lie 2.5 mm apart
    index = np.array([8, 3, 4])
    at = POSITION + axes @ ((index - np.array(shape) // 2) * voxel)
    data = point(shape, voxel, at, axes, stack)
    if stack:
        data = data * (np.arange(6) == 4)
        acquisitions = [
            acquisition(data[:, :, y, s] + 1e-6, y, slice=s) for s in range(6) for y in range(10)
        ]
    else:
        acquisitions = lines(data)
    for acq in acquisitions:
        shift = axes[:, 2] * (acq.idx.slice - 3) * 2.5 if stack else 0
        acq.position[:] = POSITION + shift
        for direction, vector in zip(DIRECTIONS, axes.T, strict=True):
            getattr(acq, direction)[:] = vector
    matrix = (12, 10, 1 if stack else 6)
    scan = read_scan(write_mrd(tmp_path / "a.h5", acquisitions, header(matrix, oversampling=1)))
    volume = fourier.ifft(scan.kspace, scan_axes(scan)).abs().sum(0)
    write_volume(tmp_path / "a.nii.gz", volume, scan.voxel, scan.affine)
    image = nibabel.load(tmp_path / "a.nii.gz")
    found = np.unravel_index(np.argmax(image.get_fdata()), image.shape)
    place = nibabel.affines.apply_affine(image.affine, found)
    assert place == pytest.approx(at * [-1, -1, 1], abs=1e-3)
    assert image.header["sform_code"] == 1 and image.header["qform_code"] == 1
    assert scan.voxel == pytest.approx(voxel)


def scan_axes(scan) -> tuple[int, ...]:
    return (-3, -2) if scan.stack else (-3, -2, -1)


def test_without_directions_no_orientation_is_claimed(tmp_path, kspace):
    scan = read_scan(write_mrd(tmp_path / "a.h5", lines(kspace), XML))
    assert scan.affine is None
    write_volume(tmp_path / "a.nii.gz", fourier.ifft(scan.kspace)[0], scan.voxel, scan.affine)
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.header["sform_code"] == 0 and image.header["qform_code"] == 0
    assert image.header.get_zooms() == pytest.approx((1.0, 1.5, 2.0))


def test_frames_of_a_dynamic_scan_are_not_averaged(tmp_path, kspace):
    """Each has its own central lines, whose number differs by one; all are whole."""

    def frame(r: int) -> list:
        kept = [y for y in range(NY) if y % 2 == r % 2 or 4 <= y < 6 + r % 2]
        return [
            acquisition((1 + r) * kspace[:, :, y, z], y, z, repetition=r)
            for y in kept
            for z in range(NZ)
        ]

    path = write_mrd(tmp_path / "a.h5", [line for r in range(4) for line in frame(r)], XML)
    scan = read_scan(path)
    assert "first of 4 repetitions" in scan.notes[0] and len(scan.notes) == 1
    close(scan.kspace[:, :, 4], kspace[:, :, 4])
    assert len(frames_of(scan, Selection())) == 4


def test_a_field_of_view_in_metres_is_refused(tmp_path, kspace):
    xml = XML.replace("</encodedSpace>\n<reconSpace>", "</encodedSpace><reconSpace>")
    start = xml.index("<reconSpace>")
    small = xml[start:].replace("<x>12.0</x>", "<x>0.012</x>")
    with pytest.raises(ReconError, match="are both in mm"):
        read_scan(write_mrd(tmp_path / "a.h5", lines(kspace), xml[:start] + small))


def test_an_oversampled_asymmetric_echo_stays_asymmetric(tmp_path):
    """The removal of oversampling must not fill what was not measured."""
    wide = np.pad(coil_images(), ((0, 0), (NX // 2, NX // 2), (0, 0), (0, 0)))
    full = transform(wide, (1, 2, 3))
    cut = lines(full[:, 8:], center=NX - 8)
    scan = read_scan(write_mrd(tmp_path / "a.h5", cut, header((2 * NX, NY, NZ))))
    seen = scan.kspace.abs().sum((0, 2, 3)) > 0
    assert seen.tolist() == [x >= 4 for x in range(NX)]


def test_calibration_that_the_header_does_not_name(tmp_path, kspace):
    """Lines that the image has as well, at another gain, are not averaged into it."""
    flags = [ismrmrd.ACQ_IS_PARALLEL_CALIBRATION]
    centre = [
        acquisition(3 * kspace[:, :, y, z], y, z, flags) for y in (4, 5, 6) for z in range(NZ)
    ]
    scan = read_scan(write_mrd(tmp_path / "a.h5", lines(kspace) + centre, XML))
    close(scan.kspace, kspace)
    assert scan.calibration is not None


def test_slices_are_ordered_without_directions(tmp_path):
    flat, place = transform(coil_images(), (1, 2)), [3, 0, 5, 1, 6, 2, 4]
    acquisitions = [
        acquisition(flat[:, :, y, place[s]], y, slice=s) for y in range(NY) for s in range(NZ)
    ]
    for acq in acquisitions:
        acq.slice_dir[:] = (0, 0, 0)
        acq.position[:] = (7.0, 0.0, 3.5 * place[acq.idx.slice] - 10)
    scan = read_scan(write_mrd(tmp_path / "a.h5", acquisitions, FLAT))
    close(scan.kspace, flat)
    for acq in acquisitions:
        acq.idx.slice = 0
    with pytest.raises(ReconError, match="7 positions, but the counter has 1"):
        read_scan(write_mrd(tmp_path / "b.h5", acquisitions, FLAT))
