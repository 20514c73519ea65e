"""The Fourier slice theorem: projections of a volume, and central planes of its k-space.

The 2D transform of a projection along an axis is the plane of 3D k-space through its centre, across
that axis. With the orthonormal transforms of `recon.mri.fourier`, the projection is
``P_a x = Σ_a x / √n_a``, and ``F₂ P_a x`` is the plane ``k_a = 0`` of ``F₃ x``.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Complex, Float, Shaped
from torch import Tensor

from recon.mri import fourier
from recon.mri.problem import Problem


def projection(volume: Complex[Tensor, "*coil x y z"], axis: int) -> Complex[Tensor, "*coil h w"]:
    """``P_a x``, the sum along an axis (0, 1 or 2), over the root of its length."""
    return volume.sum(axis - 3) / volume.shape[axis - 3] ** 0.5


def spread_back(
    image: Complex[Tensor, "*coil h w"], axis: int, size: int
) -> Complex[Tensor, "*coil x y z"]:
    """``P_aᴴ p``, the adjoint of `projection`: each of ``size`` slices has a share of the image."""
    sizes = [*image.shape]
    sizes.insert(image.ndim + axis - 2, size)
    return (image / size**0.5).unsqueeze(axis - 3).expand(sizes)


def central_plane(kspace: Shaped[Tensor, "*coil x y z"], axis: int) -> Shaped[Tensor, "*coil h w"]:
    """The plane of k-space with frequency zero along an axis."""
    return kspace.select(axis - 3, kspace.shape[axis - 3] // 2)


class SliceTerms:
    """``½ Σ_a ‖M_a (F₂ P_a S x − y_a)‖²`` of a problem, over the axes a (R3DM).

    S gives the coil images, and y_a is the measured central plane, M_a its part of the mask. The
    term weights the central planes of the data term once more. It asks nothing that the data do not
    ask, and slices that were measured one by one stay apart.
    """

    def __init__(self, problem: Problem, axes: Sequence[int] = (0, 1)):
        self.operator, self.kspace, self.axes = problem.operator, problem.kspace, axes
        self.maps = self.operator.modulated_maps * self.operator.modulation.conj()
        self.rhs = self._gathered(lambda maps, kspace: self._measured(kspace))

    def _mask(self, axis: int) -> Tensor:
        """Where the central plane across an axis was measured, in a shape that multiplies it."""
        mask = self.operator.mask
        if axis == 0:
            return mask
        return central_plane(mask[None], axis)

    def _transformed(self, axis: int) -> list[int]:
        """Axes of a projection along ``axis`` that k-space transforms, and that have gaps."""
        inner = [a for a in self.operator.axes if a != axis - 3]
        return [a + (a < axis - 3) for a in inner]

    def planes(self, coils: Complex[Tensor, "coil x y z"]) -> list[Complex[Tensor, "coil h w"]]:
        """``M_a F₂ P_a c`` of coil images c, for every axis."""
        return [
            self._mask(axis) * fourier.fft(projection(coils, axis), self._transformed(axis))
            for axis in self.axes
        ]

    def objective(self, volume: Complex[Tensor, "x y zs"]) -> Float[Tensor, ""]:
        """The value of the term."""
        total = volume.real.new_zeros(())
        for maps, kspace in self._chunks():
            coils = (maps * self.operator.split(volume)[:, None]).sum(0)
            for found, measured in zip(self.planes(coils), self._measured(kspace), strict=True):
                total = total + 0.5 * (found - measured).abs().square().sum()
        return total

    def normal(self, volume: Complex[Tensor, "x y zs"]) -> Complex[Tensor, "x y zs"]:
        """``Σ_a Sᴴ P_aᴴ F₂ᴴ M_a F₂ P_a S x``."""
        images = self.operator.split(volume)
        return self._gathered(lambda maps, kspace: self.planes((maps * images[:, None]).sum(0)))

    def _measured(self, kspace: Complex[Tensor, "coil x y z"]) -> list[Tensor]:
        """The measured central plane across every axis."""
        return [self._mask(axis) * central_plane(kspace, axis) for axis in self.axes]

    def _chunks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Maps (set, coil, x, y, z) and k-space of a few coils at a time."""
        n = self.operator.coils_per_chunk
        return zip(self.maps.split(n, dim=1), self.kspace.split(n), strict=True)

    def _gathered(
        self, planes: Callable[[Tensor, Tensor], list[Tensor]]
    ) -> Complex[Tensor, "x y zs"]:
        """``Σ_a Sᴴ P_aᴴ F₂ᴴ`` of the planes that maps and k-space of a few coils give."""
        out = torch.zeros_like(self.maps[:, 0])
        for maps, kspace in self._chunks():
            coils = torch.zeros_like(maps[0])
            for axis, plane in zip(self.axes, planes(maps, kspace), strict=True):
                image = fourier.ifft(plane, self._transformed(axis))
                coils += spread_back(image, axis, maps.shape[axis - 3])
            out += (maps.conj() * coils).sum(1)
        return self.operator.joined(out)
