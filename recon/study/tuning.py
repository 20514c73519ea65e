"""Choosing every method's parameters on validation volumes, by the same number of trials."""

from collections.abc import Callable, Collection
from itertools import chain, count
from typing import Any

import numpy as np

from recon import methods
from recon.errors import ReconError
from recon.methods.search import Trial, at_edge, search
from recon.progress import track
from recon.study.config import Tuning
from recon.study.study import Study


def tune(study: Study, dataset: str, method: str) -> dict:
    """Every trial at every tuning acceleration, and the best of each.

    A trial's score is the mean PSNR over the validation volumes (see `race`). What was computed is
    kept, so that a killed tuning goes on where it was. An optimum at the edge of its range widens
    the range, which is then searched with as many trials again.
    """
    section = study.config.tuning
    subjects = study.config.chosen_on(dataset)
    study.kept = len(subjects)  # the problems of all subjects: each trial poses them in turn
    record = {"dataset": dataset, "method": method, "subjects": subjects}
    parts = {"trials": {}, "best": {}, "at_edge": {}, "space": {}, "widened": {}}
    for acceleration in study.config.tuned_at(dataset, method):
        label = f"tuning {method} at R = {acceleration:g}"
        # Each search has as many trials.
        progress = chain.from_iterable(track(range(section.trials), label) for _ in count())

        def one(values: dict, subject: str | int, acceleration: float = acceleration) -> float:
            return study.trial(study.case(dataset, subject, acceleration, method, **values))

        raced = race(one, subjects, section.margin)

        def score(values: dict, raced=raced, progress=progress) -> float:
            next(progress)
            return raced(values)

        fixed = study.config.given(dataset, method)
        found = inside(method, section, study.config.seed, score, fixed)
        if found["at_edge"] and section.edges == "refuse":
            where = f"{label} on {dataset}: {', '.join(found['at_edge'])} chosen at the edge"
            cure = "widen the method's space, or set 'tuning.edges: report'"
            raise ReconError(f"{where} of a range that was widened {section.widen} times; {cure}")
        for name, part in parts.items():
            part[f"{acceleration:g}"] = found[name]
    return record | parts


def race(
    one: Callable[[dict, Any], float], subjects: list, margin: float
) -> Callable[[dict], float]:
    """The score of settings: the mean over the subjects of ``one(settings, subject)``, in dB.

    Settings that are more than ``margin`` behind the best ones on the first subject are not run on
    the others. They get the best mean less what they are behind. So they cannot be chosen, as the
    best ones stay among the trials, and the search still learns how bad they are.
    """
    leader: dict[str, float] = {}

    def score(values: dict) -> float:
        first = one(values, subjects[0])
        if leader and first < leader["first"] - margin:
            return leader["mean"] + first - leader["first"]
        mean = float(np.mean([first, *(one(values, subject) for subject in subjects[1:])]))
        if not leader or mean > leader["mean"]:
            leader.update(first=first, mean=mean)
        return mean

    return score


def inside(
    method: str,
    section: Tuning,
    seed: int,
    score: Callable[[dict], float],
    fixed: Collection[str] = (),
) -> dict:
    """Searches until the best settings lie inside their ranges, or these are widened no more.

    The best are those of all searches. A search of a wider range may miss what one of a narrower
    range has found. Settings that are ``fixed`` by the configuration are not searched, as theirs
    would be used in place of what is found.
    """
    space = {
        name: found for name, found in methods.lookup(method).space.items() if name not in fixed
    }
    trials: list[Trial] = []
    widened: list[str] = []
    for times in range(section.widen + 1):
        trials += search(method, space, section.trials, seed, score)
        best = max(trials, key=lambda trial: trial["score"])["settings"]
        edges = at_edge(space, best)
        if not edges or times == section.widen:
            break
        widened += edges
        space = {name: found.widened(best[name]) for name, found in space.items()}
    ends = {name: [found.low, found.high] for name, found in space.items()}
    named = [{"settings": trial["settings"], "psnr": trial["score"]} for trial in trials]
    found = {"trials": named, "best": best, "at_edge": edges}
    return found | {"space": ends, "widened": widened}
