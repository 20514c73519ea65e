"""ISMRMRD raw data (Inati et al., MRM 2017), sorted into a Cartesian grid.

Acquisitions are read in large blocks, not one by one.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import torch
from jaxtyping import Bool, Complex, Int
from torch import Tensor

from recon.errors import ReconError
from recon.io.checks import LIMIT, check_dataset, check_finite, check_lengths, check_text
from recon.io.header import Header, parse_header, remove_oversampling
from recon.mri import fourier
from recon.mri.scan import Scan

# acquisitions read at a time: enough to amortise the cost of an HDF5 call, and few enough to keep
# one copy of the data in memory
BLOCK = 4096
MAX_UNDERSAMPLING = 256  # an emptier grid means a damaged header
NOT_IMAGING = (
    ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
)


def read_ismrmrd(file: h5py.File, path: Path) -> Scan:
    """The first encoding space of an ISMRMRD file: a 3D scan, or a stack of 2D slices.

    All slices must have one mask. Readout oversampling is cropped in image space. Partial and
    asymmetric sampling is zero-filled around the centre of k-space. Repeated lines are averaged.
    Noise acquisitions are returned as ``noise``, and calibration lines of a separate scan are left
    out. Raises `ReconError` for non-Cartesian data, for frames of different sizes, and for
    acquisitions that do not fit the header.
    """
    xml, table = (check_dataset(file["dataset"], path, name) for name in ("xml", "data"))
    _check_layout(table, path)
    check_text(xml, path, "xml")
    header = parse_header(xml[0], path)
    if header.trajectory != "cartesian":
        raise ReconError(
            f"{path}: trajectory {header.trajectory[:40]!r} is not supported; "
            "only Cartesian acquisitions can be read: grid the data first"
        )
    heads = table.fields("head")[()]
    meta = {"format": "ISMRMRD"} | header.facts()
    rows = _imaging_rows(heads, header, path, meta)
    samples, channels = (
        _common(heads[rows], key, path) for key in ("number_of_samples", "active_channels")
    )
    window = _readout_window(heads[rows], header, path, meta)
    y, z, shape, voxel_z = _phase_encodes(heads[rows], header, path)
    _check_grid(
        header.matrix[0] * shape[0] * shape[1] * channels, len(rows) * samples * channels, path
    )

    count = torch.bincount(torch.from_numpy(y * shape[1] + z), minlength=shape[0] * shape[1])
    lines = _grid_lines(
        _readouts(table, rows, channels, samples, path), y * shape[1] + z, count, window, header
    )
    kspace = lines.unflatten(0, shape).permute(2, 3, 0, 1).contiguous()
    mask = (count > 0).view(shape)
    if count.max() > 1:
        meta["averages"] = int(count.max())
    if header.matrix[2] == 1 and shape[1] > 1:
        kspace = _slices_to_kz(kspace, mask, path)
    voxel = (header.fov[0] / header.matrix[0], header.fov[1] / header.matrix[1], voxel_z)
    noise = _noise(table, heads, rows, channels, header, path)
    # averaging has lowered the noise of k-space: take its root mean square over the lines
    if noise is not None:
        noise = noise * float((1 / count[count > 0].float()).mean().sqrt())
    return Scan(kspace, voxel, mask, name=path.name, noise=noise, meta=meta)


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


def _flagged(heads: np.ndarray, *flags: int) -> np.ndarray:
    return (heads["flags"] & np.uint64(sum(1 << (flag - 1) for flag in flags))) != 0


def _imaging_rows(heads: np.ndarray, header: Header, path: Path, meta: dict) -> np.ndarray:
    """The indices of the acquisitions that make the image.

    Where the file holds several frames of one size, these are those of the first frame.
    """
    keep = ~_flagged(heads, *NOT_IMAGING)
    if header.calibration in ("separate", "external"):
        keep &= ~_flagged(heads, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION) | _flagged(
            heads, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING
        )
    if keep.any() and (other := keep & (heads["encoding_space_ref"] != 0)).any():
        meta["left_out"] = f"{other.sum()} acquisitions of further encoding spaces"
        keep &= ~other
    for counter in ("contrast", "phase", "repetition", "set"):
        values, counts = np.unique(heads["idx"][counter][keep], return_counts=True)
        if len(set(counts.tolist())) > 1:
            raise ReconError(
                f"{path}: holds {len(values)} {counter}s of different sizes "
                f"({counts.min()} to {counts.max()} lines); split the file"
            )
        if len(values) > 1:
            meta[counter] = f"first of {len(values)}"
            keep &= heads["idx"][counter] == values[0]
    if not keep.any():
        raise ReconError(
            f"{path}: none of the {len(heads)} acquisitions is imaging data; "
            "check which measurement was exported"
        )
    if _flagged(heads[keep], ismrmrd.ACQ_IS_REVERSE).any():
        raise ReconError(
            f"{path}: holds reversed (EPI) readouts, which need a phase correction; "
            "export phase-corrected data"
        )
    return np.flatnonzero(keep)


def _common(heads: np.ndarray, key: str, path: Path) -> int:
    values = np.unique(heads[key])
    if len(values) > 1:
        raise ReconError(
            f"{path}: {key} differs between acquisitions ({values.min()} to {values.max()}); "
            "export one measurement per file"
        )
    return int(values[0])


def _readout_window(
    heads: np.ndarray, header: Header, path: Path, meta: dict
) -> tuple[slice, slice]:
    """The samples of an acquisition that are used, and where they lie on the encoded readout.

    The acquisition's centre sample is placed on the origin of the readout.
    """
    samples, center, pre, post = (
        _common(heads, key, path)
        for key in ("number_of_samples", "center_sample", "discard_pre", "discard_post")
    )
    nx = header.matrix[0]
    # a full readout cannot start at its centre: the field was not filled in
    if center == 0 and samples == nx:
        center = nx // 2
        meta["center_sample"] = "not given; the middle of the readout was taken"
    first, length = nx // 2 - center + pre, samples - pre - post
    if length < 1 or first < 0 or first + length > nx:
        raise ReconError(
            f"{path}: readouts of {samples} samples with centre {center} do not fit the encoded "
            f"matrix of {nx}; correct the header"
        )
    if length < nx:
        meta["asymmetric_echo"] = f"{length} of {nx} readout samples measured, the rest zero-filled"
    return slice(pre, pre + length), slice(first, first + length)


def _phase_encodes(
    heads: np.ndarray, header: Header, path: Path
) -> tuple[np.ndarray, np.ndarray, tuple[int, int], float]:
    """The grid position (y, z) of each acquisition, the grid's shape, and the voxel size along z.

    The voxel size is in mm.
    """
    ny, nz = header.matrix[1:]
    steps = (heads["idx"][f"kspace_encode_step_{i}"].astype(np.int64) for i in (1, 2))
    y, z = (
        step - center + n // 2
        for step, center, n in zip(steps, header.center, (ny, nz), strict=True)
    )
    for name, index, size in (("1", y, ny), ("2", z, nz)):
        if index.min() < 0 or index.max() >= size:
            raise ReconError(
                f"{path}: encoding step {name} runs outside the encoded matrix of {size}; "
                "correct matrixSize or encodingLimits"
            )
    slices = np.unique(heads["idx"]["slice"])
    if len(slices) == 1:
        return y, z, (ny, nz), header.voxel[2]
    if nz > 1:
        raise ReconError(
            f"{path}: holds {len(slices)} slabs of a 3D acquisition; export one slab per file"
        )
    if header.slices is not None and header.slices != len(slices):
        raise ReconError(
            f"{path}: {len(slices)} of {header.slices} slices are in the file; export it again"
        )
    z, spacing = _slice_order(heads, path)
    return y, z, (ny, len(slices)), spacing or header.voxel[2]


def _slice_order(heads: np.ndarray, path: Path) -> tuple[np.ndarray, float]:
    """The rank of each acquisition's slice along the slice normal, and the spacing in mm.

    Where the file gives no positions, the rank is the slice counter and the spacing is 0.
    """
    _, first, z = np.unique(heads["idx"]["slice"], return_index=True, return_inverse=True)
    normals = heads["slice_dir"][first].astype(np.float64)
    if np.abs(normals - normals[0]).max() > 1e-3:
        raise ReconError(
            f"{path}: the slices are not parallel (a localizer?); export one orientation per file"
        )
    position = heads["position"][first].astype(np.float64) @ normals[0]
    order = np.argsort(position, kind="stable")
    gaps = np.diff(position[order])
    if not gaps.max() > 1e-3:  # the writer left the positions empty
        return z, 0.0
    if gaps.max() - gaps.min() > 0.05 * gaps.max():
        apart = f"{gaps.min():.2f} to {gaps.max():.2f} mm apart"
        raise ReconError(
            f"{path}: slices lie {apart}, but a volume needs equal spacing; "
            "export one stack per file"
        )
    return np.argsort(order)[z], float(gaps.mean())


def _check_grid(elements: int, stored: int, path: Path) -> None:
    if elements > min(LIMIT, MAX_UNDERSAMPLING * stored):
        raise ReconError(
            f"{path}: the header's matrix needs {elements} samples, the file holds {stored}; "
            "correct matrixSize or export again"
        )


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


def _grid_lines(
    blocks: Iterator[Tensor],
    line: np.ndarray,
    count: Int[Tensor, "line"],
    window: tuple[slice, slice],
    header: Header,
) -> Complex[Tensor, "line coil x"]:
    """The mean of the acquisitions of every line.

    Each acquisition is centred and zero-filled, and its oversampling is removed.
    """
    line, start, lines = torch.from_numpy(line), 0, None
    used, placed = window
    for block in blocks:
        if lines is None:
            lines = block.new_zeros(len(count), block.shape[1], header.readout)
        readout = block.new_zeros(*block.shape[:2], header.matrix[0])
        readout[..., placed] = block[..., used]
        lines.index_add_(
            0, line[start : start + len(block)], remove_oversampling(readout, header.readout, -1)
        )
        start += len(block)
    return lines.div_(count.clamp(min=1)[:, None, None])


def _slices_to_kz(
    kspace: Complex[Tensor, "coil x y slice"], mask: Bool[Tensor, "y slice"], path: Path
) -> Complex[Tensor, "coil x y z"]:
    if (mask != mask[:, :1]).any():
        raise ReconError(
            f"{path}: the slices are sampled differently, so they do not make one 3D scan; "
            "export one slice per file"
        )
    return fourier.fft(kspace, (-1,))


def _noise(
    table: h5py.Dataset,
    heads: np.ndarray,
    imaging: np.ndarray,
    channels: int,
    header: Header,
    path: Path,
) -> Complex[Tensor, "coil sample"] | None:
    """The noise acquisitions, scaled to the noise level of one imaging readout.

    The power of noise is proportional to the bandwidth, which is 1 / dwell time. The noise scan
    has a share of its nominal bandwidth, which the header gives as
    ``relativeReceiverNoiseBandwidth``.
    """
    rows = np.flatnonzero(_flagged(heads, ismrmrd.ACQ_IS_NOISE_MEASUREMENT))
    if not len(rows):
        return None
    samples, noise_channels = (
        _common(heads[rows], key, path) for key in ("number_of_samples", "active_channels")
    )
    if noise_channels != channels:
        raise ReconError(
            f"{path}: the noise scan has {noise_channels} channels, the image {channels}; "
            "export them with the same coils"
        )
    noise = (
        torch.cat(list(_readouts(table, rows, channels, samples, path))).transpose(0, 1).flatten(1)
    )
    dwell, imaging_dwell = (float(heads["sample_time_us"][r[0]]) for r in (rows, imaging))
    known = 0 < dwell < np.inf and 0 < imaging_dwell < np.inf  # writers may leave the field empty
    noise = noise * (dwell / (imaging_dwell * header.noise_bandwidth)) ** 0.5 if known else noise
    check_finite(noise, path, "the noise scan")
    return noise
