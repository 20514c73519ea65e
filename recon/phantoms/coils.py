"""What the scanner adds: receive sensitivities, a smooth object phase and thermal noise."""

import math
import zlib

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from recon.errors import ReconError


def stream(seed: int, purpose: str) -> int:
    """The seed for one kind of random numbers of an individual.

    So the phase, the coils and the noise of one subject are independent.
    """
    return zlib.crc32(f"{purpose} {seed}".encode())


def voxel_centres(size: int, fov: float) -> Float[Tensor, "size"]:
    """Positions (mm) of the voxel centres along one axis, with the field of view around zero."""
    return ((torch.arange(size, dtype=torch.float64) + 0.5) / size - 0.5).mul(fov).float()


def coil_maps(
    coils: int,
    shape: tuple[int, int, int],
    fov: tuple[float, float, float],
    seed: int = 0,
    place: int | None = None,
) -> Complex[Tensor, "coil x y _z"]:
    """Receive sensitivities of overlapping loops on an elliptic cylinder around z.

    They are B1- = Bx - i By of unit currents, with the main field along z, by the law of
    Biot–Savart over wire segments (Roemer et al., MRM 16, 1990). Their root sum of squares has
    mean 1. Seven coils and more form several rings along z. The fields are smooth, so they are
    computed on a grid of 27 points along each axis and interpolated by cubics. ``seed`` moves and
    tilts the loops a little and gives every receiver its phase. ``fov`` is in mm. With ``place``
    they are those of one slice across z. Raises ReconError for fewer than one coil.
    """
    if coils < 1:
        raise ReconError(f"coil_maps: {coils} coils are not possible; give at least 1")
    generator = torch.Generator().manual_seed(seed)
    nodes = [torch.linspace(-0.5 * f - f / 20, 0.5 * f + f / 20, 27) for f in fov]
    field = torch.stack(
        [_loop_field(*_loop(c, coils, fov, generator), nodes) for c in range(coils)]
    )
    weights = [
        _cubic_weights(voxel_centres(n, f), line).to(field.dtype)
        for n, f, line in zip(shape, fov, nodes, strict=True)
    ]
    weights[2] = weights[2] if place is None else weights[2][place : place + 1]
    maps = torch.einsum("xi,cijk->cxjk", weights[0], field)
    maps = torch.einsum(
        "zk,cxyk->cxyz", weights[2], torch.einsum("yj,cxjk->cxyk", weights[1], maps)
    )
    turns = torch.rand(coils, generator=generator) * 2 * math.pi
    maps = maps * torch.polar(torch.ones(coils), turns)[:, None, None, None]
    return (maps / maps.abs().square().sum(0).sqrt().mean()).contiguous()


def _loop(
    index: int, coils: int, fov: tuple[float, float, float], generator: torch.Generator
) -> tuple[Float[Tensor, "segment 3"], Float[Tensor, "segment 3"]]:
    """Wire segments of one loop: their midpoints and their direction vectors, in mm."""
    rings = max(1, round(math.sqrt(coils / 3)))
    first = [round(coils * r / rings) for r in range(rings + 1)]
    ring = max(r for r in range(rings) if first[r] <= index)
    members = first[ring + 1] - first[ring]
    jitter = (torch.rand(4, generator=generator) - 0.5).tolist()
    angle = 2 * math.pi * (index - first[ring] + 0.5 * (ring % 2) + 0.2 * jitter[0]) / members
    height = fov[2] * ((ring + 0.5) / rings - 0.5 + 0.06 * jitter[1]) * 0.9
    width = 1.2 * math.pi * 0.35 * (fov[0] + fov[1]) / max(members, 4) * (1 + 0.1 * jitter[2])
    length = 0.55 * fov[2] / rings * (1 + 0.1 * jitter[2])
    centre = torch.tensor([0.7 * fov[0] * math.cos(angle), 0.7 * fov[1] * math.sin(angle), height])
    tangent = torch.tensor([-math.sin(angle), math.cos(angle), 0.0])
    up = torch.tensor([0.2 * jitter[3] * math.cos(angle), 0.2 * jitter[3] * math.sin(angle), 1.0])
    around = torch.arange(33) * (2 * math.pi / 32)
    wire = centre + width * around.cos()[:, None] * tangent + length * around.sin()[:, None] * up
    return (wire[1:] + wire[:-1]) / 2, wire[1:] - wire[:-1]


def _loop_field(
    middle: Float[Tensor, "segment 3"],
    step: Float[Tensor, "segment 3"],
    nodes: list[Float[Tensor, "_node"]],
) -> Complex[Tensor, "i j k"]:
    """Bx - i By at the nodes: the sum of dl × r / |r|³ over the wire segments.

    The wire is 8 mm thick, so that no node is at a singularity.
    """
    grid = torch.stack(torch.meshgrid(*nodes, indexing="ij"), dim=-1)
    b = torch.zeros(grid.shape[:3], dtype=torch.complex64)
    for m, d in zip(middle, step, strict=True):
        r = grid - m
        weight = (r.square().sum(-1) + 8.0**2) ** -1.5
        b += torch.complex(
            (d[1] * r[..., 2] - d[2] * r[..., 1]) * weight,
            -(d[2] * r[..., 0] - d[0] * r[..., 2]) * weight,
        )
    return b


def _cubic_weights(at: Float[Tensor, "n"], nodes: Float[Tensor, "node"]) -> Float[Tensor, "n node"]:
    """Matrix of cubic convolution interpolation from equispaced nodes (Keys 1981, a = -1/2)."""
    s = ((at[:, None] - nodes[0]) / (nodes[1] - nodes[0]) - torch.arange(len(nodes))).abs()
    near = 1.5 * s**3 - 2.5 * s**2 + 1
    far = -0.5 * s**3 + 2.5 * s**2 - 4 * s + 2
    return torch.where(s <= 1, near, torch.where(s < 2, far, torch.zeros_like(s)))


def smooth_phase(
    shape: tuple[int, int, int], fov: tuple[float, float, float], seed: int, radians: float = 2.0
) -> Float[Tensor, "x y z"]:
    """A phase like that of shim errors and eddy currents: a random cubic polynomial of position.

    Its coefficients have the norm ``radians``. ``fov`` (mm) sets the relative strength along the
    axes: the phase varies more along a longer axis.
    """
    generator = torch.Generator().manual_seed(seed)
    u = [voxel_centres(n, f) * 2 / max(fov) for n, f in zip(shape, fov, strict=True)]
    legendre = [
        torch.stack([torch.ones_like(t), t, 1.5 * t**2 - 0.5, 2.5 * t**3 - 1.5 * t]) for t in u
    ]
    order = sum(torch.meshgrid(*[torch.arange(4)] * 3, indexing="ij"))
    damping = torch.where(order <= 3, 1.0 / (1 + order) ** 1.5, torch.zeros(()))
    coefficients = torch.randn(4, 4, 4, generator=generator) * damping
    norm = (coefficients**2 * (damping > 0)).sum().sqrt()
    phase = torch.einsum("abc,ax,by,cz->xyz", coefficients / norm, *legendre)
    return radians * phase


def complex_noise(
    shape: tuple[int, ...], std: float, generator: torch.Generator
) -> Complex[Tensor, "..."]:
    """White Gaussian noise of standard deviation ``std`` in the real and the imaginary part."""
    device = generator.device
    return std * torch.complex(
        torch.randn(shape, generator=generator, device=device),
        torch.randn(shape, generator=generator, device=device),
    )
