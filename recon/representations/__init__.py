"""Representations: what a volume is made of.

A representation is a continuous volume with parameters (paper A, equation 4). It can be sampled on
the measurement's grid and on the slices that a prior sees. A newcomer adds one file that ends in
``REPRESENTATION = ...``: a function, or a class, that makes the representation from a volume. A
method's setting ``representation`` names the file.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from recon import rooms


@runtime_checkable
class Representation(Protocol):
    """What fitting asks of a representation, which is a module of torch."""

    def volume(self) -> Complex[Tensor, "x y z"]:
        """The volume on the measurement's grid."""

    def slices(
        self, axis: int, index: Int[Tensor, "n"], pixels: tuple[int, int] | None = None
    ) -> Float[Tensor, "n 2 h w"]:
        """The slices across ``axis`` at the voxels ``index``, over the same field of view.

        ``pixels`` is the mesh (h, w) on which they are sampled. None is the measurement's grid.
        """

    def parameter_groups(self, rate: float) -> list[dict[str, Any]]:
        """Parameters with their learning rates, in the form that torch's optimisers take.

        ``rate`` is the method's learning rate.
        """

    def parameters(self) -> Iterator[nn.Parameter]:
        """All parameters."""


def names() -> tuple[str, ...]:
    """The names of all representations."""
    return rooms.members("representations", "REPRESENTATION")


def lookup(name: str) -> Callable[[Complex[Tensor, "x y z"]], Representation]:
    """The representation called ``name``, as a function of the volume at which it starts."""
    return rooms.member("representations", "REPRESENTATION", name, "representation")
