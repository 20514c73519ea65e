"""Searching the settings of a method: trials that spread over its space, then follow the best."""

import warnings
from collections.abc import Callable

from recon import methods
from recon.methods.ranges import Range

with warnings.catch_warnings():  # In notebooks tqdm, which Optuna imports, asks for widgets.
    warnings.simplefilter("ignore")
    import optuna
    from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
    from optuna.samplers import QMCSampler, TPESampler

optuna.logging.set_verbosity(optuna.logging.WARNING)

Trial = dict  # {"settings": the values tried, "score": how good they are}


def search(
    method: str,
    space: dict[str, Range],
    trials: int,
    seed: int,
    score: Callable[[dict], float],
) -> list[Trial]:
    """Tries ``trials`` settings of a method in a space; returns them in order, with their scores.

    The first are the method's defaults, so that no search does worse than not searching. Up to half
    of the trials spread over the search space (a scrambled Halton sequence). The others follow what
    has been found (TPE, Bergstra et al. 2011). ``seed`` and the scores determine every trial, so a
    search that was cut off goes the same way again.
    """
    defaults = {name: getattr(methods.lookup(method).settings(), name) for name in space}
    tried = [{"settings": defaults, "score": score(defaults)}]
    if not space:
        return tried
    with warnings.catch_warnings():  # Optuna calls this sampler experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        spread = QMCSampler(qmc_type="halton", scramble=True, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=spread)
    drawn = distributions(space, defaults)
    if all(found.low <= defaults[name] <= found.high for name, found in space.items()):
        value = tried[0]["score"]
        first = optuna.trial.create_trial(params=defaults, distributions=drawn, value=value)
        study.add_trial(first)
    for number in range(1, trials):
        if number == max(2, (trials + 1) // 2):
            study.sampler = TPESampler(seed=seed, n_startup_trials=0, multivariate=True)
        trial = study.ask(drawn)
        values = {name: _rounded(value) for name, value in trial.params.items()}
        tried.append({"settings": values, "score": score(values)})
        study.tell(trial, tried[-1]["score"])
    return tried


def distributions(space: dict[str, Range], defaults: dict) -> dict[str, BaseDistribution]:
    """A search space for optuna; where the default is a whole number, so are the trials."""
    out: dict[str, BaseDistribution] = {}
    for name, found in space.items():
        if isinstance(defaults[name], int):
            ends = max(1, round(found.low)), round(found.high)
            out[name] = IntDistribution(*ends, log=found.logarithmic)
        else:
            out[name] = FloatDistribution(found.low, found.high, log=found.logarithmic)
    return out


def _rounded(value: float) -> float:
    """Three digits are enough, and can be read."""
    return value if isinstance(value, int) else float(f"{value:.3g}")


def at_edge(space: dict[str, Range], chosen: dict) -> list[str]:
    """The parameters chosen at the edge of their ranges; a wider range might have done better."""
    return [name for name, found in space.items() if found.edge(chosen[name])]
