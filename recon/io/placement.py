"""Where the voxels of an ISMRMRD scan lie in the scanner.

``position`` of an acquisition is the middle of its slice or slab, in mm along DICOM's axes (LPS):
x to the patient's left, y to the back, z to the head. ``read_dir``, ``phase_dir`` and ``slice_dir``
are unit vectors along x, y and z of k-space. Index ``n // 2`` is the origin of our transform, so
that voxel lies at ``position``. NIfTI's axes are those of RAS: the first two change their signs.
"""

from pathlib import Path

import numpy as np

from recon.errors import ReconError

DIRECTIONS = ("read_dir", "phase_dir", "slice_dir")
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0])
SKEW = 1e-2  # directions this far from orthonormal are not directions


def affine(
    head: np.void, shape: tuple[int, int, int], voxel: tuple[float, float, float], stack: bool
) -> np.ndarray | None:
    """The matrix (4, 4) from voxel indices to mm (RAS); None where the file gives no orientation.

    ``head`` is that of an acquisition of the image. Of a stack, it lies in slice 0.
    """
    axes = np.stack([head[name].astype(np.float64) for name in DIRECTIONS], 1)
    if not np.allclose(axes.T @ axes, np.eye(3), atol=SKEW):
        return None
    origin = np.array([shape[0] // 2, shape[1] // 2, 0 if stack else shape[2] // 2])
    matrix = np.eye(4)
    matrix[:3, :3] = LPS_TO_RAS @ axes @ np.diag(voxel)
    matrix[:3, 3] = LPS_TO_RAS @ head["position"].astype(np.float64) - matrix[:3, :3] @ origin
    return matrix if np.isfinite(matrix).all() else None


def slice_order(heads: np.ndarray, path: Path) -> tuple[np.ndarray, float]:
    """The rank of each acquisition's slice along the slice normal, and the spacing in mm.

    Where the file gives no positions, the rank is the slice counter and the spacing is 0.
    """
    _, first, z = np.unique(heads["idx"]["slice"], return_index=True, return_inverse=True)
    normals = heads["slice_dir"][first].astype(np.float64)
    if np.abs(normals - normals[0]).max() > 1e-3:
        raise ReconError(
            f"{path}: the slices are not parallel (a localizer?); choose one with --slice N"
        )
    places = heads["position"][first].astype(np.float64)
    normal = normals[0]
    if not normal.any():  # not filled in: the positions lie on a line of their own
        apart = places[np.argmax(np.linalg.norm(places - places[0], axis=1))] - places[0]
        apart = apart * np.sign(apart[np.argmax(np.abs(apart))])  # towards left, back or head
        normal = apart / max(float(np.linalg.norm(apart)), 1e-9)
    position = places @ normal
    order = np.argsort(position, kind="stable")
    gaps = np.diff(position[order])
    if not gaps.max() > 1e-3:  # the writer left the positions empty
        return z, 0.0
    if gaps.max() - gaps.min() > 0.05 * gaps.max():
        apart = f"{gaps.min():.2f} to {gaps.max():.2f} mm apart"
        raise ReconError(
            f"{path}: slices lie {apart}, but a volume needs equal spacing; "
            "choose one with --slice N, or export one stack per file"
        )
    return np.argsort(order)[z], float(gaps.mean())
