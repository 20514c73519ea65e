"""Architectures, one a file, and what all trained networks share: kinds, and weights on disk.

A newcomer adds one file that ends in ``NETWORK = Network(...)``. A configuration names the file by
``network: {kind: NAME}``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from recon import rooms
from recon.schema import Strict


class Architecture(Strict):
    """The settings of an architecture; its subclass fixes ``kind``, the name of its file."""

    kind: str


@dataclass(frozen=True)
class Network:
    """The record at the end of an architecture's file."""

    build: Callable[[Any], nn.Module]  # from settings of the class below
    settings: type[Architecture]


def lookup(name: str) -> Network:
    """The architecture called ``name``."""
    return rooms.member("networks", "NETWORK", name, "network")


def build(settings: Architecture) -> nn.Module:
    """A network with random weights."""
    return lookup(settings.kind).build(settings)


__all__ = ["Architecture", "Network", "build", "lookup"]
