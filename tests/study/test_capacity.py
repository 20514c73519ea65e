"""How well representations fit a known volume."""

import torch

from recon import representations
from recon.methods.common import ignore
from recon.representations.fitting import Descent, fit
from recon.study import capacity
from recon.study.capacity import fully_sampled, grid, numbers


def blobs() -> torch.Tensor:
    x, y, z = torch.meshgrid(*[torch.linspace(-1, 1, n) for n in (12, 14, 16)], indexing="ij")
    volume = torch.exp(-8 * (x**2 + (y - 0.3) ** 2 + z**2))
    return (volume * torch.exp(1j * (x + y))).to(torch.complex64)


def left(**given) -> tuple[float, int]:
    """The relative error of a fit, and the number of parameters."""
    problem = fully_sampled(blobs())
    model = representations.make(representations.chosen(given), problem.rhs)
    found = fit(model, problem, lambda *_: None, Descent(60, 0.1, "linear"), ignore)
    return float((found - problem.rhs).norm() / problem.rhs.norm()), numbers(model)


def test_voxels_hold_everything_and_more_gaussians_hold_more():
    exact, count = left(kind="voxels")
    assert exact < 1e-2 and count == 2 * 12 * 14 * 16
    few, many = left(kind="gaussians", per_voxel=0.02), left(kind="gaussians", per_voxel=0.1)
    assert many[0] < few[0] < 0.5 and few[1] < many[1]


def test_settings_are_combined():
    found = grid("implicit", width=[32, 64], layers=[2, 3])
    assert len(found) == 4 and found[1] == {"kind": "implicit", "width": 32, "layers": 3}


def test_the_hybrid_network_is_evaluated_at_fewer_points_and_takes_less_memory():
    """Without chunks, the gradient of the network of all coordinates holds every voxel."""
    forms = {
        kind: {"kind": kind, "width": 64, "layers": 2, "chunk": 10**9}
        for kind in ("mlp", "columns")
    }
    full, hybrid = capacity.gradients(forms, (48, 48, 48)).to_dict("records")
    assert (full["points"], hybrid["points"]) == (48**3, 48**2)
    assert full["rises_mb"] > 4 * hybrid["rises_mb"]
