"""What methods share: the form of their settings and of the callback that watches them."""

from collections.abc import Callable
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass
from torch import Tensor

settings = dataclass(frozen=True, config=ConfigDict(extra="forbid"))  # decorator of a method's settings: values are checked

Count = Annotated[int, Field(ge=1, le=100_000)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Timestep = Annotated[float, Field(gt=0, le=1000)]  # of a DDPM with 1000 steps

Callback = Callable[[int, Tensor], None]  # called with the iteration and the volume, in the scale of the problem


def ignore(iteration: int, volume: Tensor) -> None:
    """The callback of a caller who does not watch."""
