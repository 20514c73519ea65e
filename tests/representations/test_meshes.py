"""Positions on meshes: one convention for every pixel size."""

import torch

from recon.mri.resample import trilinear
from recon.representations.meshes import Mesh, cells, grid, on_slices
from recon.representations.nearest import Nearest
from recon.representations.voxels import Voxels

SHAPE = (6, 8, 10)


def ramp(mesh: Mesh):
    """A field that is linear in the position: 1 along x, 10 along y, 100 along z."""
    x, y, z = mesh
    return (x[:, None, None] + 10 * y[:, None] + 100 * z).to(torch.complex64)


def test_cells_tile_the_field_of_view():
    assert cells(8, 8).tolist() == [i + 0.5 for i in range(8)]
    assert cells(8, 4).tolist() == [1.0, 3.0, 5.0, 7.0]
    assert cells(8, 16)[:2].tolist() == [0.25, 0.75]


def test_a_ramp_is_where_interpolation_puts_it():
    """A mesh of other pixels agrees with linear interpolation of the voxels, inside."""
    index = torch.tensor([1, 2, 4])
    found = on_slices(ramp, SHAPE, 0, index, (16, 5))[:, 0]
    voxels = ramp(grid(SHAPE)).real[index]
    expected = trilinear(voxels, (3, 16, 5))
    assert torch.allclose(found[:, 2:-2, 1:-1], expected[:, 2:-2, 1:-1], rtol=1e-5)


def test_slices_across_every_axis_have_their_places():
    for axis in range(3):
        index = torch.tensor([4, 0, 3])
        found = on_slices(ramp, SHAPE, axis, index, None)[:, 0]
        assert torch.equal(found, ramp(grid(SHAPE)).real.index_select(axis, index).movedim(axis, 0))


def test_a_plane_wave_keeps_its_phase():
    """The same wave on any mesh: pixels are samples of one field."""

    def wave(mesh: Mesh):
        y = mesh[1]
        line = torch.polar(torch.ones_like(y), 2 * torch.pi * y / 8)
        return line[None, :, None].expand(len(mesh[0]), -1, len(mesh[2]))

    coarse = on_slices(wave, SHAPE, 0, torch.tensor([2]), None)
    fine = on_slices(wave, SHAPE, 0, torch.tensor([2]), (24, 10))
    assert torch.allclose(fine[..., 1::3, :], coarse, atol=1e-5)


def test_grids_keep_the_phase_of_a_plane_wave():
    """Linear interpolation loses some amplitude and no phase; the nearest voxel shifts nothing."""

    def wave(count: int):
        angle = 2 * torch.pi * cells(32, count).float() / 16
        return torch.polar(torch.ones(count), angle)

    volume = wave(32)[None, :, None].expand(4, -1, 6)
    for kind, amplitude, phase in ((Voxels, 0.02, 0.005), (Nearest, 1e-5, 0.14)):
        real, imaginary = kind(volume).slices(0, torch.tensor([1]), (96, 6))[0]
        turned = (torch.complex(real, imaginary) * wave(96).conj()[:, None])[2:-2].detach()
        assert float((turned.abs() - 1).abs().max()) < amplitude
        assert float(turned.angle().abs().max()) < phase
        assert float(turned.angle().mean().abs()) < 1e-3
