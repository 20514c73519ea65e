"""The multi-coil forward model ``y = M F S x`` and the reconstruction `Problem` that every method solves."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from recon import fourier
from recon.errors import ReconError

CHUNK_BYTES = 64 << 20  # of one array over several coils: it fills a GPU and bounds the memory
CACHE_BYTES = 1 << 20  # the same inside `normal` on a CPU: what the cache of a core holds


class Sense:
    """SENSE operator ``A = M F S`` of a Cartesian scan whose readout x is fully sampled (paper A, equation 1).

    ``forward`` and ``adjoint`` are the plain 3D definition. ``normal`` is what iterations use: since the readout is
    never undersampled, ``Aᴴ A`` is a batch of 2D transforms over (y, z), and the centring of the transform is folded
    into the maps, so no iteration shifts an array, and slabs of x pass one after the other, all of their coils in the cache.
    """

    def __init__(self, maps: Complex[Tensor, "coil x y z"], mask: Bool[Tensor, "y z"], chunk_bytes: int | None = None):
        if mask.shape != maps.shape[-2:]:
            raise ReconError(f"mask has shape {tuple(mask.shape)} but the maps are {tuple(maps.shape)}; the mask must be their (y, z)")
        ny, nz = mask.shape
        self.modulation = fourier.modulation(ny, maps.device)[:, None] * fourier.modulation(nz, maps.device)
        self.modulated_maps = maps * self.modulation
        self.mask = mask
        self.coils_per_chunk = max(1, (chunk_bytes or CHUNK_BYTES) // (maps[0].numel() * maps.element_size()))
        slab_bytes = chunk_bytes or (CACHE_BYTES if maps.device.type == "cpu" else CHUNK_BYTES)
        self.slab = max(1, slab_bytes // (maps[:, 0].numel() * maps.element_size()))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (x, y, z)."""
        return tuple(self.modulated_maps.shape[1:])

    @property
    def maps(self) -> Complex[Tensor, "coil x y z"]:
        """The coil sensitivities."""
        return self.modulated_maps * self.modulation.conj()

    @cached_property
    def support(self) -> Bool[Tensor, "x y z"]:
        """Voxels that some coil sees; elsewhere data say nothing, references are zero, and every method's volume is."""
        seen = [self.modulated_maps[c : c + self.coils_per_chunk].ne(0).any(0) for c in self._chunks()]
        return torch.stack(seen).any(0)

    def _chunks(self):
        return range(0, self.modulated_maps.shape[0], self.coils_per_chunk)

    def _maps(self, first: int) -> Complex[Tensor, "chunk x y z"]:
        return self.modulated_maps[first : first + self.coils_per_chunk] * self.modulation.conj()

    def forward(self, volume: Complex[Tensor, "x y z"]) -> Complex[Tensor, "coil x y z"]:
        """Volume to measured k-space, zero where nothing is measured."""
        out = torch.empty_like(self.modulated_maps)
        for c in self._chunks():
            out[c : c + self.coils_per_chunk] = self.mask * fourier.fft(self._maps(c) * volume)
        return out

    def adjoint(self, kspace: Complex[Tensor, "coil x y z"]) -> Complex[Tensor, "x y z"]:
        """Measured k-space to the zero-filled coil combination ``Aᴴ y``."""
        out = torch.zeros_like(kspace[0])
        for c in self._chunks():
            images = fourier.ifft(self.mask * kspace[c : c + self.coils_per_chunk])
            out += (self._maps(c).conj() * images).sum(0)
        return out

    def normal(self, volume: Complex[Tensor, "x y z"]) -> Complex[Tensor, "x y z"]:
        """``Aᴴ A`` applied to a volume, by 2D transforms."""
        slabs = zip(self.modulated_maps.split(self.slab, dim=1), volume.split(self.slab), strict=True)
        return torch.cat([self._normal(maps, part) for maps, part in slabs])

    def _normal(self, maps: Complex[Tensor, "coil slab y z"], volume: Complex[Tensor, "slab y z"]) -> Complex[Tensor, "slab y z"]:
        kspace = torch.fft.fft2(maps * volume).mul_(self.mask)
        return torch.fft.ifft2(kspace).mul_(maps.conj()).sum(0)


