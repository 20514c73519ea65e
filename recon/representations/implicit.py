"""An implicit network: a coordinate goes in, the complex value of the volume there comes out.

Random Fourier features (Tancik et al. 2020) feed a network of normalised layers (paper A, section
4.2, "INN") or of plain ReLU layers (paper B, INFusion). Paper B's hybrid network takes x and y, and
gives the values of all voxels along z at once. Values are computed in chunks of points, and again
in the backward pass. So the memory does not grow with the volume.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Complex, Float
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recon.networks.precision import multiplies_bf16
from recon.representations import RepresentationKind
from recon.representations.meshes import Mesh, Sampled
from recon.schema import Count, Seed, Strict

WARM_POINTS = 2**14  # of a step of the warm start
WARM_RATE = 2e-3


class ImplicitSettings(Strict):
    """The size of the network. Paper A has a width of 450 and 5 layers.

    The bandwidth is the standard deviation of the frequencies, in periods along half of the axis
    with the most voxels. Paper A's code has a scale of 8 without the 2π, which is a bandwidth of
    1.3. It also gives the frequencies a mean of ⅓, where a standard deviation is meant; this is not
    copied. With a large bandwidth the network fits noise as easily as anatomy (notebook 04).
    """

    width: Count = 128
    layers: Count = 4  # before the last one
    normalised: bool = True  # ReLU6 and layer normalisation; else ReLU alone (paper B)
    columns: bool = False  # (x, y) in, all voxels along z out (paper B's hybrid)
    features: Count = 128  # frequencies, each as a sine and a cosine
    bandwidth: float = Field(2.0, gt=0)
    chunk: Count = 2**15  # points whose features are in memory at once
    warm: int = Field(300, ge=0)  # steps of fitting to the volume that it starts from
    rate: float = Field(0.02, gt=0)  # share of the method's learning rate
    seed: Seed = 0


class Implicit(Sampled):
    """A network over Fourier features of the position."""

    def __init__(self, start: Complex[Tensor, "x y z"], **settings: Any):
        super().__init__()
        self.settings = chosen = ImplicitSettings(**settings)
        self.shape = tuple(start.shape)
        generator = torch.Generator().manual_seed(chosen.seed)
        frequencies = chosen.bandwidth * torch.randn(3, chosen.features, generator=generator)
        # A 2D scan has no columns: each of its pixels is a point of its own.
        self.columns = chosen.columns and min(self.shape) > 1
        self.register_buffer("frequencies", frequencies[: 2 if self.columns else 3])
        widths = [2 * chosen.features, *[chosen.width] * chosen.layers]
        gain = 1.0 if chosen.normalised else math.sqrt(2)  # keeps the variance through ReLU
        self.layers = nn.ModuleList(
            linear(a, b, generator, gain) for a, b in zip(widths, widths[1:], strict=False)
        )
        outputs = 2 * (self.shape[2] if self.columns else 1)
        self.last = linear(chosen.width, outputs, generator)
        self.to(start.device)
        self._begin(start, generator)

    def _begin(self, start: Complex[Tensor, "x y z"], generator: torch.Generator) -> None:
        """A few steps of Adam towards ``start``, each on random voxels or columns."""
        axes = self.shape[: len(self.frequencies)]
        values = torch.view_as_real(start).reshape(math.prod(axes), -1)
        optimizer = torch.optim.Adam(self.parameters(), lr=WARM_RATE)
        for _ in range(self.settings.warm):
            points = min(WARM_POINTS, len(values))
            drawn = torch.randint(len(values), (points,), generator=generator)
            voxels = torch.stack(torch.unravel_index(drawn, axes), 1).to(start.device)
            optimizer.zero_grad()
            F.mse_loss(self(voxels + 0.5), values[drawn.to(start.device)]).backward()
            optimizer.step()

    def forward(self, points: Float[Tensor, "n d"]) -> Float[Tensor, "n outputs"]:
        """Real and imaginary parts at points, in voxels; voxel i reaches from i to i + 1."""
        h = self.features(points)
        with torch.autocast(h.device.type, torch.bfloat16, enabled=multiplies_bf16(h.device.type)):
            for layer in self.layers:
                h = layer(h)
                normalised = self.settings.normalised
                h = F.layer_norm(F.relu6(h), h.shape[1:]) if normalised else F.relu(h)
        return self.last(h.float())

    def features(self, points: Float[Tensor, "n d"]) -> Float[Tensor, "n features"]:
        """Sines and cosines of the positions, of unit variance as the layers that follow have."""
        middle = points.new_tensor(self.shape) / 2
        place = (points - middle[: points.shape[1]]) / middle.max()
        angle = 2 * math.pi * place @ self.frequencies
        return math.sqrt(2) * torch.cat([angle.sin(), angle.cos()], 1)

    def sampled(self, mesh: Mesh) -> Complex[Tensor, "x y z"]:
        """The volume at the positions of a mesh, chunk by chunk.

        Between the voxels of a column it is interpolated linearly.
        """
        axes = [positions.to(self.frequencies) for positions in mesh[: len(self.frequencies)]]
        points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).view(-1, len(axes))
        parts = points.split(self.settings.chunk)
        if len(parts) == 1:
            found = self(points)
        else:
            found = torch.cat([checkpoint(self, part, use_reentrant=False) for part in parts])
        values = torch.view_as_complex(found.view(*map(len, axes), -1, 2))
        if not self.columns:
            return values[..., 0]
        return values @ between(self.shape[2], mesh[2]).to(values)

    def parameter_groups(self, rate: float) -> list[dict[str, Any]]:
        """All weights at one share of the method's rate."""
        return [{"params": list(self.parameters()), "lr": rate * self.settings.rate}]


def between(voxels: int, positions: Float[Tensor, "m"]) -> Float[Tensor, "voxels m"]:
    """The weight of each voxel of a line at ``positions``, for linear interpolation.

    Beyond the outermost centres the line continues with its border values.
    """
    places = (positions - 0.5).clamp(0, voxels - 1)
    centres = torch.arange(voxels, dtype=places.dtype, device=places.device)
    return (1 - (centres[:, None] - places).abs()).clamp(min=0)


def linear(inputs: int, outputs: int, generator: torch.Generator, gain: float = 1.0) -> nn.Linear:
    """A layer with weights of a generator's own, so that a seed says all."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        drawn = torch.randn(outputs, inputs, generator=generator)
        layer.weight.copy_(gain * drawn / math.sqrt(inputs))
        layer.bias.zero_()
    return layer


REPRESENTATION = RepresentationKind(Implicit, ImplicitSettings, bf16=True)
