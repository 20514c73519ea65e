"""The multi-coil forward model ``y = M F S x``."""

from copy import copy
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
    the other, so that all coils of a slab fit into the cache.

    In a ``stack``, slices were measured one by one: z is an axis of the image on both sides, F
    transforms (x, y) only, and each slice has its own column of the mask.

    Several sets of maps, an axis before the coils, describe an object that is larger than the field
    of view: what folds onto a voxel needs maps of its own (Uecker et al. 2014, "soft SENSE"). The
    volume then holds the image of each set, one behind the other along z (``zs``). So slices across
    z are images still. Raises ReconError for a mask that does not match the maps.
    """

    def __init__(
        self,
        maps: Complex[Tensor, "coil x y z"] | Complex[Tensor, "set coil x y z"],
        mask: Bool[Tensor, "y z"],
        chunk_bytes: int | None = None,
        stack: bool = False,
    ):
        _check(mask, maps)
        ny, nz = mask.shape
        self.modulation = fourier.modulation(ny, maps.device)[:, None].repeat(1, nz)
        if not stack:
            self.modulation = self.modulation * fourier.modulation(nz, maps.device)
        self.sets = 1 if maps.ndim == 4 else len(maps)
        self.modulated_maps = maps.view(self.sets, *maps.shape[-4:]) * self.modulation
        self.mask = mask
        self.stack = stack
        self.axes = fourier.VOLUME[:2] if stack else fourier.VOLUME
        one = maps[..., 0, :, :, :].numel() * maps.element_size()
        self.coils_per_chunk = max(1, (chunk_bytes or CHUNK_BYTES) // one)
        slab_bytes = chunk_bytes or (CACHE_BYTES if maps.device.type == "cpu" else CHUNK_BYTES)
        self.slab = max(1, slab_bytes // (maps[..., 0, :, :].numel() * maps.element_size()))

    def masked(self, mask: Bool[Tensor, "y z"]) -> "Sense":
        """The operator of the same coils for another mask; it holds the same maps in memory."""
        _check(mask, self.modulated_maps)
        other = copy(self)
        other.mask = mask
        return other

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (x, y, z) of the volume, in which the sets follow one another along z."""
        nx, ny, nz = self.modulated_maps.shape[2:]
        return nx, ny, self.sets * nz

    @property
    def maps(self) -> Complex[Tensor, "coil x y z"] | Complex[Tensor, "set coil x y z"]:
        """The coil sensitivities, as they were given."""
        maps = self.modulated_maps * self.modulation.conj()
        return maps[0] if self.sets == 1 else maps

    @property
    def bound(self) -> float:
        """At least the largest eigenvalue of ``AᴴA``: the largest energy of all maps in a voxel."""
        return float(self.modulated_maps.abs().square().sum((0, 1)).max())

    @cached_property
    def support(self) -> Bool[Tensor, "x y z"]:
        """Voxels that at least one coil sees.

        Elsewhere the data hold no information, and the reference and the volume of every method are
        zero.
        """
        chunks = self.modulated_maps.split(self.coils_per_chunk, dim=1)
        return self.joined(torch.stack([maps.ne(0).any(1) for maps in chunks]).any(0))

    def split(self, volume: Tensor) -> Tensor:
        """The image of every set, (set, x, y, z)."""
        return volume.unflatten(-1, (self.sets, -1)).movedim(-2, 0)

    def joined(self, images: Tensor) -> Tensor:
        """The images of the sets as one volume; inverse of `split`."""
        return images.movedim(0, -2).flatten(-2)

    def forward(self, volume: Complex[Tensor, "x y zs"]) -> Complex[Tensor, "coil x y z"]:
        """Measured k-space ``A x`` of a volume; zero where nothing is measured."""
        images, out = self.split(volume), []
        for maps in self.modulated_maps.split(self.coils_per_chunk, dim=1):
            coils = (maps * self.modulation.conj() * images[:, None]).sum(0)
            out.append(self.mask * fourier.fft(coils, self.axes))
        return torch.cat(out)

    def adjoint(self, kspace: Complex[Tensor, "coil x y z"]) -> Complex[Tensor, "x y zs"]:
        """Zero-filled coil combination ``Aᴴ y`` of measured k-space."""
        out = torch.zeros_like(self.modulated_maps[:, 0])
        chunks = self.modulated_maps.split(self.coils_per_chunk, dim=1)
        for maps, part in zip(chunks, kspace.split(self.coils_per_chunk), strict=True):
            images = fourier.ifft(self.mask * part, self.axes)
            out += ((maps * self.modulation.conj()).conj() * images).sum(1)
        return self.joined(out)

    def normal(self, volume: Complex[Tensor, "x y z"]) -> Complex[Tensor, "x y z"]:
        """Applies ``Aᴴ A`` to a volume, by 2D transforms."""
        slabs = zip(
            self.modulated_maps.split(self.slab, dim=2), volume.split(self.slab), strict=True
        )
        return torch.cat([self._normal(maps, part) for maps, part in slabs])

    def _normal(
        self, maps: Complex[Tensor, "set coil slab y z"], volume: Complex[Tensor, "slab y zs"]
    ) -> Complex[Tensor, "slab y zs"]:
        axes = self.axes[1:]
        if self.sets == 1:
            kspace = torch.fft.fftn(maps[0] * volume, dim=axes).mul_(self.mask)
            return torch.fft.ifftn(kspace, dim=axes).mul_(maps[0].conj()).sum(0)
        coils = (maps * self.split(volume)[:, None]).sum(0)
        kspace = torch.fft.fftn(coils, dim=axes).mul_(self.mask)
        return self.joined((torch.fft.ifftn(kspace, dim=axes) * maps.conj()).sum(1))


def _check(mask: Tensor, maps: Tensor) -> None:
    """Refuses a mask that does not match the (y, z) of the maps."""
    if mask.shape != maps.shape[-2:]:
        raise ReconError(
            f"mask has shape {tuple(mask.shape)} but the maps have {tuple(maps.shape)}; "
            "the mask must match their (y, z)"
        )
