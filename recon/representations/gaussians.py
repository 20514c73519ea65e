"""Complex 3D Gaussians: a sum of blobs that can be sampled anywhere (paper A, section 4.2).

Each has a centre, a size and a direction of its own along three axes, and a complex amplitude. With
``waves`` it also carries a learned plane wave, since plain Gaussians hold little high frequency.
The start is a coarse volume. Centres are drawn from its voxels without replacement, the more often
the brighter they are. Sizes follow from the distances to neighbours. Amplitudes are divided by the
overlap, and fitted to the volume for a few steps.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float, Int
from pydantic import Field
from scipy.spatial import cKDTree
from torch import Tensor, nn

from recon.representations import RepresentationKind
from recon.representations.meshes import Mesh, Sampled
from recon.representations.splatting import splat
from recon.schema import Seed, Strict

NEIGHBOURS = 3  # whose mean square distance sets the size
SMALLEST, LARGEST = 0.2, 20.0  # standard deviations, in voxels
DIVIDED = 0.2  # share of the Gaussians that is divided in a round
WARM_RATE = 0.02  # of Adam while the start is fitted, in units of its largest amplitude


class GaussiansSettings(Strict):
    """How many Gaussians, and how fast each part of them moves.

    Rates are shares of the method's learning rate. Its unit is the scale of the volume for
    amplitudes, one voxel for centres, one e-fold for sizes.
    """

    per_voxel: float = Field(0.3, gt=0, le=1)  # Gaussians for each voxel that is not zero
    waves: bool = False  # a learned plane wave each (Gabor functions)
    # How often, in the first half of a fit, a fifth of the Gaussians are split or cloned.
    densify: int = Field(0, ge=0, le=20)
    warm: int = Field(50, ge=0)  # steps of fitting to the volume that it starts from
    centre_rate: float = Field(0.5, ge=0)
    size_rate: float = Field(0.5, ge=0)
    turn_rate: float = Field(0.2, ge=0)
    wave_rate: float = Field(0.5, ge=0)
    seed: Seed = 0


class Gaussians(Sampled):
    """A sum of Gaussians. Positions are in voxels; voxel i reaches from i to i + 1."""

    def __init__(self, start: Complex[Tensor, "x y z"], **settings: Any):
        super().__init__()
        self.settings = GaussiansSettings(**settings)
        self.shape = tuple(start.shape)
        voxels = drawn_voxels(start, self.settings.per_voxel, self.settings.seed)
        centre = voxels.to(start.real.dtype) + 0.5
        number, options = len(voxels), {"dtype": centre.dtype, "device": centre.device}
        self.centre = nn.Parameter(centre)
        self.size = nn.Parameter(spacing(centre).log()[:, None].repeat(1, 3))
        self.turn = nn.Parameter(torch.tensor([1.0, 0, 0, 0], **options).repeat(number, 1))
        self.amplitude = nn.Parameter(torch.zeros(number, 2, **options))
        waves = torch.zeros(number, 3, **options)
        self.wave = nn.Parameter(waves) if self.settings.waves else None
        self._begin(start, voxels)
        self.pulled = torch.zeros_like(centre[:, 0])  # how hard the fit has pulled at each centre
        self.grown = 0

    def grow(self, optimizer: torch.optim.Optimizer, done: float) -> None:
        """Divides the Gaussians that the fit pulls hardest; see `densified`."""
        rounds = self.settings.densify
        if self.grown == rounds:
            return
        self.pulled += self.centre.grad.norm(dim=1)
        if done < 0.5 * (self.grown + 1) / rounds:
            return
        chosen = self.pulled.topk(max(1, round(DIVIDED * len(self.pulled)))).indices
        for name, values in densified(self, chosen).items():
            extended(optimizer, getattr(self, name), values, chosen)
        self.pulled = torch.zeros_like(self.centre[:, 0])
        self.grown += 1

    def _begin(self, start: Complex[Tensor, "x y z"], voxels: Int[Tensor, "g 3"]) -> None:
        """Amplitudes that reproduce ``start`` at the centres, then a few steps of Adam."""
        with torch.no_grad():
            self.amplitude[:, 0] = 1
            overlap = self.volume().real[tuple(voxels.T)].clamp(min=1)
            self.amplitude.copy_(torch.view_as_real(start[tuple(voxels.T)] / overlap))
        scale = float(start.abs().max()) or 1.0
        optimizer = torch.optim.Adam(self.parameter_groups(WARM_RATE), betas=(0.9, 0.99))
        optimizer.param_groups[0]["lr"] *= scale
        for _ in range(self.settings.warm):
            optimizer.zero_grad()
            (self.volume() - start).abs().square().sum().backward()
            optimizer.step()

    def factor(self) -> Float[Tensor, "g 3 3"]:
        """L = R diag(1/s), with the rotation R of the quaternion and the standard deviations s."""
        size = self.size.exp().clamp(SMALLEST, LARGEST)
        return rotation(self.turn) / size[:, None, :]

    def sampled(self, mesh: Mesh) -> Complex[Tensor, "x y z"]:
        """The volume at the positions of a mesh."""
        amplitude = torch.view_as_complex(self.amplitude)
        return splat(mesh, self.centre, self.factor(), amplitude, self.wave)

    def parameter_groups(self, rate: float) -> list[dict[str, Any]]:
        """Each kind of parameter at its share of the method's rate."""
        shares = {
            "amplitude": 1.0,
            "centre": self.settings.centre_rate,
            "size": self.settings.size_rate,
            "turn": self.settings.turn_rate,
        }
        shares |= {"wave": self.settings.wave_rate} if self.settings.waves else {}
        return [{"params": [getattr(self, name)], "lr": rate * s} for name, s in shares.items()]


