"""ISMRMRD raw data (Inati et al., MRM 2017), sorted into a Cartesian grid.

Acquisitions are read in large blocks, not one by one. Which of them make the image is said in
acquisitions.py, where the voxels lie in placement.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import torch
from jaxtyping import Bool, Complex, Int
from torch import Tensor

from recon.errors import ReconError
from recon.io.acquisitions import Rows, choose, common
from recon.io.checks import LIMIT, check_dataset, check_finite, check_lengths, check_text
from recon.io.frames import COUNTERS, Selection
from recon.io.header import Header, parse_header, remove_oversampling
from recon.io.placement import affine, slice_order
from recon.mri import fourier
from recon.mri.coils import calibration_region
from recon.mri.scan import Scan

# acquisitions read at a time: enough to amortise the cost of an HDF5 call, and few enough to keep
# one copy of the data in memory
BLOCK = 4096
MAX_UNDERSAMPLING = 256  # an emptier grid means a damaged header


def read_ismrmrd(file: h5py.File, path: Path, selection: Selection = Selection()) -> Scan:
    """One frame of an ISMRMRD file: a 3D scan, or a stack of 2D slices.

    Readout oversampling is cropped in image space. Partial and asymmetric sampling is zero-filled
    around the centre of k-space. Repeated lines are averaged. Noise acquisitions are returned as
    ``noise``, and calibration lines of a separate scan as ``calibration``. Raises `ReconError` for
    non-Cartesian data, and for acquisitions that do not fit the header.
    """
    selection.only(*COUNTERS, "slice", path=path, layout="an ISMRMRD file")
    table, header, heads = open_table(file, path)
    if header.trajectory != "cartesian":
        raise ReconError(
            f"{path}: trajectory {header.trajectory[:40]!r} is not supported; "
            "only Cartesian acquisitions can be read: grid the data first"
        )
    header.check_fields(path)
    rows = choose(heads, header, selection, path)
    meta, notes = {"format": "ISMRMRD"} | header.facts(), list(rows.notes)
    grid = grid_of(heads[rows.imaging], header, path, meta, notes)
    kspace, count = _gridded(table, rows.imaging, grid, path)
    if count.max() > 1:
        meta["averages"] = int(count.max())
    voxel = (*header.voxel[:2], grid.thickness)
    calibration = _calibration(table, heads[rows.calibration], rows, grid, file, path, notes)
    noise = _noise(table, heads, rows, grid.channels, header, path, notes)
    # averaging has lowered the noise of k-space: take its root mean square over the lines
    if noise is not None:
        noise = noise * float((1 / count[count > 0].float()).mean().sqrt())
    shape = tuple(kspace.shape[1:])
    return Scan(
        kspace,
        voxel,
        count > 0,
        name=path.name,
        noise=noise,
        meta=meta | {"frames": rows.frames},
        stack=grid.stack,
        affine=affine(heads[rows.imaging[grid.first]], shape, voxel, grid.stack),
        calibration=calibration,
        field_of_view=header.field_of_view(shape, grid.stack),
        notes=tuple(notes),
    )


def open_table(file: h5py.File, path: Path) -> tuple[h5py.Dataset, Header, np.ndarray]:
    """The table of acquisitions, the first encoding of the header, and all acquisition headers."""
    xml, table = (check_dataset(file["dataset"], path, name) for name in ("xml", "data"))
    _check_layout(table, path)
    check_text(xml, path, "xml")
    header = parse_header(xml[0], path)
    return table, header, table.fields("head")[()]


@dataclass(frozen=True)
class Grid:
    """Where the samples of some acquisitions belong."""

    line: np.ndarray  # of every acquisition: y * shape[1] + z
    shape: tuple[int, int]  # phase encodes (y, z), or (y, slice) in a stack
    used: slice  # of an acquisition's samples
    placed: slice  # where they lie on a readout of ``encoded`` samples
    encoded: int
    readout: int  # what is kept of it, without oversampling
    samples: int
    channels: int
    stack: bool
    thickness: float  # voxel size along z in mm
    first: int  # an acquisition of slice 0

    def seen(self) -> Bool[Tensor, "x"]:
        """Which samples of a readout without oversampling lie among the measured frequencies."""
        step = self.encoded / self.readout
        k = (torch.arange(self.readout) - self.readout // 2) * step + self.encoded // 2
        return (k >= self.placed.start) & (k <= self.placed.stop - 1)


def _check_layout(table: h5py.Dataset, path: Path) -> None:
    """Refuses a table with other types than the published ones.

    HDF5 corrupts memory when it converts the types of a damaged file.
    """
    published, names = ismrmrd.hdf5.acquisition_header_dtype, table.dtype.names or ()
    head = table.dtype["head"] if "head" in names else np.dtype("f4")
    same = head.names == published.names and all(
        head[name] == published[name] for name in published.names
    )
    if (
        not same
        or names != ("head", "traj", "data")
        or h5py.check_vlen_dtype(table.dtype["data"]) != np.float32
        or table.ndim != 1
    ):
        raise ReconError(
            f"{path}: 'dataset/data' is not a table of ISMRMRD acquisitions; "
            "export the file again with a current converter"
        )
    kind = table.id.get_type()
    for member in (b"traj", b"data"):
        check_lengths(table, path, "data", kind.get_member_offset(kind.get_member_index(member)))


def grid_of(heads: np.ndarray, header: Header, path: Path, meta: dict, notes: list[str]) -> Grid:
    """The grid of the acquisitions with these headers.

    Where they and the XML header disagree, and only one reading is possible, it is taken and noted.
    """
    samples, channels = (
        common(heads, key, path) for key in ("number_of_samples", "active_channels")
    )
    used, placed, encoded, readout = _readout_window(heads, header, path, meta, notes)
    y, z, shape, thickness, stack = _phase_encodes(heads, header, path, notes)
    elements, stored = encoded * shape[0] * shape[1] * channels, len(heads) * samples * channels
    if elements > min(LIMIT, MAX_UNDERSAMPLING * stored):
        raise ReconError(
            f"{path}: the header's matrix needs {elements} samples, the file holds {stored}; "
            "correct matrixSize or export again"
        )
    first, line = int(np.argmin(z)), y * shape[1] + z
    return Grid(
        line, shape, used, placed, encoded, readout, samples, channels, stack, thickness, first
    )


def _readout_window(
    heads: np.ndarray, header: Header, path: Path, meta: dict, notes: list[str]
) -> tuple[slice, slice, int, int]:
    """The samples of an acquisition that are used, where they lie on the encoded readout, its
    length, and the length without oversampling.

    The acquisition's centre sample is placed on the origin of the readout. A readout that fills the
    matrix is taken as it is: its centre cannot lie elsewhere.
    """
    samples, center, pre, post = (
        common(heads, key, path)
        for key in ("number_of_samples", "center_sample", "discard_pre", "discard_post")
    )
    nx, readout = header.matrix[0], header.readout
    if samples == nx and center != nx // 2:
        meta["center_sample"] = "not given; the middle of the readout was taken"
        if center:
            meta["center_sample"] = f"{center} of full readouts; the middle was taken"
            notes.append(
                f"The header's centre sample {center} was taken for the middle, {nx // 2}."
            )
        center = nx // 2
    start = nx // 2 - center
    if start > 1 and start + samples < nx - 1:
        if samples != readout or abs(center - samples // 2) > 1:
            raise ReconError(
                f"{path}: readouts of {samples} samples lack some on both sides of the encoded "
                f"matrix of {nx}, which no asymmetric echo does; correct encodedSpace"
            )
        notes.append(f"Readouts of {samples} samples had their oversampling removed before.")
        return slice(pre, samples - post), slice(pre, samples - post), samples, samples
    first, length = start + pre, samples - pre - post
    if length < 1 or first < 0 or first + length > nx:
        raise ReconError(
            f"{path}: readouts of {samples} samples with centre {center} do not fit the encoded "
            f"matrix of {nx}; correct the header"
        )
    if length < nx:
        partial = f"{length} of {nx} readout samples measured, the rest zero-filled"
        meta["asymmetric_echo"] = partial
        notes.append(f"Asymmetric echo: {partial}.")
    return slice(pre, pre + length), slice(first, first + length), nx, readout


def _phase_encodes(
    heads: np.ndarray, header: Header, path: Path, notes: list[str]
) -> tuple[np.ndarray, np.ndarray, tuple[int, int], float, bool]:
    """The grid position (y, z) of each acquisition, the grid's shape, the voxel size along z in mm,
    and whether z counts slices.
    """
    ny, nz = header.matrix[1:]
    first, second = (heads["idx"][f"kspace_encode_step_{i}"].astype(np.int64) for i in (1, 2))
    y = _placed(first, header.center[0], ny, "1", path, notes)
    if nz > 1 and len(np.unique(second)) == 1:
        notes.append(f"The header's matrix has {nz} along z, but one is encoded: a 2D scan.")
        nz, second, center = 1, np.zeros_like(second), 0
    else:
        center = header.center[1]
    z = _placed(second, center, nz, "2", path, notes)
    slices = np.unique(heads["idx"]["slice"])
    if nz == 1 and (places := len(np.unique(heads["position"].round(2), axis=0))) > len(slices):
        raise ReconError(
            f"{path}: acquisitions lie at {places} positions, but the counter has {len(slices)} "
            "slices; correct the slice counter"
        )
    if len(slices) > 1 and slices[-1] - slices[0] >= len(slices):
        notes.append(f"Slices are missing: the counter runs from {slices[0]} to {slices[-1]}.")
    if len(slices) == 1:
        return y, z, (ny, nz), header.fov[2] / nz, False
    if nz > 1:
        raise ReconError(
            f"{path}: holds {len(slices)} slabs of a 3D acquisition; choose one with --slice N"
        )
    if header.slices is not None and header.slices != len(slices):
        notes.append(f"{len(slices)} of the {header.slices} slices of the header are in the file.")
    z, spacing = slice_order(heads, path)
    return y, z, (ny, len(slices)), spacing or header.voxel[2], True


def _placed(
    steps: np.ndarray, center: int, size: int, name: str, path: Path, notes: list[str]
) -> np.ndarray:
    """Encoding steps as indices of a matrix of ``size``, the step ``center`` at its middle."""
    index = steps - center + size // 2
    low, high = int(index.min()), int(index.max())
    if low >= 0 and high < size:
        return index
    if high - low >= size:
        raise ReconError(
            f"{path}: encoding step {name} runs outside the encoded matrix of {size}; "
            "correct matrixSize or encodingLimits"
        )
    shift = -low if low < 0 else size - 1 - high
    notes.append(f"Encoding steps {name} lay {abs(shift)} outside the matrix, and were moved in.")
    return index + shift


def _readouts(
    table: h5py.Dataset, rows: np.ndarray, channels: int, samples: int, path: Path
) -> Iterator[Complex[Tensor, "row coil sample"]]:
    """The acquisitions ``rows`` (ascending), in blocks."""
    for start in range(0, len(rows), BLOCK):
        chosen = rows[start : start + BLOCK]
        data = table.fields("data")[chosen[0] : chosen[-1] + 1][chosen - chosen[0]]
        sizes = np.fromiter(map(len, data), np.int64, len(data))
        if (wrong := np.flatnonzero(sizes != 2 * channels * samples)).size:
            at, said = wrong[0], 2 * channels * samples
            raise ReconError(
                f"{path}: acquisition {chosen[at]} holds {sizes[at]} numbers, "
                f"its header says {said}; export the file again"
            )
        numbers = np.concatenate(data).astype(np.float32, copy=False)
        yield torch.from_numpy(numbers.view(np.complex64).reshape(-1, channels, samples))


def _gridded(
    table: h5py.Dataset, rows: np.ndarray, grid: Grid, path: Path
) -> tuple[Complex[Tensor, "coil x y z"], Int[Tensor, "y z"]]:
    """The mean of the acquisitions of every line, and how many there are.

    Each acquisition is centred and zero-filled, and its oversampling is removed.
    """
    line = torch.from_numpy(grid.line)
    count = torch.bincount(line, minlength=grid.shape[0] * grid.shape[1])
    lines, start = None, 0
    for block in _readouts(table, rows, grid.channels, grid.samples, path):
        if lines is None:
            lines = block.new_zeros(len(count), grid.channels, grid.readout)
        readout = block.new_zeros(*block.shape[:2], grid.encoded)
        readout[..., grid.placed] = block[..., grid.used]
        readout = remove_oversampling(readout, grid.readout, -1)
        readout[..., ~grid.seen()] = 0  # where nothing was measured, the crop leaves leakage
        lines.index_add_(0, line[start : start + len(block)], readout)
        start += len(block)
    lines.div_(count.clamp(min=1)[:, None, None])
    kspace = lines.unflatten(0, grid.shape).permute(2, 3, 0, 1).contiguous()
    return kspace, count.view(grid.shape)


def _calibration(
    table: h5py.Dataset,
    heads: np.ndarray,
    rows: Rows,
    imaging: Grid,
    file: h5py.File,
    path: Path,
    notes: list[str],
) -> Complex[Tensor, "coil cx cy cz"] | None:
    """The fully sampled centre of a separate calibration scan; None where there is none to use.

    It may have an encoding of its own, over the same field of view.
    """
    if not len(rows.calibration):
        return None
    spaces = [common(heads, "encoding_space_ref", path), 0]
    ours, first = (parse_header(file["dataset/xml"][0], path, number) for number in spaces)
    grid = grid_of(heads, ours, path, {}, notes)
    same = np.allclose(ours.recon_fov, first.recon_fov, rtol=0.02)
    alike = (grid.channels, grid.stack) == (imaging.channels, imaging.stack)
    if not same or not alike or (grid.stack and grid.shape[1] != imaging.shape[1]):
        notes.append("The calibration scan has another field of view or coils, and was left out.")
        return None
    kspace, count = _gridded(table, rows.calibration, grid, path)
    check_finite(kspace, path, "the calibration scan")
    seen = (count > 0).all(1, keepdim=True) if grid.stack else count > 0
    size = calibration_region(seen)
    if 0 in size:
        notes.append("The calibration scan does not hold the centre of k-space; it was left out.")
        return None
    notes.append(f"Maps come from a calibration scan of {size[0]} × {size[1]} lines.")
    axes = fourier.VOLUME[1:2] if grid.stack else fourier.VOLUME[1:]
    return fourier.crop(kspace, size[: len(axes)], axes).contiguous()


def _noise(
    table: h5py.Dataset,
    heads: np.ndarray,
    rows: Rows,
    channels: int,
    header: Header,
    path: Path,
    notes: list[str],
) -> Complex[Tensor, "coil sample"] | None:
    """The noise acquisitions, scaled to the noise level of one imaging readout.

    The power of noise is proportional to the bandwidth, which is 1 / dwell time. The noise scan
    has a share of its nominal bandwidth, which the header gives as
    ``relativeReceiverNoiseBandwidth``. A noise scan of other channels is left out.
    """
    if not len(rows.noise):
        return None
    samples, noise_channels = (
        common(heads[rows.noise], key, path) for key in ("number_of_samples", "active_channels")
    )
    if noise_channels != channels:
        notes.append(
            f"The noise scan has {noise_channels} channels, the image {channels}; it was left out."
        )
        return None
    blocks = list(_readouts(table, rows.noise, channels, samples, path))
    noise = torch.cat(blocks).transpose(0, 1).flatten(1)
    pair = rows.noise[0], rows.imaging[0]
    dwell, imaging_dwell = (float(heads["sample_time_us"][row]) for row in pair)
    known = 0 < dwell < np.inf and 0 < imaging_dwell < np.inf  # writers may leave the field empty
    noise = noise * (dwell / (imaging_dwell * header.noise_bandwidth)) ** 0.5 if known else noise
    check_finite(noise, path, "the noise scan")
    return noise
