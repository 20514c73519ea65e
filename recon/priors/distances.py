"""How far slices are from what a prior makes of them.

A distance of features (LPIPS, Zhang et al. 2018) compares what a network sees in two slices. The
features of each pixel are scaled to unit norm. So a distance says little of brightness and much of
structure. INFusion (paper B) takes the features of VGG-16. Those of the prior's own encoder need no
other network, and they were learned on such slices.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from recon.errors import ReconError
from recon.networks import backbones
from recon.priors import Perceiving, Prior, perceiving

Slices = Float[Tensor, "n 2 h w"]
# How far slices are from fixed targets; a distance makes this of the targets.
Towards = Callable[[Slices], Float[Tensor, "n"]]
Distance = Callable[[Slices], Towards]
Kind = Literal["features", "mse", "vgg", "alex"]
SEEN_AT = 0.1  # noise level at which the prior's encoder looks at slices
SMALLEST = {"vgg": 16, "alex": 31}  # pixels along an axis that a backbone needs
TINY = 1e-8


def distance_of(kind: Kind, prior: Prior, weights: str | None = None) -> Distance:
    """A distance by name.

    "features" are those of the prior, "vgg" and "alex" those of a backbone whose ``weights`` are in
    a file; "mse" compares pixels. They differ in size, so each needs a weight of its own. Raises
    `ReconError` for a missing file, and for a prior without features.
    """
    if kind == "mse":
        return mean_square
    if kind == "features":
        return partial(of_prior, perceiving(prior))
    return partial(lpips, backbones.load(kind, weights), SMALLEST[kind])


def mean_square(target: Slices) -> Towards:
    """The mean squared difference of each slice."""
    return lambda slices: (slices - target).square().mean((1, 2, 3))


def of_prior(prior: Perceiving, target: Slices) -> Towards:
    """The distance in the features of a prior; all layers and channels count alike."""
    with torch.no_grad():
        wanted = prior.features(target, SEEN_AT)

    def towards(slices: Slices) -> Float[Tensor, "n"]:
        found = prior.features(slices, SEEN_AT)
        return of_features(list(zip(found, wanted, strict=True))) / len(wanted)

    return towards


def lpips(backbone: backbones.Backbone, smallest: int, target: Slices) -> Towards:
    """LPIPS between slices as colours: real part, imaginary part, zero (paper B).

    Colours are in [-1, 1]: slices are divided by the largest value of the target. Raises
    `ReconError` for slices with fewer than ``smallest`` pixels along an axis.
    """
    if min(target.shape[2:]) < smallest:
        size = "×".join(map(str, target.shape[2:]))
        few = f"slices of {size} pixels are too small for this backbone, which needs {smallest}"
        raise ReconError(f"distance: {few}; take the distance features, or fewer planes")
    backbone = backbone.to(target.device)
    largest = target.abs().amax((1, 2, 3), keepdim=True).clamp(min=TINY)

    def features(slices: Slices) -> list[Tensor]:
        return backbone(torch.cat([slices, torch.zeros_like(slices[:, :1])], 1) / largest)

    wanted = features(target)

    def towards(slices: Slices) -> Float[Tensor, "n"]:
        pairs = list(zip(features(slices), wanted, strict=True))
        return of_features(pairs, list(backbone.weights))

    return towards


def of_features(
    pairs: Sequence[tuple[Tensor, Tensor]], weights: Sequence[Tensor] | None = None
) -> Float[Tensor, "n"]:
    """LPIPS of pairs of features: ``Σ_layers mean_pixels Σ_channels w (a/‖a‖ − b/‖b‖)²``."""
    total = 0.0
    for place, pair in enumerate(pairs):
        a, b = (f.float() / (f.float().norm(dim=1, keepdim=True) + TINY) for f in pair)
        weight = 1.0 if weights is None else weights[place]
        total = total + (weight * (a - b).square()).sum(1).mean((1, 2))
    return total
