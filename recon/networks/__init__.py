"""Architectures, one a file, and what all trained networks share: their kinds and their weights.

A newcomer adds one file that ends in ``ARCHITECTURE = Architecture(...)``. A configuration uses it
with ``network: {kind: NAME}``.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from recon import rooms
from recon.schema import Strict


class ArchitectureSettings(Strict):
    """The settings of an architecture. Its subclass fixes ``kind``, the name of its file."""

    kind: str
    # Settings that may differ from those of the training: they say how weights are used.
    free: ClassVar[tuple[str, ...]] = ()
    # What the network looks at: slices, or stacks of them by attention (2D+A) or in 3D.
    dimension: ClassVar[str] = "2D"

    def use(self) -> dict[str, Any]:
        """The settings that say how weights are used."""
        return {name: getattr(self, name) for name in self.free}


@dataclass(frozen=True)
class Architecture:
    """The record at the end of an architecture's file."""

    build: Callable[[Any], nn.Module]  # settings -> network with random weights
    settings: type[ArchitectureSettings]


def lookup(name: str) -> Architecture:
    """The architecture called ``name``."""
    return rooms.member("networks", "ARCHITECTURE", name, "network")


def build(settings: ArchitectureSettings) -> nn.Module:
    """A network with random weights."""
    return lookup(settings.kind).build(settings)


def used_as(model: nn.Module, settings: ArchitectureSettings) -> nn.Module:
    """A trained network with the same weights, used as ``settings`` say.

    The network of an architecture with such settings reads them from its attribute ``config``.
    """
    if not settings.free or model.network.config.use() == settings.use():
        return model
    model = deepcopy(model)  # the other one may be in use, too
    model.network.config = model.network.config.model_copy(update=settings.use())
    return model


__all__ = ["Architecture", "ArchitectureSettings", "build", "lookup", "used_as"]
