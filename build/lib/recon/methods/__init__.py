"""Every reconstruction method, by name, behind one signature: ``(problem, prior, settings, callback) -> volume``."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

from recon.errors import ReconError
from recon.methods import classical, variational
from recon.sense import Problem


@dataclass(frozen=True)
class Method:
    """A reconstruction, its settings (a frozen dataclass) and whether it needs a prior."""

    run: Callable
    settings: type
    needs_prior: bool
    label: str
    space: dict[str, tuple[float, float]]  # what tuning searches: parameter, lowest and highest value


VARIATIONAL_SPACE = {"weight": (0.01, 0.5), "learning_rate": (0.01, 0.3)}
ANNEALED_SPACE = {"weight": (0.1, 10.0), "t_max": (30.0, 200.0)}

METHODS = {
    "zero_filled": Method(classical.zero_filled, classical.ZeroFilledSettings, False, "Zero-filled", {}),
    "cg_sense": Method(classical.cg_sense, classical.CgSenseSettings, False, "CG-SENSE", {"weight": (1e-4, 0.3), "iterations": (5, 60)}),
    "l1_wavelet": Method(classical.l1_wavelet, classical.L1WaveletSettings, False, "ℓ1-wavelet", {"weight": (1e-3, 0.1)}),
    "variational": Method(variational.variational, variational.VariationalSettings, True, "Variational (Adam)", VARIATIONAL_SPACE),
    "annealed": Method(variational.annealed, variational.AnnealedSettings, True, "Variational (exact data step)", ANNEALED_SPACE),
}


def lookup(name: str) -> Method:
    """The method called ``name``."""
    if name not in METHODS:
        raise ReconError(f"no method is called {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]


def settings(name: str, **values) -> object:
    """Settings of a method with some values changed; an unknown name is refused."""
    defaults = lookup(name).settings()
    known = [f.name for f in fields(defaults)]
    for key in values:
        if key not in known:
            raise ReconError(f"method {name} has no setting {key!r}; it has {', '.join(known) or 'none'}")
    return replace(defaults, **values)


def reconstruct(problem: Problem, name: str, prior=None, callback=classical.ignore, **values):
    """Runs a method by name; the volume is in the scale of ``problem``."""
    method = lookup(name)
    if method.needs_prior and prior is None:
        raise ReconError(f"method {name} needs a prior; pass the path of trained weights (shipped ones lie in data/priors)")
    return method.run(problem, prior, settings(name, **values), callback)


__all__ = ["METHODS", "Method", "lookup", "reconstruct", "settings"]
