"""What methods share: the form of their settings and the callback that watches them."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from jaxtyping import Complex
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from recon import representations
from recon.errors import ReconError
from recon.mri.slices import planes
from recon.priors.schedule import T

Volume = Complex[Tensor, "x y z"]


def _form(value: object) -> dict:
    """The setting ``representation`` in full; an unknown one is a mistake in the settings."""
    if not isinstance(value, str | dict):
        raise ValueError("give a name, or a name under 'kind' and its settings")
    try:
        return representations.chosen(value)
    except ReconError as error:
        raise ValueError(str(error)) from error


# The decorator of a class of settings. Their values are checked.
checked = dataclass(frozen=True, config=ConfigDict(extra="forbid"))

Count = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Timestep = Annotated[float, Field(gt=0, le=T)]
Axis = Literal[0, 1, 2]
# How many orientations are regularised: slices across z, across y and z, or across all axes.
Planes = Annotated[int, Field(ge=1, le=3)]
# What a volume is made of; see recon.representations.
Form = Annotated[dict, BeforeValidator(_form)]
# The width of the prior's pixels in voxels; "prior" takes that of its training.
Pixel = Positive | Literal["prior"]
# Called with the iteration and the volume, in the scale of the problem.
Callback = Callable[[int, Tensor], None]


def says(default: object, what: str) -> Any:
    """A setting with its default, and what ``recon methods`` says of it."""
    return Field(default, description=what, validate_default=True)


# The seed that every method with random numbers has.
SEED = says(0, "of all random numbers")

PIXEL = "width of the prior's pixels in voxels; prior takes that of its training"


def ignore(iteration: int, volume: Tensor) -> None:
    """A callback that does nothing."""


def check_plane(axis: int, shape: tuple[int, int, int]) -> None:
    """Refuses an axis whose slices are not images. In a 2D scan only the last axis has images."""
    if axis not in planes(shape):
        size = "×".join(map(str, shape))
        lines = f"slices of a {size} volume across axis {axis} are lines"
        raise ReconError(f"{lines}; choose from axes {planes(shape)}")
