"""The multi-coil forward model ``y = M F S x``."""

from functools import cached_property

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from recon.errors import ReconError
from recon.mri import fourier

# Size of one array over several coils. It keeps a GPU busy and bounds the memory.
CHUNK_BYTES = 64 << 20

# The same inside `normal` on a CPU: such an array fits into the cache of a core.
CACHE_BYTES = 1 << 20


class Sense:
    """SENSE operator ``A = M F S`` of a Cartesian scan with full readout x (paper A, equation 1).

    ``forward`` and ``adjoint`` are the plain 3D definition. Iterations use ``normal``. The readout
    is never undersampled, so ``Aᴴ A`` is a batch of 2D transforms over (y, z). The maps contain the
    centring of the transform, so no iteration shifts an array. Slabs of x are processed one after
    the other, so that all coils of a slab fit into the cache. Raises ReconError for a mask that
    does not match the maps.
    """

    def __init__(
        self,
        maps: Complex[Tensor, "coil x y z"],
        mask: Bool[Tensor, "y z"],
        chunk_bytes: int | None = None,
    ):
        if mask.shape != maps.shape[-2:]:
            raise ReconError(
                f"mask has shape {tuple(mask.shape)} but the maps have {tuple(maps.shape)}; "
                "the mask must match their (y, z)"
            )
        ny, nz = mask.shape
        self.modulation = fourier.modulation(ny, maps.device)[:, None] * fourier.modulation(
            nz, maps.device
        )
        self.modulated_maps = maps * self.modulation
        self.mask = mask
        self.coils_per_chunk = max(
            1, (chunk_bytes or CHUNK_BYTES) // (maps[0].numel() * maps.element_size())
        )
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
        """Voxels that at least one coil sees.

        Elsewhere the data hold no information, and the reference and the volume of every method are
        zero.
        """
        seen = [
            self.modulated_maps[c : c + self.coils_per_chunk].ne(0).any(0) for c in self._chunks()
        ]
        return torch.stack(seen).any(0)

    def _chunks(self) -> range:
        return range(0, self.modulated_maps.shape[0], self.coils_per_chunk)

    def _maps(self, first: int) -> Complex[Tensor, "chunk x y z"]:
        return self.modulated_maps[first : first + self.coils_per_chunk] * self.modulation.conj()

    def forward(self, volume: Complex[Tensor, "x y z"]) -> Complex[Tensor, "coil x y z"]:
        """Measured k-space ``A x`` of a volume; zero where nothing is measured."""
        out = torch.empty_like(self.modulated_maps)
        for c in self._chunks():
            out[c : c + self.coils_per_chunk] = self.mask * fourier.fft(self._maps(c) * volume)
        return out

    def adjoint(self, kspace: Complex[Tensor, "coil x y z"]) -> Complex[Tensor, "x y z"]:
        """Zero-filled coil combination ``Aᴴ y`` of measured k-space."""
        out = torch.zeros_like(kspace[0])
        for c in self._chunks():
            images = fourier.ifft(self.mask * kspace[c : c + self.coils_per_chunk])
            out += (self._maps(c).conj() * images).sum(0)
        return out

    def normal(self, volume: Complex[Tensor, "x y z"]) -> Complex[Tensor, "x y z"]:
        """Applies ``Aᴴ A`` to a volume, by 2D transforms."""
        slabs = zip(
            self.modulated_maps.split(self.slab, dim=1), volume.split(self.slab), strict=True
        )
        return torch.cat([self._normal(maps, part) for maps, part in slabs])

    def _normal(
        self, maps: Complex[Tensor, "coil slab y z"], volume: Complex[Tensor, "slab y z"]
    ) -> Complex[Tensor, "slab y z"]:
        kspace = torch.fft.fft2(maps * volume).mul_(self.mask)
        return torch.fft.ifft2(kspace).mul_(maps.conj()).sum(0)