@torch.no_grad()
def densified(model: Gaussians, chosen: Int[Tensor, "n"]) -> dict[str, tuple[Tensor, Tensor]]:
    """For every parameter, what becomes of the ``chosen`` Gaussians, and one more for each.

    A Gaussian larger than the median is split along its longest axis: two of 0.6 times the width,
    0.8 deviations to either side, keep its integral, mean and covariance. A smaller one is cloned:
    two of half the amplitude lie side by side, and the fit drives them apart.
    """
    size, turn = model.size[chosen], model.turn[chosen]
    longest = size.argmax(1, keepdim=True)
    split = size.max(1, keepdim=True).values > model.size.max(1).values.median()
    axis = rotation(turn).gather(2, longest[:, None].expand(-1, 3, 1))[..., 0]
    aside = torch.where(split, 0.8, 0.1) * size.gather(1, longest).exp() * axis
    narrower = torch.zeros_like(size).scatter(1, longest, math.log(0.6))
    size = torch.where(split, size + narrower, size)
    amplitude = model.amplitude[chosen] * torch.where(split, 0.5 / 0.6, 0.5)
    halves = {"size": (size, size), "turn": (turn, turn), "amplitude": (amplitude, amplitude)}
    halves["centre"] = (model.centre[chosen] - aside, model.centre[chosen] + aside)
    if model.wave is not None:
        halves["wave"] = (model.wave[chosen], model.wave[chosen])
    return halves


@torch.no_grad()
def extended(
    optimizer: torch.optim.Optimizer,
    parameter: nn.Parameter,
    halves: tuple[Tensor, Tensor],
    chosen: Int[Tensor, "n"],
) -> None:
    """Puts one half in the place of the ``chosen`` rows of a parameter and the other at its end.

    The memory of the optimiser of all these rows begins anew.
    """
    parameter[chosen] = halves[0]
    parameter.set_(torch.cat([parameter.data, halves[1]]))
    parameter.grad = None
    for name, value in optimizer.state[parameter].items():
        if torch.is_tensor(value) and value.ndim:
            value[chosen] = 0
            optimizer.state[parameter][name] = torch.cat([value, torch.zeros_like(halves[1])])


def drawn_voxels(start: Complex[Tensor, "x y z"], share: float, seed: int) -> Int[Tensor, "g 3"]:
    """A ``share`` of the voxels that are not zero, at least one, drawn without replacement with
    probabilities that follow the magnitude.
    """
    size = start.abs().flatten().double().cpu()
    number = max(1, round(share * int((size > 0).sum())))
    # The largest keys u^(1/w) are such a sample (Efraimidis and Spirakis 2006).
    uniform = torch.rand(len(size), generator=torch.Generator().manual_seed(seed)).double()
    keys = torch.where(size > 0, uniform.log() / size, -torch.inf)
    chosen = keys.topk(number).indices.sort().values
    places = torch.unravel_index(chosen, tuple(start.shape))
    return torch.stack(places, 1).to(start.device)


def spacing(centre: Float[Tensor, "g 3"]) -> Float[Tensor, "g"]:
    """Half the root mean square distance to the nearest neighbours, within bounds."""
    points = centre.detach().cpu().numpy()
    count = min(NEIGHBOURS + 1, len(points))
    if count < 2:
        return torch.full_like(centre[:, 0], 1.0)
    distance = cKDTree(points).query(points, k=count)[0][:, 1:]
    found = torch.from_numpy(distance).square().mean(1).sqrt() / 2
    return found.to(centre).clamp(SMALLEST, LARGEST)


def rotation(quaternion: Float[Tensor, "g 4"]) -> Float[Tensor, "g 3 3"]:
    """The rotation matrix of a quaternion (w, x, y, z) of any length but zero."""
    w, x, y, z = F.normalize(quaternion, dim=1).unbind(1)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


REPRESENTATION = RepresentationKind(Gaussians, GaussiansSettings)
