"""Sums of 3D Gaussians on rectangular meshes, forward and backward, without visiting empty space.

Each Gaussian is ``a exp(−½ |Lᵀ(x − μ)|² + i k·(x − μ))`` where ``|Lᵀ(x − μ)| < CUT``, and zero
elsewhere. A mesh may be the whole grid, or some slices of any pixel size. Source of the form: Kerbl
et al. 2023 (without projection); paper A, section 4.2. A CPU goes through boxes around Gaussians
(`recon.representations.boxes`), a GPU through tiles of the mesh (`recon.representations.tiles`).
"""

from typing import Any

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from recon.representations.boxes import Boxes
from recon.representations.meshes import Mesh


def splat(
    mesh: Mesh,
    centre: Float[Tensor, "g 3"],
    factor: Float[Tensor, "g 3 3"],
    amplitude: Complex[Tensor, "g"],
    wave: Float[Tensor, "g 3"] | None = None,
    way: Any = None,
) -> Complex[Tensor, "x y z"]:
    """The sum of Gaussians on a mesh; differentiable once in all but the mesh.

    Args:
        mesh: ascending positions along each axis.
        centre: μ, in the units of the mesh.
        factor: L, the inverse covariance is L Lᵀ.
        amplitude: a.
        wave: k, in radians per unit. None is a Gaussian without a plane wave.
        way: `Boxes` or `Tiles`; None takes what suits the device.
    """
    x, y, z = (positions.to(centre) for positions in mesh)
    return _Splat.apply(way or _way(centre), (x, y, z), centre, factor, amplitude, wave)


def _way(centre: Tensor) -> Any:
    if not centre.is_cuda:
        return Boxes
    from recon.representations.tiles import Tiles  # Triton is there where a GPU is

    return Tiles


class _Splat(Function):
    @staticmethod
    def forward(ctx, way, mesh, centre, factor, amplitude, wave):
        ctx.sums = way(mesh, centre, factor, wave)
        ctx.save_for_backward(factor, amplitude, wave)
        return ctx.sums.forward(amplitude)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        factor, amplitude, wave = ctx.saved_tensors
        sums = ctx.sums.backward(amplitude, gradient)
        return None, None, *gradients(sums, factor, wave)


def gradients(
    sums: Float[Tensor, "g 15"], factor: Float[Tensor, "g 3 3"], wave: Float[Tensor, "g 3"] | None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """The gradients in centre, factor, amplitude and wave, from sums over the samples.

    With the upstream gradient G, the Gaussian w of amplitude 1 and its wave e, let P = w G conj(e)
    and Q = conj(a) P. The sums are those of P (2 real numbers), of Re Q times the offsets d (3) and
    their products (xx, xy, xz, yy, yz, zz), of Im Q (1), and of Im Q times d (3).
    """
    first, phase = sums[:, 2:5], sums[:, 11:12]
    second = sums[:, [5, 6, 7, 6, 8, 9, 7, 9, 10]].view(-1, 3, 3)
    # |Lᵀd|² enters as −½; its gradient in d is 2 L Lᵀ d, in L it is 2 d (Lᵀd)ᵀ.
    factors = -second @ factor
    centres = (factor @ (factor.mT @ first[..., None]))[..., 0]
    amplitudes = torch.view_as_complex(sums[:, :2].contiguous())
    if wave is None:
        return centres, factors, amplitudes, None
    return centres - wave * phase, factors, amplitudes, sums[:, 12:15]
