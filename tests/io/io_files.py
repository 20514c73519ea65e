"""Writers for the tests of `recon.io`: every format as published, from known coil images."""

from pathlib import Path

import h5py
import ismrmrd
import numpy as np

COILS, NX, NY, NZ = 3, 12, 10, 7
HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD"><encoding>
<encodedSpace><matrixSize><x>{m[0]}</x><y>{m[1]}</y><z>{m[2]}</z></matrixSize>
<fieldOfView_mm><x>{f[0]}</x><y>{f[1]}</y><z>{f[2]}</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{r[0]}</x><y>{r[1]}</y><z>{r[2]}</z></matrixSize>
<fieldOfView_mm><x>{g[0]}</x><y>{g[1]}</y><z>{g[2]}</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{m[1]}</maximum>\
<center>{c[0]}</center></kspace_encoding_step_1>
<kspace_encoding_step_2><minimum>0</minimum><maximum>{m[2]}</maximum>\
<center>{c[1]}</center></kspace_encoding_step_2></encodingLimits>
<trajectory>{trajectory}</trajectory>{parallel}</encoding></ismrmrdHeader>"""


def header(
    matrix=(2 * NX, NY, NZ), center=None, oversampling=2, trajectory="cartesian", parallel=""
) -> str:
    recon = (matrix[0] // oversampling, *matrix[1:])
    fov, recon_fov = ((n * 1.0, n_y * 1.5, n_z * 2.0) for n, n_y, n_z in (matrix, recon))
    center = center or (matrix[1] // 2, matrix[2] // 2)
    return HEADER.format(
        m=matrix, f=fov, r=recon, g=recon_fov, c=center, trajectory=trajectory, parallel=parallel
    )


def transform(image: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """The centred and orthonormal transform, written independently with NumPy."""
    return np.fft.fftshift(
        np.fft.fftn(np.fft.ifftshift(image, axes), axes=axes, norm="ortho"), axes
    ).astype(np.complex64)


def coil_images() -> np.ndarray:
    """Coil images (coil, x, y, z) of an object without symmetry.

    The coils differ in place and phase.
    """
    x, y, z = np.meshgrid(*(np.arange(n) / n for n in (NX, NY, NZ)), indexing="ij")
    volume = (x > 0.2) * (y < 0.7) * (1 + x + 2 * y**2 + 3 * z) + 2.0 * (
        (x - 0.7) ** 2 + (y - 0.3) ** 2 + (z - 0.2) ** 2 < 0.05
    )
    maps = [
        np.exp(-((x - c / 3) ** 2) - (y - 0.2 * c) ** 2 + 1j * (c + 2 * x - c * y + z))
        for c in range(COILS)
    ]
    return (volume * np.stack(maps)).astype(np.complex64)


def oversampled(images: np.ndarray, axes: tuple[int, ...] = (1, 2, 3)) -> np.ndarray:
    """K-space of ``images`` in twice the field of view along x."""
    return transform(np.pad(images, ((0, 0), (NX // 2, NX // 2), (0, 0), (0, 0))), axes)


def acquisition(
    data: np.ndarray, step1=0, step2=0, flags=(), center=None, **counters
) -> ismrmrd.Acquisition:
    acq = ismrmrd.Acquisition.from_array(np.ascontiguousarray(data, np.complex64))
    acq.center_sample = data.shape[1] // 2 if center is None else center
    acq.idx.kspace_encode_step_1, acq.idx.kspace_encode_step_2 = step1, step2
    acq.slice_dir[:] = (0, 0, 1)
    for name, value in counters.items():
        setattr(
            acq
            if name in ("discard_pre", "discard_post", "encoding_space_ref", "sample_time_us")
            else acq.idx,
            name,
            value,
        )
    for flag in flags:
        acq.set_flag(flag)
    return acq


def write_mrd(path: Path, acquisitions: list, xml: str) -> Path:
    """An ISMRMRD file, written at once: appending line by line takes minutes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.empty(len(acquisitions), ismrmrd.hdf5.acquisition_dtype)
    for row, acq in zip(table, acquisitions, strict=True):
        row["head"] = np.frombuffer(acq.getHead(), ismrmrd.hdf5.acquisition_header_dtype)[0]
        row["data"] = acq.data.reshape(-1).view(np.float32)
        row["traj"] = acq.traj.reshape(-1)
    with ismrmrd.Dataset(str(path), "dataset", mode="w") as dataset:
        dataset.write_xml_header(xml.encode())
    if acquisitions:
        with h5py.File(path, "a") as file:
            file["dataset"].create_dataset("data", data=table, maxshape=(None,), chunks=True)
    return path


def lines(kspace: np.ndarray, **counters) -> list:
    return [
        acquisition(kspace[:, :, y, z], y, z, **counters)
        for z in range(kspace.shape[3])
        for y in range(kspace.shape[2])
    ]


def write_fastmri(path: Path, kspace: np.ndarray, xml: str | None = None, **arrays) -> Path:
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        file["reconstruction_rss"] = np.ones((len(kspace), 4, 4), np.float32)
        if xml:
            file["ismrmrd_header"] = xml.encode()
        for name, array in arrays.items():
            file[name] = array
        file.attrs.update(acquisition="CORPD_FBK", max=1e-3, norm=0.1, patient_id="x")
    return path


def write_cfl(base: Path, array: np.ndarray, dims: str | None = None) -> Path:
    sizes = dims or " ".join(map(str, array.shape)) + " 1" * (16 - array.ndim)
    Path(f"{base}.hdr").write_text(f"# Dimensions\n{sizes} \n# Command\nfft -u 7\n")
    Path(f"{base}.cfl").write_bytes(array.astype("<c8").tobytes(order="F"))
    return base
