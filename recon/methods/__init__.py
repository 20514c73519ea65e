"""Every reconstruction method, by name, behind one signature: ``(problem, prior, settings, callback) -> volume``."""

from collections.abc import Callable
from dataclasses import dataclass, fields

from jaxtyping import Complex
from pydantic import ValidationError
from torch import Tensor

from recon.diffusion import Prior
from recon.errors import ReconError
from recon.methods import classical, dds, mbir, tpdm, variational
from recon.methods.common import Callback, ignore
from recon.sense import Problem


@dataclass(frozen=True)
class Method:
    """A reconstruction: the function, the class of its settings, whether it needs a prior, and what tuning searches."""

    run: Callable
    settings: type
    needs_prior: bool
    label: str
    space: dict[str, tuple[float, float]]  # parameter: lowest and highest value

    @property
    def module(self) -> str:
        """Where the function is written, as `recon.config.sources` names it."""
        return self.run.__module__.removeprefix("recon.").replace(".", "/")


CG_SPACE = {"weight": (1e-4, 0.3), "iterations": (5, 60)}
L1_SPACE = {"weight": (5e-4, 0.05)}
VARIATIONAL_SPACE = {"weight": (0.02, 0.5), "t_max": (20.0, 200.0)}
ANNEALED_SPACE = {"weight": (0.05, 2.0), "t_max": (40.0, 300.0)}
TPDM_DDS_SPACE = {"gamma": (0.1, 30.0), "eta": (0.1, 1.0)}
TV_SPACE = {"weight": (2e-3, 0.02), "rho": (2e-3, 0.05)}  # of DDS and DiffusionMBIR: as wide as the other spaces; further out both fail
TPDM_SPACE = {"zeta": (5e-3, 0.5), "snr": (0.02, 0.4)}

METHODS = {
    "zero_filled": Method(classical.zero_filled, classical.ZeroFilledSettings, False, "Zero-filled", {}),
    "cg_sense": Method(classical.cg_sense, classical.CgSenseSettings, False, "CG-SENSE", CG_SPACE),
    "l1_wavelet": Method(classical.l1_wavelet, classical.L1WaveletSettings, False, "ℓ1-wavelet", L1_SPACE),
    "variational": Method(variational.variational, variational.VariationalSettings, True, "Variational (paper A)", VARIATIONAL_SPACE),
    "annealed": Method(variational.annealed, variational.AnnealedSettings, True, "Annealed (ours)", ANNEALED_SPACE),
    "tpdm_dds": Method(dds.tpdm_dds, dds.TpdmDdsSettings, True, "TPDM+DDS", TPDM_DDS_SPACE),
    "dds": Method(dds.dds, dds.DdsSettings, True, "DDS+TV", TV_SPACE),
    "diffusion_mbir": Method(mbir.diffusion_mbir, mbir.DiffusionMbirSettings, True, "DiffusionMBIR", TV_SPACE),
    "tpdm": Method(tpdm.tpdm, tpdm.TpdmSettings, True, "TPDM", TPDM_SPACE),
}


def lookup(name: str) -> Method:
    """The method called ``name``."""
    if name not in METHODS:
        raise ReconError(f"no method is called {name!r}; choose one of {', '.join(METHODS)}")
    return METHODS[name]


def settings(name: str, **values) -> object:
    """Settings of a method with some values changed; unknown names and impossible values are refused."""
    kind = lookup(name).settings
    known = [f.name for f in fields(kind)]
    for key in values:
        if key not in known:
            raise ReconError(f"method {name} has no setting {key!r}; it has {', '.join(known) or 'none'}")
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise ReconError(f"method {name}: {first['loc'][0]} = {first['input']!r}: {first['msg']}; numbers as 0.001 or 1.0e-3") from error


def varied(name: str, setting: str, value: float | str) -> object:
    """A value that a configuration gives a setting, in the setting's type: whole numbers stay whole; impossible values are refused."""
    whole = isinstance(value, float) and value.is_integer() and isinstance(getattr(lookup(name).settings(), setting), int)
    return getattr(settings(name, **{setting: int(value) if whole else value}), setting)


def reconstruct(problem: Problem, name: str, prior: Prior | None = None, callback: Callback = ignore, **values) -> Complex[Tensor, "x y z"]:
    """Runs a method by name; the volume is in the scale of ``problem``."""
    method = lookup(name)
    if method.needs_prior and prior is None:
        raise ReconError(f"method {name} needs a prior; pass the path of trained weights (shipped ones lie in data/priors)")
    return method.run(problem, prior, settings(name, **values), callback)


__all__ = ["METHODS", "Method", "lookup", "reconstruct", "settings", "varied"]
