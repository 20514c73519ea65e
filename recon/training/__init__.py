"""Training: the loop, its checkpoints, and the batches that it draws.

A newcomer adds one file that ends in ``BATCHES = Batches(...)``: another way to cut training
volumes into batches. Kinds of trained network name it (see `recon.networks.trained`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from recon import rooms
from recon.mri.prepared import Prepared


@runtime_checkable
class Source(Protocol):
    """Whatever draws batches."""

    def batch(self, size: int, generator: torch.Generator) -> Any:
        """One batch of ``size`` samples, in the form that the loss takes."""


@dataclass(frozen=True)
class Batches:
    """The record at the end of a file of batches."""

    # (volumes, settings, device) -> source
    source: Callable[[Sequence[Prepared], Any, str], Source]
    needs_kspace: bool = False  # else training volumes keep their reference alone


def batches(name: str) -> Batches:
    """The batches called ``name``."""
    return rooms.member("training", "BATCHES", name, "kind of batches")
