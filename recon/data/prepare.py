"""From a `Scan` to what experiments use: reference, sensitivity maps, support and noise level, stored once per volume."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from recon import coils
from recon.data.scan import Scan
from recon.errors import ReconError
from recon.sense import Problem


@dataclass(frozen=True)
class Prepared:
    """One volume, ready to be undersampled and reconstructed."""

    kspace: Complex[Tensor, "coil x y z"] | None  # all that was measured; None where only the reference is kept (training)
    mask: Bool[Tensor, "y z"]  # measured phase encodes
    maps: Complex[Tensor, "coil x y z"] | None  # ESPIRiT from all measured data
    reference: Complex[Tensor, "x y z"]  # MVUE of all measured data (paper A, section 5)
    noise: float  # standard deviation of the k-space noise, per real component
    voxel: tuple[float, float, float]  # mm
    name: str
    origin: str  # "measured", "semi-synthetic" or "phantom"
    hash: str  # of the contents; identifies the volume in sidecars and case keys
    truth: Complex[Tensor, "x y z"] | None = None  # what the reference would be without noise, where the scan is simulated

    @property
    def support(self) -> Bool[Tensor, "x y z"]:
        """Where the reference holds signal: above 5 % of its maximum."""
        magnitude = self.reference.abs()
        return magnitude > 0.05 * magnitude.max()


def prepare(scan: Scan) -> Prepared:
    """Maps by ESPIRiT, reference ``Σ conj(S) IFFT(k)`` and noise level from all measured data of a scan."""
    kspace, noise = whitened(scan)
    maps = coils.espirit(kspace)
    reference = coils.mvue(kspace, maps)
    digest = hashlib.sha256(repr(noise).encode())
    for array in (kspace, maps, reference):
        digest.update(torch.view_as_real(array.contiguous()).numpy())
    return Prepared(kspace, scan.mask, maps, reference, noise, scan.voxel, scan.name, scan.origin, digest.hexdigest()[:16], scan.truth)


def whitened(scan: Scan) -> tuple[Complex[Tensor, "coil x y z"], float]:
    """K-space and the standard deviation of its noise, per real component.

    A measured scan that has a noise scan is whitened with it, which makes the noise of all coils independent and equal.
    Simulated coils are so already. Without a noise scan the level is estimated from the outskirts of k-space.
    """
    if scan.noise is None or scan.noise.shape[1] <= 10 * scan.coils:
        return scan.kspace, coils.noise_level(scan.kspace)
    if scan.origin != "measured":
        return scan.kspace, float(torch.view_as_real(scan.noise).std())
    return coils.whiten(scan.kspace, coils.noise_covariance(scan.noise)), 2**-0.5


def problem(prepared: Prepared, mask: Bool[Tensor, "y z"], maps: str = "calibration") -> Problem:
    """The reconstruction problem that remains when only ``mask`` is measured.

    ``maps`` is "calibration" (ESPIRiT from the fully sampled centre of the masked data, as at the scanner) or "full"
    (from all data, as in paper A).
    """
    if prepared.kspace is None or prepared.maps is None:
        raise ReconError(f"{prepared.name}: only the reference of this training volume is stored; reconstruct a validation or test volume")
    kept = mask & prepared.mask
    kspace = prepared.kspace * kept
    sensitivities = prepared.maps if maps == "full" else coils.espirit(kspace)
    return Problem.build(kspace, kept, sensitivities, prepared.noise, prepared.voxel)


def save(path: str | Path, prepared: Prepared, provenance: dict, reference_only: bool = False) -> None:
    """Writes a prepared volume as HDF5, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with h5py.File(part, "w") as file:
        file["reference"] = prepared.reference.numpy()
        file["mask"] = prepared.mask.numpy()
        if not reference_only:
            file["kspace"] = prepared.kspace.numpy()
            file["maps"] = prepared.maps.numpy()
            if prepared.truth is not None:
                file["truth"] = prepared.truth.numpy()
        for key in ("noise", "voxel", "name", "origin", "hash"):
            file.attrs[key] = getattr(prepared, key)
        file.attrs["provenance"] = json.dumps(provenance)
    os.replace(part, path)


def load(path: str | Path) -> Prepared:
    """Reads what `save` wrote."""
    try:
        with h5py.File(path) as file:
            arrays = {k: torch.from_numpy(file[k][()]) if k in file else None for k in ("kspace", "mask", "maps", "reference", "truth")}
            scalars = {k: file.attrs[k] for k in ("noise", "name", "origin", "hash")}
            voxel = tuple(map(float, file.attrs["voxel"]))
    except (OSError, KeyError) as error:
        raise ReconError(f"{path}: not a prepared volume ({error}); delete it and run the preparation again") from error
    return Prepared(**arrays, **(scalars | {"noise": float(scalars["noise"])}), voxel=voxel)
