"""Training: the loop, its checkpoints, and the batches that it draws.

A newcomer adds one file that ends in ``BATCHES = Batches(...)``, for another way to cut training
volumes into batches. Kinds of trained network name the file (see `recon.networks.trained`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from recon import rooms
from recon.mri.prepared import Prepared


@runtime_checkable
class BatchSource(Protocol):
    """What the loop asks of a source of batches."""

    def batch(self, size: int, generator: torch.Generator) -> Any:
        """One batch of ``size`` samples, in the form that the loss takes."""


def unchanged(volumes: Sequence[Prepared], settings: Any) -> Sequence[Prepared]:
    """The volumes themselves."""
    return volumes


@dataclass(frozen=True)
class Batches:
    """The record at the end of a file of batches."""

    # Makes the source of prepared volumes, settings and a device.
    source: Callable[[Sequence[Prepared], Any, str], BatchSource]
    # Validation volumes as this training would see them, from the volumes and settings.
    validation: Callable[[Sequence[Prepared], Any], Sequence[Prepared]] = unchanged
    # Whether training reads k-space. Where none does, a volume keeps its reference alone.
    needs_kspace: bool = False


def batches(name: str) -> Batches:
    """The batches called ``name``."""
    return rooms.member("training", "BATCHES", name, "kind of batches")
