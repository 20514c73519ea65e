"""Representations: what a volume is made of.

A representation is a continuous volume with parameters (paper A, equation 4). It can be sampled on
the measurement's grid and on the slices that a prior sees. A newcomer adds one file that ends in
``REPRESENTATION = ...``, a function that starts it from a volume; a method's setting
``representation`` names the file.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from recon import rooms


@runtime_checkable
class Representation(Protocol):
    """What fitting asks of a representation, beside being a module of torch."""

    def volume(self) -> Complex[Tensor, "x y z"]:
        """The volume on the measurement's grid."""

    def slices(
        self, axis: int, index: Int[Tensor, "n"], pixels: tuple[int, int] | None = None
    ) -> Float[Tensor, "n 2 h w"]:
        """The slices across ``axis`` at the voxels ``index``, over the same field of view.

        ``pixels`` is the mesh (h, w) that they are sampled on, that of the measurement's grid where
        None.
        """

    def parameter_groups(self, rate: float) -> list[dict[str, Any]]:
        """Parameters with their learning rates, in the form that torch's optimisers take; ``rate``
        is the method's.
        """

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters."""


def names() -> tuple[str, ...]:
    """The names of all representations."""
    return rooms.members("representations", "REPRESENTATION")


def lookup(name: str) -> Callable[[Complex[Tensor, "x y z"]], Representation]:
    """The representation called ``name``: a function that makes one from the volume it starts at."""
    return rooms.member("representations", "REPRESENTATION", name, "representation")
