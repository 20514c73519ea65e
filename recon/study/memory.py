"""Work that does not fit into memory is done again in smaller chunks.

Chunks bound the memory: the slices that a network sees at once, the points of an implicit network,
the coils and slabs of the forward model. A library may sum a smaller chunk in another order, so the
result is the same to rounding, and not always to the bit. Measured on a CPU, as the largest
difference over the largest value: zero with a U-Net, 6e-7 with an implicit network.
"""

import gc
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any, TypeVar

import torch

from recon.errors import ReconError
from recon.mri.problem import Problem
from recon.progress import note

T = TypeVar("T")
DIVISORS = (1, 4, 16, 64)  # of the chunks: what is tried in turn
# What holds the size of a chunk: networks, the operator, and the settings of a representation.
CHUNKS = ("batch", "coils_per_chunk", "slab", "chunk")
# What a RuntimeError says on the CPU, and libraries of a GPU that allocate by themselves.
WORDS = ("can't allocate memory", "out of memory", "ALLOC_FAILED")


def fitting(what: str, work: Callable[[int], T]) -> tuple[T, int]:
    """``work(divisor)`` with the largest chunks that fit into memory, and the divisor of these.

    ``what`` names the work in the log. Raises `ReconError` where the smallest chunks do not fit.
    """
    for divisor in DIVISORS:
        try:
            return work(divisor), divisor
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            why = str(error).strip().splitlines()[0] if str(error).strip() else "MemoryError"
        # Only here are the arrays free that the error's traceback held.
        gc.collect()
        torch.cuda.empty_cache()
        if divisor != DIVISORS[-1]:
            note(f"{what}: out of memory ({why}); again in smaller chunks")
    cure = "take larger voxels, fewer coils, or a machine with more memory"
    raise ReconError(f"{what}: out of memory even in the smallest chunks ({why}); {cure}")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or torch says that memory is short."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or (isinstance(error, RuntimeError) and any(w in str(error) for w in WORDS))


def divided(
    problem: Problem, networks: dict[str, Any], settings: dict, divisor: int
) -> tuple[Problem, dict[str, Any], dict]:
    """The same work with all chunks divided; the objects that are given stay as they are."""
    if divisor == 1:
        return problem, networks, settings
    networks = {role: _smaller(network, divisor) for role, network in networks.items()}
    form = settings.get("representation")
    if isinstance(form, dict):
        parts = {k: max(1, form[k] // divisor) for k in CHUNKS if k in form}
        settings = settings | {"representation": form | parts}
    return replace(problem, operator=_smaller(problem.operator, divisor)), networks, settings


def _smaller(thing: Any, divisor: int) -> Any:
    """A shallow copy with smaller chunks."""
    other = copy(thing)
    for name in (name for name in CHUNKS if hasattr(other, name)):
        setattr(other, name, max(1, getattr(other, name) // divisor))
    return other
