"""Choosing every method's parameters on validation volumes, by the same number of trials for every method."""

from collections.abc import Iterator
from math import log

import numpy as np
from scipy.stats import qmc

from recon import methods
from recon.experiments import Study
from recon.progress import track


def candidates(method: str, trials: int, seed: int) -> Iterator[dict]:
    """``trials`` settings spread over the method's search space: a scrambled Halton sequence, logarithmic in each parameter.

    The first is the method's default, so that no search does worse than not searching.
    """
    found = methods.lookup(method)
    defaults = found.settings()
    if not found.space:
        yield {}
        return
    yield {name: getattr(defaults, name) for name in found.space}
    points = qmc.Halton(len(found.space), seed=seed).random(trials - 1)
    for point in points:
        values = {n: float(np.exp(np.log(lo) + u * np.log(hi / lo))) for u, (n, (lo, hi)) in zip(point, found.space.items(), strict=True)}
        yield {n: round(v) if isinstance(getattr(defaults, n), int) else float(f"{v:.3g}") for n, v in values.items()}


def tune(study: Study, dataset: str, method: str) -> dict:
    """Every trial at every tuning acceleration, and the best of each by mean PSNR over the validation volumes."""
    section = study.config.tuning
    subjects = study.config.datasets[dataset].validation[: section.subjects]
    record = {"dataset": dataset, "method": method, "subjects": subjects, "trials": {}, "best": {}, "at_edge": {}}
    for acceleration in study.config.tuned_at(dataset):
        tried = list(candidates(method, section.trials, study.config.seed))
        runs = [(s, values) for s in subjects for values in tried]  # subjects outermost: the problem is posed once for all trials
        cases = [study.case(dataset, s, acceleration, method, **values) for s, values in runs]
        scores = [study.run(case, keep_volume=False)["psnr"] for case in track(cases, f"tuning {method} at R = {acceleration:g}")]
        means = np.reshape(scores, (len(subjects), len(tried))).mean(0).tolist()
        trials = [{"settings": values, "psnr": score} for values, score in zip(tried, means, strict=True)]
        record["trials"][f"{acceleration:g}"] = trials
        best = max(trials, key=lambda trial: trial["psnr"])["settings"]
        record["best"][f"{acceleration:g}"], record["at_edge"][f"{acceleration:g}"] = best, at_edge(method, best)
    return record


def at_edge(method: str, chosen: dict, margin: float = 0.1) -> list[str]:
    """The parameters chosen within ``margin`` of an end of their (logarithmic) range: a wider range might have done better."""
    space = methods.lookup(method).space
    place = {name: log(chosen[name] / low) / log(high / low) for name, (low, high) in space.items()}
    return [name for name, part in place.items() if not margin <= part <= 1 - margin]
