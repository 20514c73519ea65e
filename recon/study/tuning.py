"""Choosing every method's parameters on validation volumes, by the same number of trials."""

import warnings
from collections.abc import Callable
from math import log

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import QMCSampler, TPESampler

from recon import methods
from recon.progress import track
from recon.study.study import Study

optuna.logging.set_verbosity(optuna.logging.WARNING)

Trial = dict  # {"settings": the values tried, "psnr": their score}


def search(method: str, trials: int, seed: int, score: Callable[[dict], float]) -> list[Trial]:
    """Tries ``trials`` settings of a method; returns them in order, with their scores.

    The first are the method's defaults, so that no search does worse than not searching. Up to half
    of the trials spread over the search space (a scrambled Halton sequence). The others follow what
    has been found (TPE, Bergstra et al. 2011). ``seed`` and the scores determine every trial, so a
    search that was cut off goes the same way again.
    """
    space = distributions(method)
    defaults = {name: getattr(methods.lookup(method).settings(), name) for name in space}
    tried = [{"settings": defaults, "psnr": score(defaults)}]
    if not space:
        return tried
    with warnings.catch_warnings():  # Optuna calls this sampler experimental.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        spread = QMCSampler(qmc_type="halton", scramble=True, seed=seed)
    study = optuna.create_study(direction="maximize", sampler=spread)
    if all(found.low <= defaults[name] <= found.high for name, found in space.items()):
        value = tried[0]["psnr"]
        first = optuna.trial.create_trial(params=defaults, distributions=space, value=value)
        study.add_trial(first)
    for number in range(1, trials):
        if number == max(2, (trials + 1) // 2):
            study.sampler = TPESampler(seed=seed, n_startup_trials=0, multivariate=True)
        trial = study.ask(space)
        values = {name: _rounded(value) for name, value in trial.params.items()}
        tried.append({"settings": values, "psnr": score(values)})
        study.tell(trial, tried[-1]["psnr"])
    return tried


def distributions(method: str) -> dict[str, BaseDistribution]:
    """The search space of a method, logarithmic in each parameter; whole numbers stay whole."""
    found = methods.lookup(method)
    defaults = found.settings()
    out: dict[str, BaseDistribution] = {}
    for name, (low, high) in found.space.items():
        if isinstance(getattr(defaults, name), int):
            out[name] = IntDistribution(int(low), int(high), log=True)
        else:
            out[name] = FloatDistribution(low, high, log=True)
    return out


def _rounded(value: float) -> float:
    """Three digits are enough, and can be read."""
    return value if isinstance(value, int) else float(f"{value:.3g}")


def tune(study: Study, dataset: str, method: str) -> dict:
    """Every trial at every tuning acceleration, and the best of each.

    A trial's score is the mean PSNR over the validation volumes. Its cases are kept like every
    other case, so that a killed tuning goes on where it was.
    """
    section = study.config.tuning
    subjects = study.config.datasets[dataset].validation[: section.subjects]
    study.kept = len(subjects)  # the problems of all subjects: each trial poses them in turn
    tried, chosen, edges = {}, {}, {}
    for acceleration in study.config.tuned_at(dataset):
        steps = iter(track(range(section.trials), f"tuning {method} at R = {acceleration:g}"))

        def score(values: dict, acceleration: float = acceleration, steps=steps) -> float:
            next(steps, None)
            cases = [study.case(dataset, s, acceleration, method, **values) for s in subjects]
            return float(np.mean([study.trial(case) for case in cases]))

        at, trials = f"{acceleration:g}", search(method, section.trials, study.config.seed, score)
        best = max(trials, key=lambda trial: trial["psnr"])["settings"]
        tried[at], chosen[at], edges[at] = trials, best, at_edge(method, best)
    record = {"dataset": dataset, "method": method, "subjects": subjects}
    return record | {"trials": tried, "best": chosen, "at_edge": edges}


def at_edge(method: str, chosen: dict, margin: float = 0.1) -> list[str]:
    """The parameters chosen within ``margin`` of an end of their logarithmic range.

    For these a wider range might have done better.
    """
    space = methods.lookup(method).space
    place = {name: log(chosen[name] / low) / log(high / low) for name, (low, high) in space.items()}
    return [name for name, part in place.items() if not margin <= part <= 1 - margin]
