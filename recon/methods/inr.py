"""An implicit network fitted to a scan, regularised by nothing but its own form (paper B)."""

from typing import Literal

from jaxtyping import Complex
from torch import Tensor

from recon import representations
from recon.methods import Method
from recon.methods.common import (
    SEED,
    Callback,
    Count,
    Form,
    Fraction,
    Positive,
    Seed,
    checked,
    ignore,
    says,
)
from recon.methods.ranges import decades
from recon.methods.stopping import KeptBack
from recon.mri.problem import Problem
from recon.representations import Representation
from recon.representations.fitting import Descent, Penalty, fit, never


@checked
class INRSettings:
    """Paper B: 8000 iterations of Adam at 1e-3, which is ``learning_rate`` times the network's own
    share. Here the rate falls to zero. ``bandwidth`` and ``seed`` take the place of those of the
    representation.
    """

    iterations: Count = says(8000, "of Adam, at most")
    learning_rate: Positive = says(0.05, "of Adam; an implicit network takes a fiftieth of it")
    decay: Literal["plateau", "linear"] = says("linear", "how the rate falls, see variational")
    representation: Form = says(
        "columns", "what the volume is made of: columns and mlp are paper B's networks"
    )
    # Paper B has a standard deviation of 9 over the field of view, for slices of 192 pixels.
    bandwidth: Positive = says(
        4.5, "of a network, in periods along half of the axis with the most voxels"
    )
    held_out: Fraction = says(0.0, "share of the samples that is kept back to say when to stop")
    seed: Seed = SEED


def nothing(model: Representation, volume: Tensor, iteration: int) -> None:
    """The penalty of a fit without one."""


def inr(
    problem: Problem, settings: INRSettings = INRSettings(), callback: Callback = ignore
) -> Complex[Tensor, "x y z"]:
    """Minimises ``½‖Ax − y‖²`` over the parameters of a representation.

    A network learns low frequencies first, and a short fit is smooth. A long one fits noise and
    aliasing. With ``held_out``, samples that are kept back say when to stop.
    """
    return fitted(problem, settings, nothing, callback, "inr")


def fitted(
    problem: Problem, settings: INRSettings, penalty: Penalty, callback: Callback, label: str
) -> Complex[Tensor, "x y z"]:
    """The volume of a representation that is fitted to a problem under some penalty."""
    watch = KeptBack(problem, settings.held_out, settings.seed) if settings.held_out else None
    problem = watch.problem if watch else problem
    form = settings.representation
    own = {"seed": settings.seed, "bandwidth": settings.bandwidth}
    model = representations.make(form | {k: v for k, v in own.items() if k in form}, problem.rhs)
    descent = Descent(settings.iterations, settings.learning_rate, settings.decay)
    stop = watch.stop if watch else never
    last = fit(model, problem, penalty, descent, callback, label, stop)
    if watch is None:
        return last
    watch.look(settings.iterations, last)
    return watch.best


SPACE = {"learning_rate": decades(0.02, 1.0), "bandwidth": decades(0.5, 10)}

METHOD = Method(
    inr,
    INRSettings,
    "INR alone (paper B)",
    "#8c6d31",
    "1",
    space=SPACE,
)
