"""The error by spatial frequency."""

import math

import pytest
import torch

from recon.study.shells import energies


@pytest.mark.parametrize("waves, shell", [(0, 0), (2, 2), (5, 6), (7, 8)])
def test_a_wave_lies_in_the_shell_of_its_frequency(waves, shell):
    """16 voxels hold 8 waves at most; there are 10 shells."""
    line = torch.cos(2 * math.pi * waves * torch.arange(16) / 16)
    found = energies(line[None, :, None].expand(16, -1, 16).clone(), 10)
    assert int(found.argmax()) == shell
    assert float(found[shell] / found.sum()) == pytest.approx(1, abs=1e-6)


def test_energy_inside_the_ball_is_kept(generator):
    volume = torch.randn(12, 12, 12, generator=generator)
    few, many = energies(volume, 3), energies(volume, 12)
    assert float(few.sum()) == pytest.approx(float(many.sum()))
    assert float(few.sum()) < float(volume.square().sum())
