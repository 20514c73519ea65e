"""The error along a stack of slices."""

import math

import pytest
import torch

from recon.study.continuity import BANDS, bands, differences


def volume(generator: torch.Generator) -> torch.Tensor:
    """A smooth positive volume with some grain."""
    axes = torch.meshgrid(*(torch.linspace(0, 3, 16) for _ in range(3)), indexing="ij")
    return 2 + sum(a.sin() for a in axes) + 0.1 * torch.randn(16, 16, 16, generator=generator)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flicker_is_seen_along_its_axis_alone(axis, generator):
    """Slices that jump up and down differ along the axis across them."""
    target, inside = volume(generator), torch.ones(16, 16, 16, dtype=torch.bool)
    jumps = 0.3 * (-1.0) ** torch.arange(16)
    found = target + jumps.view([-1 if a == axis else 1 for a in range(3)])
    errors = differences(found, target, inside)
    name = "xyz"[axis]
    assert errors[name] > 1 and all(errors[n] < 1e-4 for n in "xyz" if n != name)
    spectrum = bands(found - target, axis)
    assert float(spectrum[-1] / spectrum.sum()) == pytest.approx(1, abs=1e-5)


def test_only_the_object_counts(generator):
    target = volume(generator)
    inside = torch.zeros(16, 16, 16, dtype=torch.bool)
    inside[4:12, 4:12, 4:12] = True
    found = target + (~inside) * torch.randn(16, 16, 16, generator=generator)
    assert max(differences(found, target, inside).values()) < 1e-5


@pytest.mark.parametrize("waves", [0, 3, 5, 8])
def test_a_wave_lies_in_its_band(waves):
    line = torch.cos(2 * math.pi * waves * torch.arange(16) / 16)
    spectrum = bands(line[None, None].expand(4, 4, -1).clone(), 2)
    assert int(spectrum.argmax()) == waves * BANDS // 9
    assert float(spectrum.max() / spectrum.sum()) == pytest.approx(1, abs=1e-6)
