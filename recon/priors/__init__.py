"""Diffusion priors: whatever answers ``denoise(x, sigma)``.

Methods see a prior through the protocol below, and speak of noise levels only. A newcomer adds one
file that ends in ``KIND = Kind(...)`` (see `recon.networks.trained`). It says how a network becomes
a denoiser, and which loss trains the network.
"""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from recon.errors import ReconError


@runtime_checkable
class Prior(Protocol):
    """What methods ask of a prior."""

    sigma_max: float  # the highest noise level it knows, at unit variance of the slices
    # How many slices on either side it looks at to denoise one. A purely 2D prior has 0.
    neighbours: int
    # Whether it was trained on flipped and transposed slices too, so that it knows no up or left.
    flips: bool
    # The smallest and the largest pixel of its training in mm. None where nobody knows.
    pixels: tuple[float, float] | None

    def denoise(
        self, x: Float[Tensor, "n 2 h w"], sigma: float | Float[Tensor, "n"]
    ) -> Float[Tensor, "n 2 h w"]:
        """``E[x0 | x0 + sigma n = x]`` of neighbouring slices of one volume, in their order.

        Slices are at unit variance. ``sigma`` is the standard deviation of the noise per channel,
        one for all slices or one for each. Where ``x`` requires grad, the result can be
        differentiated with respect to it.
        """


@runtime_checkable
class Perceiving(Protocol):
    """A prior that tells what its network sees in slices."""

    def features(self, x: Float[Tensor, "n 2 h w"], sigma: float) -> list[Float[Tensor, "n c p q"]]:
        """The features of slices at unit variance with noise of ``sigma``, of several layers."""


class Wrapped:
    """A prior that asks another one in its own way; `denoise` of a subclass says how."""

    def __init__(self, prior: Prior):
        self.prior = prior
        self.sigma_max, self.neighbours = prior.sigma_max, prior.neighbours
        self.flips, self.pixels = prior.flips, prior.pixels

    def features(self, x: Float[Tensor, "n 2 h w"], sigma: float) -> list[Float[Tensor, "n c p q"]]:
        """What the other prior sees in slices."""
        return perceiving(self.prior).features(x, sigma)


def perceiving(prior: Prior) -> Perceiving:
    """A prior that gives features. Raises `ReconError` for one that does not."""
    if not isinstance(prior, Perceiving):
        raise ReconError("the prior gives no features of slices; take the distance mse")
    return prior
