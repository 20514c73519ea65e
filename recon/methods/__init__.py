"""Reconstruction methods, one a file, all behind one signature.

A method is a function ``(problem, **networks, settings, callback) -> volume`` in the scale of the
problem. A newcomer adds one file that ends in ``METHOD = Method(...)``; its name is the file's.
Files without a record hold what methods share.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from inspect import cleandoc
from pathlib import Path
from typing import Any

from jaxtyping import Complex
from pydantic import ValidationError
from torch import Tensor

from recon import rooms
from recon.errors import ReconError
from recon.methods.common import Callback, ignore
from recon.methods.ranges import Range
from recon.mri.problem import Problem
from recon.mri.slices import planes


@dataclass(frozen=True)
class Method:
    """The record at the end of a method's file."""

    run: Callable  # (problem, **networks, settings, callback) -> volume
    settings: type  # of the settings: a dataclass made by `recon.methods.common.checked`
    label: str  # in figures
    color: str
    marker: str
    # argument of ``run``: a kind of prior, one of `PRIORS`, or the kind of network trained for it
    needs: dict[str, str] = field(default_factory=dict)
    # what tuning searches: lowest and highest value
    space: dict[str, Range] = field(default_factory=dict)
    # whether runs with different seeds are draws from a posterior
    samples: bool = False
    # (problem, settings) -> None: refuses, before any work, what the method cannot do
    check: Callable | None = None
    # settings that name files, whose content a result depends on
    files: tuple[str, ...] = ()


# The needs of methods that take any diffusion prior. The latter prefer one that looks along stacks.
DENOISER = {"prior": "denoiser"}
STACK_DENOISER = {"prior": "stack denoiser"}
PRIORS = ("denoiser", "stack denoiser")


def takes_prior(name: str) -> bool:
    """Whether a method needs a diffusion prior."""
    return any(need in PRIORS for need in lookup(name).needs.values())


def names() -> tuple[str, ...]:
    """The names of all methods."""
    return rooms.members("methods", "METHOD")


def lookup(name: str) -> Method:
    """The method called ``name``."""
    return rooms.member("methods", "METHOD", name, "method")


def settings_of(name: str, **values: Any) -> Any:
    """Settings of a method with some values changed; unknown names and impossible values are
    refused.
    """
    kind = lookup(name).settings
    known = [f.name for f in fields(kind)]
    for key in values:
        if key not in known:
            raise ReconError(
                f"method {name} has no setting {key!r}; it has {', '.join(known) or 'none'}"
            )
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        wrong = f"{where} = {first['input']!r}: {first['msg']}"
        raise ReconError(f"method {name}: {wrong}; write numbers as 0.001 or 1.0e-3") from error


def explained(name: str) -> list[str]:
    """What a user is told of a method: what it does, and its settings with defaults."""
    method = lookup(name)
    lines = [f"{name}: {method.label}", "", *cleandoc(method.run.__doc__).splitlines(), ""]
    if method.needs:
        lines += [f"needs: {', '.join(f'{r} ({kind})' for r, kind in method.needs.items())}", ""]
    known = fields(method.settings)
    if not known:
        return [*lines, "It has no settings."]
    lines.append("settings (--set KEY=VALUE), in the scale of unit power of the volume:")
    defaults = vars(method.settings())
    for field_ in known:
        default = defaults[field_.name]
        value = f"{default:g}" if isinstance(default, float) else str(default)
        value = default["kind"] if isinstance(default, dict) and "kind" in default else value
        what = getattr(field_.default, "description", None) or ""
        lines.append(f"  {field_.name:16} {value:10} {what}".rstrip())
    return lines


def varied(name: str, setting: str, value: float | str, given: dict[str, Any]) -> Any:
    """A value from a configuration, in the type of the setting; impossible values are refused.

    Whole numbers stay whole, though a configuration reads them as real ones. ``given`` are the
    settings that stay as they are. A representation that is named alone has the settings of the one
    that is given, such as its width.
    """
    configured = given.get(setting)
    if isinstance(configured, dict) and isinstance(value, str):
        value = configured | {"kind": value}
    integer = isinstance(getattr(lookup(name).settings(), setting), int)
    whole = isinstance(value, float) and value.is_integer() and integer
    values = given | {setting: int(value) if whole else value}
    return getattr(settings_of(name, **values), setting)


def files_of(name: str, settings: dict[str, Any]) -> dict[str, Path]:
    """The files that the settings of a method name, by setting."""
    return {key: Path(settings[key]) for key in lookup(name).files if settings.get(key)}


def reconstruct(
    problem: Problem,
    name: str,
    networks: dict[str, Any] | Any = None,
    callback: Callback = ignore,
    **values: Any,
) -> Complex[Tensor, "x y z"]:
    """Runs a method by name; the volume is in the scale of ``problem``.

    ``networks`` gives what the method needs, by argument. A method that needs one network takes it
    as it is.
    """
    method = lookup(name)
    if takes_prior(name) and not planes(problem.operator.shape):
        size = "×".join(map(str, problem.operator.shape))
        why = f"a scan of {size} voxels has no slices that are images"
        raise ReconError(f"method {name} denoises slices, but {why}; choose another method")
    if not isinstance(networks, dict):
        networks = dict.fromkeys(list(method.needs)[:1], networks)
    check_networks(name, networks)
    chosen = {role: networks[role] for role in method.needs}
    return method.run(problem, **chosen, settings=settings_of(name, **values), callback=callback)


def check_problem(name: str, problem: Problem, settings: dict[str, Any]) -> None:
    """Refuses, before any work, a problem that a method cannot take with its settings."""
    check = lookup(name).check
    if check:
        check(problem, settings_of(name, **settings))


def check_networks(name: str, networks: dict[str, Any]) -> None:
    """Refuses networks that are not what a method needs; ``networks`` are named by argument."""
    for role, kind in lookup(name).needs.items():
        what = "a prior" if kind in PRIORS else f"a network of kind {kind}"
        if networks.get(role) is None:
            how = "pass the path of trained weights (shipped ones lie in data/priors)"
            raise ReconError(f"method {name} needs {what}; {how}")
        if not _serves(networks[role], kind):
            found = getattr(networks[role], "kind", type(networks[role]).__name__)
            raise ReconError(f"method {name} needs {what}, and was given a network of kind {found}")


def passed(
    problem: Problem, name: str, networks: dict[str, Any] | Any = None, **values: Any
) -> list[Complex[Tensor, "x y z"]]:
    """The volumes that a method passes through, one an iteration, in the units of the scan.

    There are none where a method reports none, as CG-SENSE, GRAPPA and trained networks.
    """
    volumes: list[Tensor] = []

    def keep(iteration: int, volume: Tensor) -> None:
        volumes.append(problem.unscale(volume))

    reconstruct(problem, name, networks, keep, **values)
    return volumes


def _serves(network: Any, need: str) -> bool:
    """Whether a network is what a method needs; one without a kind was made by hand."""
    return hasattr(network, "denoise") if need in PRIORS else getattr(network, "kind", need) == need


__all__ = [
    "DENOISER",
    "PRIORS",
    "STACK_DENOISER",
    "Method",
    "lookup",
    "names",
    "passed",
    "reconstruct",
    "settings_of",
    "takes_prior",
    "varied",
]
