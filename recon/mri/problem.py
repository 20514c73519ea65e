"""The reconstruction `Problem` that every method solves, and how a scan becomes one."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Complex, Float
from torch import Tensor

from recon.errors import ReconError
from recon.mri.channels import channels, mixed
from recon.mri.maps import Espirit, Maps, estimate
from recon.mri.prepared import Prepared
from recon.mri.scan import Scan
from recon.mri.sense import Sense
from recon.mri.slices import planes
from recon.mri.solvers import conjugate_gradient

THICK = 2.0  # slices are thick that are this many times as thick as their pixels are wide


@dataclass(frozen=True)
class Problem:
    """One undersampled scan, scaled for reconstruction: the input of every method.

    The k-space is multiplied by `scale` so that the volume has about unit power over real and
    imaginary parts (see `power`). Priors are trained at this scale (paper A, section 4.1), and
    regularisation weights are given in it. `unscale` undoes it before metrics.
    """

    operator: Sense
    kspace: Complex[Tensor, "coil x y z"]  # measured samples, scaled; zero elsewhere
    rhs: Complex[Tensor, "x y zs"]  # Aᴴ y, the zero-filled volume
    noise: float  # standard deviation of the noise in `kspace`, per real component
    scale: float
    voxel: tuple[float, float, float] = (1.0, 1.0, 1.0)  # mm
    # Of a separate scan, in the same channels; GRAPPA learns from it. None where there is none.
    calibration: Complex[Tensor, "coil cx cy cz"] | None = None

    @classmethod
    def build(
        cls,
        kspace: Complex[Tensor, "coil x y z"],
        mask: Bool[Tensor, "y z"],
        maps: Complex[Tensor, "coil x y z"] | Complex[Tensor, "set coil x y z"],
        noise: float = 0.0,
        voxel: tuple[float, float, float] = (1.0, 1.0, 1.0),
        stack: bool = False,
    ) -> "Problem":
        """Masks and scales ``kspace``.

        ``noise`` is the standard deviation per real component before scaling. In a ``stack``, the z
        axis of k-space holds slices that were measured one by one. Raises ReconError for shapes
        that disagree and for an empty zero-filled volume.
        """
        if kspace.shape != maps.shape[-4:]:
            raise ReconError(
                f"k-space has shape {tuple(kspace.shape)} "
                f"but the coil maps have {tuple(maps.shape)}; they must agree"
            )
        operator = Sense(maps, mask, stack=stack)
        kspace = kspace * mask
        rhs = operator.adjoint(kspace)
        if not rhs.any():
            raise ReconError(
                "the zero-filled volume is empty; "
                "check that the mask covers the measured samples and the maps are not zero"
            )
        energy = power(kspace, mask, noise, stack)
        if not energy > 0:
            raise ReconError(
                f"nothing in k-space rises above the noise, whose level is {noise:.3g}; "
                "check the noise scan, or that this is no noise scan"
            )
        spread = energy**0.5
        return cls(operator, kspace / spread, rhs / spread, noise / spread, 1 / spread, voxel)

    def objective(self, volume: Complex[Tensor, "x y zs"]) -> Float[Tensor, ""]:
        """The data term ``½‖Ax − y‖²``."""
        return 0.5 * (self.operator.forward(volume) - self.kspace).abs().square().sum()

    def gradient(self, volume: Complex[Tensor, "x y zs"]) -> Complex[Tensor, "x y zs"]:
        """Gradient ``Aᴴ(Ax − y)`` of the data term, computed as ``AᴴA x − rhs``."""
        return self.operator.normal(volume) - self.rhs

    @property
    def thick(self) -> bool:
        """Whether this is a stack of thick slices, in which other cuts look unlike slices."""
        return self.operator.stack and self.voxel[2] > THICK * max(self.voxel[:2])

    def orientations(self, count: int = 3) -> list[int]:
        """The axes across which a prior of slices is asked: the last ``count`` that have images.

        In a stack of thick slices it is asked about them alone. With several sets of maps it is
        asked about slices across z alone, as others hold two images side by side.
        """
        alone = self.thick or self.operator.sets > 1
        return planes(self.operator.shape)[-1 if alone else -count :]

    def pseudoinverse(self, iterations: int) -> Complex[Tensor, "x y zs"]:
        """A few iterations of CG-SENSE without a penalty, whose low frequencies are right."""
        start = torch.zeros_like(self.rhs)
        return conjugate_gradient(self.operator.normal, self.rhs, start, iterations)

    def unscale(self, volume: Complex[Tensor, "x y zs"]) -> Complex[Tensor, "x y z"]:
        """The volume in the units of the scan.

        Images of several sets of maps are combined: the magnitude is the root of their sum of
        squares, the phase that of the first.
        """
        if self.operator.sets > 1:
            images = torch.stack(volume.chunk(self.operator.sets, dim=-1))
            size = torch.linalg.vector_norm(images, dim=0)
            volume = torch.polar(size, images[0].angle())
        return volume / self.scale

    def to(self, device: torch.device | str) -> "Problem":
        """The same problem on another device."""
        maps, mask = self.operator.maps.to(device), self.operator.mask.to(device)
        operator = Sense(maps, mask, stack=self.operator.stack)
        return replace(
            self,
            operator=operator,
            kspace=self.kspace.to(device),
            rhs=self.rhs.to(device),
            calibration=None if self.calibration is None else self.calibration.to(device),
        )


def power(
    kspace: Complex[Tensor, "coil x y z"],
    mask: Bool[Tensor, "y z"],
    noise: float = 0.0,
    stack: bool = False,
) -> float:
    """Mean square of the real and imaginary parts of the volume, estimated from its samples.

    Maps of unit norm keep the energy of a volume in k-space. Its samples thin out towards the edge,
    so each ring of phase encodes counts as much as if it were fully sampled. The zero-filled volume
    alone has less: its references were at 1.04 to 1.08 of unit spread. ``noise`` is the standard
    deviation per real component; its part of the energy is left out. In a ``stack``, a ring is the
    phase encodes of all slices at one distance from ky = 0.
    """
    coils, nx, ny, nz = kspace.shape
    y = (torch.arange(ny) - ny // 2)[:, None] * (1 if stack else max(ny, nz) / ny)
    z = (torch.arange(nz) - nz // 2)[None] * (0 if stack else max(ny, nz) / nz)
    ring = (y**2 + z**2).sqrt().round().long()
    energy = kspace.abs().square().sum((0, 1)).double().cpu() - 2 * nx * coils * noise**2
    measured = mask.cpu()
    every = torch.bincount(ring.flatten())
    seen = torch.bincount(ring[measured], minlength=len(every))
    sums = torch.bincount(ring[measured], weights=energy[measured], minlength=len(every))
    total = (sums * every / seen.clamp(min=1)).sum()
    return float(total) / (2 * nx * ny * nz)


def pose(
    kspace: Complex[Tensor, "coil x y z"],
    mask: Bool[Tensor, "y z"],
    noise: float,
    voxel: tuple[float, float, float],
    known: Maps | None = None,
    stack: bool = False,
    settings: Espirit = Espirit(),
) -> Problem:
    """The problem of reconstructing independent channels when only ``mask`` is measured.

    Without ``known`` maps, ESPIRiT estimates them from the fully sampled centre of the masked data,
    as at the scanner.
    """
    kspace = kspace * mask
    maps = estimate(kspace, stack=stack, settings=settings) if known is None else known
    return Problem.build(kspace, mask, maps, noise, voxel, stack)


def pose_scan(
    scan: Scan,
    virtual_coils: int | None = None,
    keep: Bool[Tensor, "y z"] | None = None,
    known: Maps | None = None,
    settings: Espirit = Espirit(),
) -> Problem:
    """The problem of reconstructing a scan: independent channels, and undersampling by ``keep``.

    Maps come from a separate calibration scan where there is one. ``known`` maps belong to the
    channels of the scan. They are mixed as its channels are, and scaled to unit norm. Raises
    `ReconError` for maps of another size.
    """
    matrix, noise = channels(scan, virtual_coils)
    kspace = mixed(scan.kspace, matrix)
    mask = scan.mask if keep is None else scan.mask & keep
    if known is not None:
        if tuple(known.shape[-4:]) != tuple(scan.kspace.shape):
            raise ReconError(
                f"{scan.name}: the maps have shape {tuple(known.shape)}, the scan "
                f"{tuple(scan.kspace.shape)}; they must agree in (coil, x, y, z)"
            )
        sets = known.view(-1, *known.shape[-4:])
        sets = torch.stack([mixed(one, matrix) for one in sets])
        norm = sets.abs().square().sum(1, keepdim=True).sqrt()
        sets = torch.where(norm > 0, sets / norm.clamp(min=1e-30), 0)
        known = sets[0] if len(sets) == 1 else sets
    calibration = None if scan.calibration is None else mixed(scan.calibration, matrix)
    if known is None and calibration is not None:
        known = estimate(calibration, scan.shape, scan.stack, settings)
    problem = pose(kspace, mask, noise, scan.voxel, known, scan.stack, settings)
    return replace(problem, calibration=calibration)


def maps_of_scan(problem: Problem, scan: Scan) -> Maps:
    """The maps of a problem for the channels of its scan, which `pose_scan` takes as ``known``.

    Raises `ReconError` where channels were compressed, which cannot be undone.
    """
    matrix, _ = channels(scan)
    maps = problem.operator.maps.cpu()
    if maps.shape[-4] != scan.coils:
        raise ReconError("maps of virtual coils belong to no scan; do not give --coils")
    if matrix is None:
        return maps
    sets = maps.view(-1, *maps.shape[-4:])
    sets = torch.stack([mixed(one, torch.linalg.inv(matrix)) for one in sets])
    return sets.view(maps.shape)


def undersampled(
    prepared: Prepared, mask: Bool[Tensor, "y z"], maps: str = "calibration"
) -> Problem:
    """The problem of reconstructing a prepared volume when only ``mask`` is measured.

    ``maps`` is "calibration" (see `pose`), or "full" for maps from all data, as in paper A. Raises
    ReconError where only the reference of the volume is stored.
    """
    if prepared.kspace is None or prepared.maps is None:
        kept = "only the reference of this training volume is stored"
        raise ReconError(f"{prepared.name}: {kept}; reconstruct a validation or test volume")
    known = prepared.maps if maps == "full" else None
    return pose(prepared.kspace, mask & prepared.mask, prepared.noise, prepared.voxel, known)
