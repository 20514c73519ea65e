"""Architectures, one a file, and what all trained networks share: their kinds and their weights.

A newcomer adds one file that ends in ``ARCHITECTURE = Architecture(...)``. A configuration uses it
with ``network: {kind: NAME}``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from recon import rooms
from recon.schema import Strict


class ArchitectureSettings(Strict):
    """The settings of an architecture. Its subclass fixes ``kind``, the name of its file."""

    kind: str


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


__all__ = ["Architecture", "ArchitectureSettings", "build", "lookup"]
