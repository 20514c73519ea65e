"""Sums of 3D Gaussians on a GPU: Triton kernels that work tile by tile.

A tile is a small box of samples. One program holds its samples in registers and goes through the
Gaussians that reach it, so that nothing is written twice. In the backward pass each program adds up
what its samples say of a Gaussian, and adds that to memory once. What is computed is that of
`recon.representations.splatting`. Source of the tiles: Kerbl et al. 2023.
"""

import math
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Complex, Float, Int
from torch import Tensor

from recon.representations.boxes import CUT, reached
from recon.representations.meshes import Mesh

TX, TY, TZ = 4, 8, 8  # samples of a tile along each axis


def tiled(
    shape: tuple[int, int, int], low: Int[Tensor, "b 3"], high: Int[Tensor, "b 3"]
) -> tuple[Int[Tensor, "tiles_and_1"], Int[Tensor, "pairs"]]:
    """For each tile of a mesh, which of some boxes reach it.

    Boxes hold the samples from ``low`` up to but not including ``high``. The second result lists
    the boxes tile after tile; the first says where each tile begins in it.
    """
    device = low.device
    tile = torch.tensor([TX, TY, TZ], device=device)
    tiles = torch.tensor([-(-n // t) for n, t in zip(shape, (TX, TY, TZ), strict=True)])
    first, last = low // tile, (high - 1) // tile
    extent = last - first + 1
    count = extent.prod(1)
    member = torch.repeat_interleave(torch.arange(len(low), device=device), count)
    local = torch.arange(len(member), device=device) - (count.cumsum(0) - count)[member]
    ny, nz = extent[member, 1], extent[member, 2]
    place = torch.stack([local // (ny * nz), local // nz % ny, local % nz], 1) + first[member]
    number = (place[:, 0] * int(tiles[1]) + place[:, 1]) * int(tiles[2]) + place[:, 2]
    number, order = number.sort(stable=True)
    every = torch.bincount(number, minlength=int(tiles.prod()))
    return torch.cat([every.new_zeros(1), every.cumsum(0)]), member[order]


@triton.jit
@no_type_check  # Triton reads the source of what it compiles
def _samples(x, y, z, nx, ny, nz, TX: tl.constexpr, TY: tl.constexpr, TZ: tl.constexpr):
    """Positions of the samples of this program's tile, their flat indices, and which exist."""
    tile = tl.program_id(0)
    tiles_y, tiles_z = tl.cdiv(ny, TY), tl.cdiv(nz, TZ)
    lane = tl.arange(0, TX * TY * TZ)
    i = tile // (tiles_y * tiles_z) * TX + lane // (TY * TZ)
    j = tile // tiles_z % tiles_y * TY + lane // TZ % TY
    k = tile % tiles_z * TZ + lane % TZ
    there = (i < nx) & (j < ny) & (k < nz)
    px = tl.load(x + i, mask=there, other=0.0)
    py = tl.load(y + j, mask=there, other=0.0)
    pz = tl.load(z + k, mask=there, other=0.0)
    return px, py, pz, (i * ny + j) * nz + k, there


@triton.jit
@no_type_check  # Triton reads the source of what it compiles
def _reached(px, py, pz, centre, inverse, g, CUT: tl.constexpr):
    """The offsets d of the samples from a centre, and exp(−½ |Lᵀd|²), which is zero beyond the cut.

    ``inverse`` holds xx, xy, xz, yy, yz, zz of L Lᵀ.
    """
    dx = px - tl.load(centre + 3 * g)
    dy = py - tl.load(centre + 3 * g + 1)
    dz = pz - tl.load(centre + 3 * g + 2)
    p = inverse + 6 * g
    square = dx * (tl.load(p) * dx + 2 * tl.load(p + 1) * dy + 2 * tl.load(p + 2) * dz)
    square += dy * (tl.load(p + 3) * dy + 2 * tl.load(p + 4) * dz) + tl.load(p + 5) * dz * dz
    return dx, dy, dz, tl.where(square < CUT * CUT, tl.exp(-0.5 * square), 0.0)


@triton.jit
@no_type_check  # Triton reads the source of what it compiles
def _forward(
    x, y, z, nx, ny, nz, starts, members, centre, inverse, re, im, wave, out_re, out_im,
    CUT: tl.constexpr, WAVES: tl.constexpr, TX: tl.constexpr, TY: tl.constexpr, TZ: tl.constexpr,
):  # fmt: skip
    px, py, pz, flat, there = _samples(x, y, z, nx, ny, nz, TX, TY, TZ)
    sum_re, sum_im = tl.zeros_like(px), tl.zeros_like(px)
    tile = tl.program_id(0)
    for n in range(tl.load(starts + tile), tl.load(starts + tile + 1)):
        g = tl.load(members + n)
        dx, dy, dz, weight = _reached(px, py, pz, centre, inverse, g, CUT)
        a, b = tl.load(re + g), tl.load(im + g)
        if WAVES:
            k = wave + 3 * g
            angle = tl.load(k) * dx + tl.load(k + 1) * dy + tl.load(k + 2) * dz
            cos, sin = tl.cos(angle), tl.sin(angle)
            sum_re += weight * (a * cos - b * sin)
            sum_im += weight * (a * sin + b * cos)
        else:
            sum_re += weight * a
            sum_im += weight * b
    tl.store(out_re + flat, sum_re, mask=there)
    tl.store(out_im + flat, sum_im, mask=there)


@triton.jit
@no_type_check  # Triton reads the source of what it compiles
def _backward(
    x, y, z, nx, ny, nz, starts, members, centre, inverse, re, im, wave, grad_re, grad_im, sums,
    CUT: tl.constexpr, WAVES: tl.constexpr, TX: tl.constexpr, TY: tl.constexpr, TZ: tl.constexpr,
):  # fmt: skip
    px, py, pz, flat, there = _samples(x, y, z, nx, ny, nz, TX, TY, TZ)
    up_re = tl.load(grad_re + flat, mask=there, other=0.0)
    up_im = tl.load(grad_im + flat, mask=there, other=0.0)
    tile = tl.program_id(0)
    for n in range(tl.load(starts + tile), tl.load(starts + tile + 1)):
        g = tl.load(members + n)
        dx, dy, dz, weight = _reached(px, py, pz, centre, inverse, g, CUT)
        pull_re, pull_im = weight * up_re, weight * up_im
        if WAVES:
            k = wave + 3 * g
            angle = tl.load(k) * dx + tl.load(k + 1) * dy + tl.load(k + 2) * dz
            cos, sin = tl.cos(angle), tl.sin(angle)
            turned = pull_re * cos + pull_im * sin
            pull_im = pull_im * cos - pull_re * sin
            pull_re = turned
        a, b = tl.load(re + g), tl.load(im + g)
        shape = a * pull_re + b * pull_im
        out = sums + 16 * g
        tl.atomic_add(out, tl.sum(pull_re))
        tl.atomic_add(out + 1, tl.sum(pull_im))
        tl.atomic_add(out + 2, tl.sum(shape * dx))
        tl.atomic_add(out + 3, tl.sum(shape * dy))
        tl.atomic_add(out + 4, tl.sum(shape * dz))
        tl.atomic_add(out + 5, tl.sum(shape * dx * dx))
        tl.atomic_add(out + 6, tl.sum(shape * dx * dy))
        tl.atomic_add(out + 7, tl.sum(shape * dx * dz))
        tl.atomic_add(out + 8, tl.sum(shape * dy * dy))
        tl.atomic_add(out + 9, tl.sum(shape * dy * dz))
        tl.atomic_add(out + 10, tl.sum(shape * dz * dz))
        if WAVES:
            phase = a * pull_im - b * pull_re
            tl.atomic_add(out + 11, tl.sum(phase))
            tl.atomic_add(out + 12, tl.sum(phase * dx))
            tl.atomic_add(out + 13, tl.sum(phase * dy))
            tl.atomic_add(out + 14, tl.sum(phase * dz))


class Tiles:
    """Gaussians on a mesh, sorted into tiles, for both passes."""

    def __init__(
        self,
        mesh: Mesh,
        centre: Float[Tensor, "g 3"],
        factor: Float[Tensor, "g 3 3"],
        wave: Float[Tensor, "g 3"] | None,
    ):
        self.shape = tuple(len(positions) for positions in mesh)
        near, low, high = reached(mesh, centre, factor)
        starts, members = tiled(self.shape, low, high)
        p = factor @ factor.mT
        six = [p[:, a, b] for a, b in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))]
        self.count, self.centre = len(starts) - 1, centre.contiguous()
        self.lists = *mesh, *self.shape, starts, near[members], self.centre, torch.stack(six, 1)
        self.wave = self.centre if wave is None else wave.contiguous()  # not read without waves
        self.options = {"CUT": CUT, "WAVES": wave is not None, "TX": TX, "TY": TY, "TZ": TZ}

    def forward(self, amplitude: Complex[Tensor, "g"]) -> Complex[Tensor, "x y z"]:
        """The sum of all Gaussians."""
        re, im = amplitude.real.contiguous(), amplitude.imag.contiguous()
        sums = self.centre.new_zeros(2, math.prod(self.shape))
        _forward[(self.count,)](*self.lists, re, im, self.wave, *sums, **self.options)
        return torch.complex(*sums).view(self.shape)

    def backward(
        self, amplitude: Complex[Tensor, "g"], gradient: Complex[Tensor, "x y z"]
    ) -> Float[Tensor, "g 15"]:
        """Sums over the samples of each Gaussian, as `splatting.gradients` takes them."""
        re, im = amplitude.real.contiguous(), amplitude.imag.contiguous()
        up_re, up_im = gradient.real.contiguous(), gradient.imag.contiguous()
        sums = self.centre.new_zeros(len(self.centre), 16)
        _backward[(self.count,)](*self.lists, re, im, self.wave, up_re, up_im, sums, **self.options)
        return sums[:, :15]
