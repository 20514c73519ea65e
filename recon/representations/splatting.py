"""Sums of 3D Gaussians on regular meshes, forward and backward, without visiting empty space.

Each Gaussian is ``a exp(−½ |Lᵀ(x − μ)|² + i k·(x − μ))`` where ``|Lᵀ(x − μ)| < CUT``, and zero
elsewhere. A mesh may be the whole grid, a slab of slices or one slice of any pixel size. Only the
samples in the box around each ellipsoid are visited. Gaussians with boxes of one size are computed
together. Source of the form: Kerbl et al. 2023 (without projection); paper A, section 4.2.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from recon.representations.meshes import Mesh

CUT = 3.0  # standard deviations
PAIRS = 2**20  # of Gaussian and sample that are held in memory at once
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


def splat(
    mesh: Mesh,
    centre: Float[Tensor, "g 3"],
    factor: Float[Tensor, "g 3 3"],
    amplitude: Complex[Tensor, "g"],
    wave: Float[Tensor, "g 3"] | None = None,
) -> Complex[Tensor, "x y z"]:
    """The sum of Gaussians on a mesh; differentiable once in all but the mesh.

    Args:
        mesh: the positions along each axis.
        centre: μ, in the units of the mesh.
        factor: L, the inverse covariance is L Lᵀ.
        amplitude: a.
        wave: k, in radians per unit. None is a Gaussian without a plane wave.
    """
    return _Splat.apply(mesh, centre, factor, amplitude, wave)


class _Splat(Function):
    @staticmethod
    def forward(ctx, mesh, centre, factor, amplitude, wave):
        ctx.mesh = mesh
        ctx.save_for_backward(centre, factor, amplitude, wave)
        flat = amplitude.new_zeros(mesh[0].count * mesh[1].count * mesh[2].count)
        for which, places, offsets in batches(mesh, centre, factor):
            weight, turn = _kernel(offsets, factor[which], None if wave is None else wave[which])
            value = weight * amplitude[which, None]
            flat.index_add_(
                0, places.flatten(), (value if turn is None else value * turn).flatten()
            )
        return flat.view([axis.count for axis in mesh])

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        centre, factor, amplitude, wave = ctx.saved_tensors
        flat = gradient.reshape(-1)
        centres, factors = torch.zeros_like(centre), torch.zeros_like(factor)
        amplitudes = torch.zeros_like(amplitude)
        waves = None if wave is None else torch.zeros_like(wave)
        for which, places, offsets in batches(ctx.mesh, centre, factor):
            k = None if wave is None else wave[which]
            weight, turn = _kernel(offsets, factor[which], k)
            pulled = flat[places] * weight  # conjugate of the turn below
            pulled = pulled if turn is None else pulled * turn.conj()
            amplitudes[which] = pulled.sum(1)
            product = amplitude[which, None].conj() * pulled
            # |Lᵀd|² enters as −½; its gradient in d is 2 L Lᵀ d, in L it is 2 d (Lᵀd)ᵀ.
            shape = product.real
            first = torch.einsum("gp,gpa->ga", shape, offsets)
            second = torch.einsum("gp,gpa,gpb->gab", shape, offsets, offsets)
            inner = factor[which]
            factors[which] = -second @ inner
            centres[which] = (inner @ (inner.mT @ first[..., None]))[..., 0]
            if k is not None:
                phase = product.imag
                waves[which] = torch.einsum("gp,gpa->ga", phase, offsets)
                centres[which] -= k * phase.sum(1, keepdim=True)
        return None, centres, factors, amplitudes, waves


def _kernel(
    offsets: Float[Tensor, "g p 3"],
    factor: Float[Tensor, "g 3 3"],
    wave: Float[Tensor, "g 3"] | None,
) -> tuple[Float[Tensor, "g p"], Complex[Tensor, "g p"] | None]:
    """The Gaussian at ``offsets`` from its centre, zero beyond the cut, and its plane wave."""
    square = (offsets @ factor).square().sum(-1)
    weight = torch.where(square < CUT**2, torch.exp(-0.5 * square), 0.0)
    if wave is None:
        return weight, None
    angle = (offsets @ wave[..., None])[..., 0]
    return weight, torch.polar(torch.ones_like(angle), angle)


def deviations(factor: Float[Tensor, "g 3 3"]) -> Float[Tensor, "g 3"]:
    """The standard deviation along each axis, the root of the diagonal of (L Lᵀ)⁻¹.

    The rows of L⁻¹ are cross products of the columns of L, which is faster than to invert it.
    """
    a, b, c = factor.unbind(2)
    crossed = [torch.linalg.cross(*pair) for pair in ((b, c), (c, a), (a, b))]
    volume = (a * crossed[0]).sum(1, keepdim=True)
    return torch.stack(crossed, 1).norm(dim=1) / volume.abs()


def batches(
    mesh: Mesh, centre: Float[Tensor, "g 3"], factor: Float[Tensor, "g 3 3"]
) -> Iterator[tuple[Int[Tensor, "b"], Int[Tensor, "b p"], Float[Tensor, "b p 3"]]]:
    """Gaussians whose boxes on the mesh have one size: which they are, the flat indices of the
    samples in their boxes, and the offsets of these from the centres.
    """
    counts = torch.tensor([axis.count for axis in mesh], device=centre.device)
    first = centre.new_tensor([axis.first for axis in mesh])
    step = centre.new_tensor([axis.step for axis in mesh])
    reach = CUT * deviations(factor)
    low = ((centre - reach - first) / step).ceil().long().clamp(min=0)
    high = torch.minimum(((centre + reach - first) / step).floor().long(), counts - 1)
    near = (low <= high).all(1).nonzero()[:, 0]
    low, size = low[near], (high - low)[near] + 1
    sizes = torch.tensor([*SIZES, 2**31], device=centre.device)
    size = torch.minimum(sizes[torch.bucketize(size, sizes)], counts)
    low = torch.minimum(low, counts - size)  # a box that was rounded up stays on the mesh
    boxes, member = size.unique(dim=0, return_inverse=True)
    positions = [axis.positions(centre) for axis in mesh]
    for number, box in enumerate(boxes.tolist()):
        of = (member == number).nonzero()[:, 0]
        for part in of.split(max(1, PAIRS // (box[0] * box[1] * box[2]))):
            steps = [torch.arange(n, device=centre.device) for n in box]
            index = [low[part, a, None] + steps[a] for a in range(3)]
            which = near[part]
            apart = [positions[a][index[a]] - centre[which, a, None] for a in range(3)]
            x, y, z = (
                index[0][:, :, None, None],
                index[1][:, None, :, None],
                index[2][:, None, None],
            )
            places = (x * mesh[1].count + y) * mesh[2].count + z
            offsets = torch.stack(
                torch.broadcast_tensors(
                    apart[0][:, :, None, None], apart[1][:, None, :, None], apart[2][:, None, None]
                ),
                -1,
            )
            yield which, places.flatten(1), offsets.flatten(1, 3)
