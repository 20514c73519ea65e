"""Writers of small files in the layouts of the datasets that need an agreement, and of roots.

Conventions are written out with NumPy. The docstrings of the modules of `recon.data` describe the
layouts and give their sources.
"""

from pathlib import Path

import h5py
import nibabel
import numpy as np

HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<acquisitionSystemInformation><systemVendor>SIEMENS</systemVendor>\
<receiverChannels>{coils}</receiverChannels></acquisitionSystemInformation>
<encoding><encodedSpace><matrixSize><x>{rows}</x><y>{columns}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{fov_x}</x><y>{fov_y}</y><z>4.5</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{recon}</x><y>{recon}</y><z>1</z></matrixSize>
<fieldOfView_mm><x>{recon_fov}</x><y>{recon_fov}</y><z>3</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum>\
<center>{center}</center></kspace_encoding_step_1>
<kspace_encoding_step_2><minimum>0</minimum><maximum>0</maximum>\
<center>0</center></kspace_encoding_step_2>
<slice><minimum>0</minimum><maximum>{slices}</maximum><center>0</center></slice></encodingLimits>
<trajectory>cartesian</trajectory></encoding></ismrmrdHeader>"""


def to_kspace(images: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Centred and orthonormal, as fastMRI's ``fft2c`` and meddlr's ``fftnc`` compute it."""
    moved = np.fft.ifftshift(images, axes=axes)
    return np.fft.fftshift(np.fft.fftn(moved, axes=axes, norm="ortho"), axes=axes).astype(
        np.complex64
    )


def write_fastmri(
    folder: Path,
    track: str,
    name: str,
    images: np.ndarray,
    padding: int = 0,
    mask: np.ndarray | None = None,
) -> Path:
    """Writes ``track``/``name``.h5 from coil images (coil, x, y, slice).

    Voxels are 0.4 × 0.5 × 3 mm. In a single-coil track only the first coil is written. ``padding``
    columns at the low end and one fewer at the high end were not acquired. A file with ``mask``
    (column) is a test file.
    """
    coils, nx, ny, slices = images.shape
    kspace = to_kspace(
        np.pad(images, ((0, 0), (nx // 2, nx // 2), (0, 0), (0, 0))), (1, 2)
    ).transpose(3, 0, 1, 2)
    last = ny - 1
    if padding:
        kspace[..., :padding], kspace[..., ny - padding + 1 :] = 0, 0
        last = ny - 2 * padding
    if mask is not None:
        kspace = kspace * mask
    sizes = {
        "rows": 2 * nx,
        "columns": ny,
        "fov_x": 2 * nx * 0.4,
        "fov_y": ny * 0.5,
        "recon": nx,
        "recon_fov": nx * 0.4,
    }
    xml = HEADER.format(
        **sizes, coils=coils, last=last, center=ny // 2 - padding, slices=slices - 1
    )
    rss = np.sqrt((abs(images) ** 2).sum(0)).transpose(2, 0, 1).astype(np.float32)
    path = folder / track / f"{name}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["ismrmrd_header"] = xml.encode()
        file["kspace"] = kspace[:, 0] if "singlecoil" in track else kspace
        if mask is None:
            file["reconstruction_rss"] = rss
        else:
            file["mask"] = mask.astype(np.float32)
            file.attrs.update(acceleration=4, num_low_frequency=3)
        file.attrs.update(
            acquisition="CORPDFS_FBK", max=rss.max(), norm=np.linalg.norm(rss), patient_id="0" * 64
        )
    return path


def write_skm_tea(
    folder: Path, name: str, echoes: list[np.ndarray], sampled: np.ndarray | None = None, **options
) -> Path:
    """Writes ``files_recon_calib-24/name``.h5 from the coil images (coil, x, y, z) of both echoes.

    A file of the same name in ``image_files`` is written, too. The readout stays an image axis.
    ``sampled`` (y, z) is where k-space is not empty. ``options`` go to the HDF5 dataset.
    """
    hybrid = np.stack([to_kspace(images, (2, 3)) for images in echoes])
    hybrid *= True if sampled is None else sampled
    path = folder / "files_recon_calib-24" / f"{name}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "kspace", data=hybrid.transpose(2, 3, 4, 0, 1).astype(np.complex64), **options
        )
        for unread, last in (("maps", len(echoes[0])), ("target", 2)):
            size = (*echoes[0].shape[1:], last, 1)
            file.create_dataset(unread, size, np.complex64)  # takes no room
        file["masks/poisson_8.0x"] = np.ones(echoes[0].shape[2:], bool)
    images = folder / "image_files" / f"{name}.h5"
    images.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(images, "w") as file:
        file["echo1"] = abs(echoes[0][0])
    return path


def write_brats(
    folder: Path, name: str, volumes: dict[str, np.ndarray], ending: str = ".nii.gz"
) -> Path:
    """Writes ``name``/``name``_t1.nii.gz … (or ``name``-t1n.nii.gz …); returns the folder.

    Volumes are int16; by their headers, x runs to the left and y to the back.
    """
    subject = folder / name
    subject.mkdir(parents=True, exist_ok=True)
    size = next(iter(volumes.values())).shape[1]
    affine = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, size - 1], [0, 0, 1.0, 0], [0, 0, 0, 1]])
    for suffix, volume in volumes.items():
        image = nibabel.Nifti1Image(volume.astype(np.int16), affine)
        image.header.set_xyzt_units("mm")
        nibabel.save(image, subject / f"{name}{suffix}{ending}")
    return subject


def write_roots(path: Path, volume: np.ndarray, voxel: tuple[float, float, float]) -> Path:
    """Writes a volume as ``.npz`` with its voxel size, as ``.npy`` without it, or as NIfTI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        np.savez_compressed(path, volume=volume, voxel=voxel)
    elif path.suffix == ".npy":
        np.save(path, volume)
    else:
        image = nibabel.Nifti1Image(volume, np.diag([*voxel, 1.0]))
        image.header.set_xyzt_units("mm")
        nibabel.save(image, path)
    return path
