"""Representations: what a volume is made of.

A representation is a continuous volume with parameters (paper A, equation 4). It can be sampled on
the measurement's grid and on the slices that a prior sees. A newcomer adds one file that ends in
``REPRESENTATION = RepresentationKind(...)``. A method's setting ``representation`` names the file,
alone or with settings: ``{kind: NAME, ...}``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from recon import rooms
from recon.schema import Strict


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


@runtime_checkable
class Growing(Protocol):
    """A representation whose parameters grow in number while it is fitted."""

    def grow(self, optimizer: torch.optim.Optimizer, done: float) -> None:
        """Called after every step of ``optimizer``, when the share ``done`` of them is done."""


class NoSettings(Strict):
    """The settings of a representation that has none."""


@dataclass(frozen=True)
class RepresentationKind:
    """The record at the end of a representation's file."""

    # Makes the representation of a volume that it starts at; the settings are its keywords.
    make: Callable[..., Representation]
    settings: type[Strict] = NoSettings
    bf16: bool = False  # whether it is evaluated in bf16 where the processor can


def names() -> tuple[str, ...]:
    """The names of all representations."""
    return rooms.members("representations", "REPRESENTATION")


def lookup(name: str) -> RepresentationKind:
    """The representation called ``name``."""
    return rooms.member("representations", "REPRESENTATION", name, "representation")


def chosen(value: Any) -> dict:
    """A representation in a configuration: its name, or its name under ``kind`` and its settings.

    Returns the second form, complete. Raises `ReconError` for an unknown name.
    """
    given = dict(value) if isinstance(value, dict) else {"kind": value}
    kind = str(given.pop("kind", "voxels"))
    return {"kind": kind} | lookup(kind).settings.model_validate(given).model_dump()


def make(choice: dict, start: Complex[Tensor, "x y z"]) -> Representation:
    """The representation of a choice (see `chosen`), started at a volume."""
    settings = {key: value for key, value in choice.items() if key != "kind"}
    return lookup(choice["kind"]).make(start, **settings)
