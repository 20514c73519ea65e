"""Trained networks: what they are for, how they are trained, and how a configuration says so.

An architecture says what a network computes. A `Kind` says what the network is trained for: a DDPM
prior, an unrolled reconstruction, and so on. Kinds of prior lie in `recon.priors`. An architecture
that serves one purpose only has its kind in its own file. Training, weights, hashes and shipping
ask the kind, and know none by name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from torch import Tensor, nn

from recon import networks, rooms
from recon.errors import ReconError
from recon.networks import ArchitectureSettings
from recon.schema import Count, Seed, Size, Strict

ROOMS = ("priors", "networks")  # where kinds are found


def of_kind(settings_of: Callable[[str], type[Strict]], default: str) -> BeforeValidator:
    """Reads a section of a configuration with the settings that its key ``kind`` asks for."""

    def validate(values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        kind = values.get("kind", default)
        if not isinstance(kind, str):
            raise ValueError(f"kind is {kind!r}; expected a name")
        try:
            return settings_of(kind).model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            inner = first.get("ctx", {}).get("key")  # a section within the section
            context = {"key": f"{place}.{inner}" if inner else place, "problem": first["msg"]}
            raise PydanticCustomError(first["type"], "{problem}", context) from error
        except ReconError as error:
            raise ValueError(str(error)) from error

    return BeforeValidator(validate)


AnyArchitecture = Annotated[
    SerializeAsAny[ArchitectureSettings],
    of_kind(lambda kind: networks.lookup(kind).settings, "unet"),
]


class About(Strict):
    """What a user must know of weights before he takes them; it goes into their header."""

    anatomy: str
    contrasts: str
    licence: str
    attribution: str  # whose data it was trained on


class Training(Strict):
    """A trained network in a configuration: on which data it is trained, and how.

    Kinds add what their loss and batches need. The defaults suit a short run on two CPU cores.
    """

    kind: str
    dataset: str = ""
    # The acceleration that it is trained for. Null: it serves every acceleration.
    acceleration: float | None = Field(None, ge=1)
    # A file of finished weights, relative to the repository. Null trains the network.
    shipped: str | None = None
    # Another network of the configuration, whose weights this one uses in its own way. It is not
    # trained. Null: it has weights of its own.
    weights_of: str | None = None
    # What training goes on from: an earlier network of the configuration, or a file of weights
    # relative to the repository. Null begins with random weights.
    starts_from: str | None = None
    steps: Count = 6000
    batch: Count = 8
    learning_rate: float = Field(5.0e-4, gt=0)
    # "cosine" falls to zero. "constant" is paper A's.
    decay: str = Field("cosine", pattern="^(cosine|constant)$")
    warmup: int = Field(100, ge=0)  # steps of linear rise
    # What the average of the weights keeps of itself at each step.
    ema: float = Field(0.999, ge=0, lt=1)
    seed: Seed = 0
    check_every: Count = 500  # steps between validation, log line and checkpoint
    about: About | None = None
    network: AnyArchitecture = Field(default_factory=lambda: networks.lookup("unet").settings())

    def recipe(self) -> dict:
        """What the weights depend on beside the data, as their header states it."""
        return self.model_dump(mode="json", exclude={"dataset", "shipped", "about", "weights_of"})


class Transfer(Strict):
    """What is varied of magnitude slices, so that a prior of them serves measured scans.

    Each can be switched off, to see what it is worth.
    """

    size: tuple[Count, Count] = (64, 112)  # smallest and largest side of a slice, in pixels
    # Smallest and largest pixel, in mm; a slice of larger ones stays as it is.
    pixels: tuple[Size, Size] = (0.7, 2.0)
    phase: float = Field(2.0, ge=0)  # radians: the most that a smooth random phase spreads
    bias: float = Field(0.5, ge=0)  # the same of the logarithm of a smooth random bias field
    contrast: float = Field(0.5, ge=0, le=1)  # how often intensities are mapped
    inverted: float = Field(0.25, ge=0, le=1)  # how often such a map is turned around
    flips: bool = True
    jitter: float = Field(0.25, ge=0)  # of the logarithm of the scale

    @model_validator(mode="after")
    def _ranges(self):
        if not self.pixels[0] <= self.pixels[1]:
            raise ValueError(f"pixels is {self.pixels}; expected two sizes, the smaller first")
        if not 8 <= self.size[0] <= self.size[1]:
            raise ValueError(f"size is {self.size}; expected two sizes from 8, the smaller first")
        return self


class SliceTraining(Training):
    """A training on slices of references, at their own voxel size or at many."""

    # The slices are those across these axes.
    axes: tuple[Literal[0, 1, 2], ...] = Field((0, 1, 2), min_length=1)
    # Neighbouring slices of a sample; more than one for a network that looks along them.
    stack: Count = 1
    # The range of the matrix factor in diverse training; [0.1, 1.0] in paper A.
    factors: tuple[float, float] | None = None
    # A part of that range that training never sees.
    held_out: tuple[float, float] | None = None
    # How diverse training makes voxels larger: as a scanner would, or as paper A does. The workflow
    # takes the setting of the dataset.
    resampling: Literal["kspace", "trilinear"] = "kspace"
    # Varies magnitude slices for measured scans; null leaves them as they are.
    transfer: Transfer | None = None

    @model_validator(mode="after")
    def _ranges(self):
        if self.transfer and (self.factors or self.held_out):
            raise ValueError("transfer has pixels of its own; remove factors and held_out")
        if self.transfer and set(self.axes) != {0, 1, 2}:
            raise ValueError("transfer takes slices as they come; remove axes")
        along = self.network.dimension != "2D"
        if along != (self.stack > 1):
            needs = "looks along stacks; set stack" if along else "does not; remove it"
            raise ValueError(f"stack is {self.stack}, but the network {needs}")
        if self.stack > 1 and self.factors:
            raise ValueError("stacks have one voxel size; remove factors")
        if self.batch % self.stack:
            slices = f"a batch of {self.batch} slices"
            raise ValueError(f"{slices} is no number of stacks of {self.stack}; correct batch")
        low, high = self.factors or (1.0, 1.0)
        if not 0 < low <= high <= 1:
            expected = "expected two numbers in (0, 1], the smaller first"
            raise ValueError(f"factors is {self.factors}; {expected}")
        if self.held_out and not low < self.held_out[0] < self.held_out[1] < high:
            inside = f"expected two numbers inside factors, {self.factors}, the smaller first"
            raise ValueError(f"held_out is {self.held_out}; {inside}")
        return self


def as_it_is(batch: Any, generator: torch.Generator, settings: Any) -> Any:
    """The batch alone: nothing else is random."""
    return batch


@dataclass(frozen=True)
class Kind:
    """The record of a kind of trained network."""

    # Makes the model of a network, from the network and the settings of the training.
    model: Callable[[nn.Module, Any], nn.Module]
    settings: type[Training]
    # The loss of a model on a batch as it was drawn, from settings. It draws nothing itself.
    loss: Callable[[Any, Any, Any], Float[Tensor, ""]]
    # The name of the batches that training draws; see `recon.training`.
    batches: str
    # The errors, by name, of a model on prepared validation volumes, from the settings.
    check: Callable[[Any, Any, Any], dict[str, float]]
    # What a step of training draws for a batch, such as noise, from a generator and settings. The
    # batch as it was drawn has ``len(batch)`` samples, and ``batch[rows]`` are some of them.
    draw: Callable[[Any, torch.Generator, Any], Any] = as_it_is
    # Whether the loss is the mean over samples that do not see each other. Then several processes
    # can share a batch.
    separable: bool = True
    denoises: bool = False  # whether it is a diffusion prior


def lookup(kind: str) -> Kind:
    """The kind of trained network called ``kind``."""
    found = [room for room in ROOMS if kind in rooms.members(room, "KIND")]
    if not found:
        known = sorted(name for room in ROOMS for name in rooms.members(room, "KIND"))
        unknown = f"no kind of trained network is called {kind!r}"
        raise ReconError(f"{unknown}; choose one of {', '.join(known)}")
    return rooms.member(found[0], "KIND", kind, "kind of trained network")


def build(settings: Training) -> nn.Module:
    """The untrained model that a configuration asks for."""
    return lookup(settings.kind).model(networks.build(settings.network), settings)


AnyTraining = Annotated[
    SerializeAsAny[Training], of_kind(lambda kind: lookup(kind).settings, "ddpm")
]
