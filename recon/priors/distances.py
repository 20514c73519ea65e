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

from recon.networks import backbones
from recon.priors import Perceiving, Prior, perceiving

# Takes slices and their targets, which may be batches.
Distance = Callable[[Float[Tensor, "n 2 h w"], Float[Tensor, "n 2 h w"]], Float[Tensor, "n"]]
Kind = Literal["features", "mse", "vgg", "alex"]
SEEN_AT = 0.1  # noise level at which the prior's encoder looks at slices
TINY = 1e-8


def distance_of(kind: Kind, prior: Prior, weights: str | None = None) -> Distance:
    """A distance by name.

    "features" are those of the prior, "vgg" and "alex" those of a backbone whose ``weights`` are in
    a file; "mse" compares pixels. Raises `ReconError` for a missing file, and for a prior without
    features.
    """
    if kind == "mse":
        return mean_square
    if kind == "features":
        return partial(between, perceiving(prior))
    return partial(lpips, backbones.load(kind, weights))


def mean_square(
    slices: Float[Tensor, "n 2 h w"], target: Float[Tensor, "n 2 h w"]
) -> Float[Tensor, "n"]:
    """The mean squared difference of each slice."""
    return (slices - target).square().mean((1, 2, 3))


def between(
    prior: Perceiving, slices: Float[Tensor, "n 2 h w"], target: Float[Tensor, "n 2 h w"]
) -> Float[Tensor, "n"]:
    """The distance of two slices in the features of a prior; all channels count alike."""
    with torch.no_grad():
        wanted = prior.features(target, SEEN_AT)
    pairs = list(zip(prior.features(slices, SEEN_AT), wanted, strict=True))
    return of_features(pairs) / len(pairs)


def lpips(
    backbone: backbones.Backbone,
    slices: Float[Tensor, "n 2 h w"],
    target: Float[Tensor, "n 2 h w"],
) -> Float[Tensor, "n"]:
    """LPIPS between slices as colours: real part, imaginary part, zero (paper B).

    Colours are in [-1, 1]: both slices are divided by the largest value of the target.
    """
    backbone = backbone.to(slices.device)
    largest = target.abs().amax((1, 2, 3), keepdim=True).clamp(min=TINY)
    colours = [torch.cat([s, torch.zeros_like(s[:, :1])], 1) / largest for s in (slices, target)]
    pairs = list(zip(*map(backbone, colours), strict=True))
    return of_features(pairs, list(backbone.weights))


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
