"""Writers of small files in the layouts of paper A's datasets, from known images.

Every dataset's own convention is written out with NumPy. The docstrings of the modules of
`recon.data` describe the layouts and give their sources.
"""

from collections.abc import Iterator
from pathlib import Path

import h5py
import ismrmrd
import numpy as np

from tests.io.io_files import acquisition, write_mrd

SHAPE, COILS = (12, 10, 16), 3
LIMIT = "<{0}><minimum>0</minimum><maximum>{1}</maximum><center>{2}</center></{0}>"
HEADER = """<?xml version="1.0"?><ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<acquisitionSystemInformation><receiverChannels>{coils}</receiverChannels>\
</acquisitionSystemInformation><encoding>
<encodedSpace><matrixSize><x>{m[0]}</x><y>{m[1]}</y><z>{m[2]}</z></matrixSize>
<fieldOfView_mm><x>{f[0]}</x><y>{f[1]}</y><z>{f[2]}</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{r[0]}</x><y>{r[1]}</y><z>{r[2]}</z></matrixSize>
<fieldOfView_mm><x>{f[0]}</x><y>{f[1]}</y><z>{f[2]}</z></fieldOfView_mm></reconSpace>
<encodingLimits>{limits}</encodingLimits><trajectory>cartesian</trajectory></encoding>\
</ismrmrdHeader>"""


def coil_images(shape: tuple[int, int, int] = SHAPE, coils: int = COILS) -> np.ndarray:
    """Coil images (coil, x, y, z) of an object without symmetry that is off the centre.

    The coils differ in place and phase.
    """
    x, y, z = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    body = (x > 0.2) * (y < 0.8) * (z > 0.1) * (z < 0.7) * (1 + x + y**2 + z)
    volume = body + 2.0 * ((x - 0.6) ** 2 + (y - 0.3) ** 2 + (z - 0.3) ** 2 < 0.04)
    maps = [
        np.exp(-((x - c / 3) ** 2) - (y - 0.2 * c) ** 2 + 1j * (c + 2 * x - c * y + z))
        for c in range(coils)
    ]
    return (volume * np.stack(maps)).astype(np.complex64)


def centred(images: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Image to k-space, centred and orthonormal, as ``fftc`` of BART and dl-cs computes it."""
    return np.fft.fftshift(
        np.fft.fftn(np.fft.ifftshift(images, axes), axes=axes, norm="ortho"), axes
    ).astype(np.complex64)


def write_stanford(folder: Path, subject: str, images: np.ndarray, slices: str = "chopped") -> Path:
    """Writes ``subject``.h5 as mridata.org converted GE's P-files.

    Voxels are 0.5 × 0.5 × 0.6 mm, and the header describes 2D data. ``slices`` is "chopped" (image
    slices of alternating sign, as published), "plain" (image slices of constant sign) or "kz" (not
    transformed along z).
    """
    coils, nx, ny, nz = images.shape
    data = centred(images, (1, 2, 3) if slices == "kz" else (1, 2))
    if slices == "chopped":
        data = data * (-1) ** np.arange(nz)
    limits = [
        ("kspace_encoding_step_1", ny, ny // 2),
        ("kspace_encoding_step_2", 1, 0),
        ("slice", nz - 1, nz // 2),
    ]
    sizes = {"m": (nx, ny, 1), "r": (2 * nx, 2 * ny, nz), "f": (0.5 * nx, 0.5 * ny, 0.6 * nz)}
    xml = HEADER.format(
        coils=coils, limits="".join(LIMIT.format(*limit) for limit in limits), **sizes
    )
    lines = [acquisition(data[:, :, y, z], y, slice=z) for z in range(nz) for y in range(ny)]
    for line in lines:
        line.slice_dir[:] = (0, 0, 0)  # the converter leaves positions and directions empty
    return write_mrd(folder / f"{subject}.h5", lines, xml)


def hybrid(images: np.ndarray, sampled: int, dtype: type = np.float32) -> np.ndarray:
    """Calgary-Campinas' array (x, ky, kz, 2 * coils) from coil images.

    Its ``ifft2``, without a shift, has the magnitude of the images. Only the first ``sampled``
    planes of kz were measured; rounding has left small values in the others.
    """
    kspace = np.fft.fftshift(np.fft.fft2(images, axes=(2, 3)), (2, 3)).transpose(1, 2, 3, 0)
    kspace[:, :, sampled:] = 1e-6 * kspace[:, :, sampled:]
    parts = np.empty((*kspace.shape[:3], 2 * kspace.shape[3]), dtype)
    parts[..., ::2], parts[..., 1::2] = kspace.real, kspace.imag
    return parts


def write_calgary(folder: Path, subject: str, parts: np.ndarray, **options) -> Path:
    """Writes ``subject``.7.h5 with the array of `hybrid`; ``options`` go to the HDF5 dataset."""
    path = folder / f"{subject}.7.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset("kspace", data=parts, **options)
    return path


def write_ahead(
    folder: Path,
    name: str,
    images: np.ndarray,
    mask: np.ndarray | None = None,
    noise: np.ndarray | None = None,
) -> Path:
    """Writes ``name``.h5: 3D ISMRMRD with voxels of 0.7 mm.

    Lines outside ``mask`` (y, z) are in the file, but hold zeros. ``noise`` is the first
    acquisition.
    """
    coils, nx, ny, nz = images.shape
    kspace = centred(images, (1, 2, 3)) * (1 if mask is None else mask)
    limits = [
        ("kspace_encoding_step_1", ny - 1, ny // 2),
        ("kspace_encoding_step_2", nz - 1, nz // 2),
        ("contrast", 0, 0),
    ]
    size, fov = images.shape[1:], tuple(0.7 * n for n in images.shape[1:])
    xml = HEADER.format(
        coils=coils, m=size, r=size, f=fov, limits="".join(LIMIT.format(*limit) for limit in limits)
    )
    lines = [acquisition(kspace[:, :, y, z], y, z) for z in range(nz) for y in range(ny)]
    first = [] if noise is None else [acquisition(noise, flags=[ismrmrd.ACQ_IS_NOISE_MEASUREMENT])]
    return write_mrd(folder / f"{name}.h5", first + lines, xml)


def write_ahead_maps(folder: Path, number: str, maps: np.ndarray) -> Path:
    """Writes ``coilsens_``number.h5, which is in the same folder as the images."""
    path = folder / f"coilsens_{number}.h5"
    with h5py.File(path, "w") as file:
        file["0real"], file["1imag"] = (
            maps.real.transpose(0, 3, 2, 1),
            maps.imag.transpose(0, 3, 2, 1),
        )
    return path


def damages(good: Path) -> Iterator[str]:
    """Replaces ``good`` with one damaged file after another; yields what is wrong with each.

    No reader may accept any of them.
    """
    raw = good.read_bytes()
    kinds = {
        "empty": b"",
        "text": b"<html>404 Not Found</html>\n" * 40,
        "truncated": raw[: len(raw) // 2],
        "cut short": raw[:-100],
    }
    for kind, content in kinds.items():
        good.write_bytes(content)
        yield kind
    good.unlink()
    with h5py.File(good, "w") as file:
        file["image"] = np.ones((4, 4))
    yield "something else"