@dataclass(frozen=True)
class Problem:
    """One undersampled scan, scaled for reconstruction: what every method is given.

    The k-space is multiplied by `scale` so that the zero-filled volume has unit variance over real and imaginary
    parts, the scale at which priors are trained (paper A, section 4.1). Regularisation weights are quoted in this
    scale; `unscale` undoes it before metrics.
    """

    operator: Sense
    kspace: Complex[Tensor, "coil x y z"]  # measured samples, scaled; zero elsewhere
    rhs: Complex[Tensor, "x y z"]  # Aᴴ y, the zero-filled volume
    noise: float  # standard deviation of the noise in `kspace`, per real component
    scale: float
    voxel: tuple[float, float, float] = (1.0, 1.0, 1.0)  # mm

    @classmethod
    def build(
        cls,
        kspace: Complex[Tensor, "coil x y z"],
        mask: Bool[Tensor, "y z"],
        maps: Complex[Tensor, "coil x y z"],
        noise: float = 0.0,
        voxel: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> "Problem":
        """Masks and scales ``kspace``; ``noise`` is the standard deviation per real component before scaling."""
        if kspace.shape != maps.shape:
            raise ReconError(f"k-space has shape {tuple(kspace.shape)} but the coil maps {tuple(maps.shape)}; they must agree")
        operator = Sense(maps, mask)
        kspace = kspace * mask
        rhs = operator.adjoint(kspace)
        spread = float(torch.view_as_real(rhs).std())
        if not spread > 0:
            raise ReconError("the zero-filled volume is empty; check that the mask covers the measured samples and the maps are not zero")
        return cls(operator, kspace / spread, rhs / spread, noise / spread, 1 / spread, voxel)

    def objective(self, volume: Complex[Tensor, "x y z"]) -> Tensor:
        """Data term ``½‖Ax − y‖²``."""
        return 0.5 * (self.operator.forward(volume) - self.kspace).abs().square().sum()

    def gradient(self, volume: Complex[Tensor, "x y z"]) -> Complex[Tensor, "x y z"]:
        """Gradient ``Aᴴ(Ax − y)`` of the data term, without going back to the samples."""
        return self.operator.normal(volume) - self.rhs

    def unscale(self, volume: Complex[Tensor, "x y z"]) -> Complex[Tensor, "x y z"]:
        """Back to the units of the scan."""
        return volume / self.scale

    def to(self, device: torch.device | str) -> "Problem":
        """The same problem on another device."""
        operator = Sense(self.operator.maps.to(device), self.operator.mask.to(device))
        return Problem(operator, self.kspace.to(device), self.rhs.to(device), self.noise, self.scale, self.voxel)


def inner(a: Complex[Tensor, "..."], b: Complex[Tensor, "..."]) -> Tensor:
    """Real part of ``⟨a, b⟩ = Σ conj(a) b``."""
    return torch.vdot(a.flatten(), b.flatten()).real


def conjugate_gradient(operator: Callable[[Tensor], Tensor], rhs: Tensor, start: Tensor, iterations: int, tolerance: float = 0.0) -> Tensor:
    """Solves ``operator(x) = rhs`` for a Hermitian positive definite operator (Hestenes and Stiefel 1952).

    Stops after ``iterations`` steps or when the residual norm falls below ``tolerance`` times the norm of ``rhs``.
    """
    x = start.clone()
    residual = rhs - operator(x)
    direction = residual.clone()
    rho = inner(residual, residual)
    goal = tolerance**2 * inner(rhs, rhs)
    for _ in range(iterations):
        if rho <= goal or rho == 0:
            break
        applied = operator(direction)
        step = rho / inner(direction, applied)
        x += step * direction
        residual -= step * applied
        rho_new = inner(residual, residual)
        direction = residual + (rho_new / rho) * direction
        rho = rho_new
    return x
