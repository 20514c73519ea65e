"""A study: the cases of a configuration, each computed once and kept, and the tables made of them.

The key of a case hashes all that its reconstruction depends on: volume, mask, settings, weights,
and the code and the libraries in use. Its scores have a key of their own, so that a new metric
needs no new reconstruction. What is written last is what counts, so a killed run loses at most the
case in hand.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict
from itertools import chain, product
from math import log, nan
from pathlib import Path
from typing import Any

import pandas as pd
from jaxtyping import Complex, Float
from torch import Tensor

from recon import methods, representations
from recon.files import alone, write_text
from recon.mri import masks
from recon.mri.prepared import Prepared
from recon.mri.problem import Problem
from recon.networks.precision import multiplies_bf16
from recon.progress import note
from recon.study import provenance
from recon.study.before import check_trained, how_long, minutes, untuned
from recon.study.cases import (
    Case,
    Counted,
    Stopwatch,
    magnitude_of,
    psnr_of,
    read_magnitude,
    scores_of,
    write_magnitude,
)
from recon.study.inputs import Inputs
from recon.study.memory import divided, fitting
from recon.study.use import hashed
from recon.versions import versions


class Study(Inputs):
    """The one object that notebooks and rules talk to."""

    def case(
        self,
        dataset: str,
        subject: str | int,
        acceleration: float,
        method: str,
        prior: str | None = None,
        tuned: dict | None = None,
        **changes: Any,
    ) -> Case:
        """A case with the settings of its method.

        They are ``changes``, else what the configuration says, else what was tuned, else the
        defaults. ``prior`` names the prior of a method that needs one. Without it, the matched
        prior of the dataset serves. ``tuned`` replaces what was tuned on validation volumes.
        """
        tuned = self.tuned(dataset, method, acceleration) if tuned is None else tuned
        chosen = tuned | self.config.given(dataset, method) | changes
        settings = asdict(methods.settings_of(method, **chosen))
        serving = {}
        for role, need in methods.lookup(method).needs.items():
            named = prior if need in methods.PRIORS else None
            serving[role] = named or self.config.matched(dataset, need, acceleration)
        return Case(dataset, str(subject), float(acceleration), method, settings, serving)

    def tuning(self, dataset: str, method: str) -> dict:
        """The record of a method's tuning, shipped or made here; empty where there is none."""
        dataset = self.config.tuned_as(dataset)
        shipped, path = self.config.tuning.shipped, self.tuning_path(dataset, method)
        if shipped:
            return json.loads((self.root / shipped).read_text()).get(dataset, {}).get(method, {})
        return json.loads(path.read_text()) if path.exists() else {}

    def tuned(self, dataset: str, method: str, acceleration: float) -> dict:
        """The tuned parameters of the nearest acceleration; empty where nothing was tuned."""
        best = self.tuning(dataset, method).get("best")
        if not best:
            return {}
        return best[min(best, key=lambda r: abs(log(float(r) / acceleration)))]

    def key(self, case: Case) -> str:
        """Hash of everything that the reconstruction of a case depends on."""
        parts = json.dumps(self.made_of(case), sort_keys=True)
        return hashlib.sha256(parts.encode()).hexdigest()[:20]

    def made_of(self, case: Case) -> dict:
        """Everything that the reconstruction of a case depends on: settings with their seed, and
        hashes.
        """
        networks = [self.config.networks[name] for name in case.networks.values()]
        mask = self.mask(case.dataset, case.subject, case.acceleration)
        # Networks run in bf16 wherever the processor can, and bf16 rounds otherwise.
        form = case.settings.get("representation")
        rounds = networks or (form and representations.lookup(form["kind"]).bf16)
        bf16 = multiplies_bf16(self.config.device) if rounds else None
        files = methods.files_of(case.method, case.settings)
        return {
            "method": case.method,
            "settings": case.settings,
            "volume": self.volume(case.dataset, case.subject).hash,
            "mask": hashlib.sha256(mask.numpy().tobytes()).hexdigest(),
            "maps": self.config.maps,
            "machine": [self.config.device, self.config.threads, bf16],
            "networks": {role: self.network_hash(name) for role, name in case.networks.items()},
            "code": provenance.reconstruction_code(case.method, case.settings, networks),
            **{key: provenance.file_hash(path) for key, path in files.items()},
        }

    def run(self, case: Case) -> dict:
        """The row of a case; what was computed before is read."""
        key, scan = self.key(case), self.volume(case.dataset, case.subject)
        scores = self._scores(key, scan, provenance.scoring_code())
        cost, kept = (self.case_path(key).with_suffix(s) for s in (".json", ".h5"))
        with self._alone(key):
            if not (cost.exists() and kept.exists()):
                magnitude, spent = self._reconstruct(case)
                made = self.made_of(case) | {"packages": versions()}
                write_text(cost, json.dumps(spent | {"made": made}))
                write_magnitude(kept, magnitude)
            if not scores.exists():
                write_text(scores, json.dumps(scores_of(read_magnitude(kept), scan)))
        found = json.loads(scores.read_text()) | json.loads(cost.read_text())
        found.pop("made", None)  # stands beside the volume, and is no number of the table
        return self._labels(case) | found | {"key": key}

    def computed(self, case: Case) -> bool:
        """Whether the reconstruction of a case is here."""
        path = self.case_path(self.key(case))
        return path.with_suffix(".json").exists() and path.with_suffix(".h5").exists()

    def trial(self, case: Case, wait: bool = True) -> float:
        """PSNR of a case that tuning tries, in dB; only this number of its result is kept.

        Without ``wait`` it is NaN where another process is at work on the case.
        """
        key, scan = self.key(case), self.volume(case.dataset, case.subject)
        score = self._scores(key, scan, provenance.trial_code())
        with self._alone(key, wait) as mine:
            if mine and not score.exists():
                psnr = psnr_of(self._reconstruct(case)[0], scan)
                write_text(score, json.dumps({"psnr": psnr}))
        return json.loads(score.read_text())["psnr"] if score.exists() else nan

    def _alone(self, key: str, wait: bool = True) -> AbstractContextManager[bool]:
        """The lock of a case: another process may be at work on it."""
        return alone(self.case_path(key).with_suffix(".lock"), wait)

    def _scores(self, key: str, scan: Prepared, code: str) -> Path:
        """Where the scores lie that some code computes of a case."""
        return self.scores_path(f"{key}-{hashed([scan.hash, code])[:12]}")

    def _labels(self, case: Case) -> dict:
        """What a row says of its case beside the result, as the configuration calls it now."""
        mask = self.mask(case.dataset, case.subject, case.acceleration)
        volume = self.volume(case.dataset, case.subject)
        network = next(iter(case.networks.values()), None)
        return {
            "dataset": case.dataset,
            "volume": case.subject,
            "method": case.method,
            "prior": network or "",
            "trained_at": self.trained_at(network),
            "dimension": self.config.networks[network].network.dimension if network else "",
            "voxel_factor": self.config.datasets[case.dataset].voxel_factor,
            "R": case.acceleration,
            "origin": volume.origin,
            "target": self._target(case.dataset, volume),
            "R_realised": masks.acceleration(mask & volume.mask),
        }

    def _target(self, dataset: str, volume: Prepared) -> str:
        """What the volumes of a dataset are compared with."""
        if volume.truth is not None:
            return "noise-free truth"
        own = self.config.datasets[dataset].split_noise
        return "reference with noise of its own" if own else "noisy reference"

    def _reconstruct(self, case: Case) -> tuple[Float[Tensor, "x y z"], dict]:
        """The magnitude of a case, and what it cost."""

        def work(problem: Problem, networks: dict, settings: dict) -> tuple[Tensor, dict]:
            networks, priors = counted(case.method, networks)
            with Stopwatch(self.config.device) as watch:
                magnitude = magnitude_of(problem, case.method, networks, settings)
            cost = {"seconds": watch.seconds, "peak_memory_mb": watch.megabytes}
            return magnitude, cost | {"denoised_slices": sum(prior.slices for prior in priors)}

        (magnitude, cost), divisor = self._fitting(case, work)
        return magnitude, cost | ({"chunks_divided_by": divisor} if divisor > 1 else {})

    def networks_of(self, case: Case) -> dict[str, Any]:
        """The networks of a case, by the argument of its method."""
        return {role: self.network(name) for role, name in case.networks.items()}

    def _fitting(self, case: Case, work: Callable[[Problem, dict, dict], Any]) -> tuple[Any, int]:
        """Work on the problem, networks and settings of a case, in chunks that fit into memory.

        The second value is by what the chunks were divided.
        """

        def posed(divisor: int) -> Any:
            if divisor > 1:
                self.forget()
            problem = self.problem(case.dataset, case.subject, case.acceleration)
            methods.check_problem(case.method, problem, case.settings)
            return work(*divided(problem, self.networks_of(case), case.settings, divisor))

        name = f"{case.method} on {case.dataset}/{case.subject} at R = {case.acceleration:g}"
        return fitting(name, posed)

    def trace(self, case: Case) -> pd.DataFrame:
        """PSNR after every iteration of a case against the number of slices denoised so far."""
        path = self.results / "traces" / f"{self.key(case)}.csv"
        if not path.exists():
            scan = self.volume(case.dataset, case.subject)

            def work(problem: Problem, networks: dict, settings: dict) -> list[dict]:
                networks, priors = counted(case.method, networks)
                rows = []

                def record(iteration: int, volume: Complex[Tensor, "x y z"]) -> None:
                    psnr = psnr_of(problem.unscale(volume).abs().cpu(), scan)
                    slices = sum(prior.slices for prior in priors)
                    rows.append({"iteration": iteration, "denoised_slices": slices, "psnr": psnr})

                magnitude_of(problem, case.method, networks, settings, record)
                return rows

            write_text(path, pd.DataFrame(self._fitting(case, work)[0]).to_csv(index=False))
        return pd.read_csv(path)

    def reconstruction(self, row: dict) -> Float[Tensor, "x y z"]:
        """The magnitude volume of a row, in the units of the reference."""
        return read_magnitude(self.case_path(row["key"]).with_suffix(".h5"))

    def cases(self, name: str, dataset: str, subject: str | int) -> list[tuple[Case, dict]]:
        """The cases of a comparison for one test subject, each with what is varied in it."""
        section, out = self.config.comparisons[name], []
        variations = [{key: v} for key, values in section.vary.items() for v in values] or [{}]
        own = self.config.accelerations_of(dataset)
        for acceleration in section.accelerations_for(dataset) or own:  # outermost: posed once
            for method in self.config.methods_in(name, dataset):
                found = methods.lookup(method)
                named = section.priors_for(dataset) if methods.takes_prior(method) else None
                takes = set(vars(found.settings()))
                for prior in named or [None]:
                    for change in (v for v in variations if set(v) <= takes):
                        at = dataset, acceleration, method, prior
                        typed = self.typed(dataset, method, change)
                        typed = self._chosen(at, typed, section.choose)
                        which = dataset, subject, acceleration, method, prior
                        tuned = self._settings(which, section.settings)
                        case = self.case(*which, tuned=tuned, **typed)
                        out.append((case, change))
        return out

    def typed(self, dataset: str, method: str, values: dict) -> dict:
        """Values of settings that a comparison varies, in the types that the method takes."""
        given = self.config.given(dataset, method)
        return {key: methods.varied(method, key, v, given) for key, v in values.items()}

    def _origin(self, name: str, case: Case) -> str:
        """Where the settings of a case of a comparison come from.

        These are defaults too where they are to be tuned, and nobody has done so.
        """
        said = self.config.comparisons[name].settings
        searched = said == "tuned" and methods.lookup(case.method).space
        return "defaults" if searched and not self.tuning(case.dataset, case.method) else said

    def _settings(self, which: tuple, origin: str) -> dict | None:
        """What takes the place of tuned settings in a comparison; None where nothing does."""
        if origin == "tuned":
            return None
        return self.chosen_on_scan(self.case(*which, tuned={})) if origin == "scan" else {}

    def chosen_on_scan(self, case: Case) -> dict:
        """The settings that are chosen on the scan of a case itself, without a reference."""
        from recon.methods import prediction  # Few studies choose so, and it imports slowly.

        key = hashed([self.key(case), provenance.choice_code()])[:20]
        path = self.results / "choices" / f"{key}.json"
        if not path.exists():
            fixed = self.config.given(case.dataset, case.method)

            def work(problem: Problem, networks: dict, settings: dict) -> prediction.Found:
                return prediction.choose(problem, case.method, networks, fixed=fixed)

            write_text(path, json.dumps(asdict(self._fitting(case, work)[0])))
        return json.loads(path.read_text())["settings"]

    def _chosen(
        self, at: tuple[str, float, str, str | None], change: dict, grid: dict[str, list]
    ) -> dict:
        """``change``, and of a grid of other settings those that do best with it.

        The best have the highest mean PSNR on the validation volumes that tuning has, ``at`` a
        dataset and R, with a method and prior.
        """
        dataset, acceleration, method, prior = at
        subjects, dataset = self.config.chosen_on(dataset), self.config.tuned_as(dataset)
        self.kept = max(self.kept, len(subjects) + 1)  # each trial poses the problems in turn

        points = [dict(zip(grid, point, strict=True)) for point in product(*grid.values())]
        tried = [change | self.typed(dataset, method, point) for point in points]
        if len(tried) == 1:
            return tried[0]
        asked = [
            [self.case(dataset, s, acceleration, method, prior, **values) for s in subjects]
            for values in tried
        ]
        for case in chain.from_iterable(asked):  # those first that no other process is at work on
            self.trial(case, wait=False)
        scores = [sum(map(self.trial, cases)) for cases in asked]
        return tried[scores.index(max(scores))]

    def announce(self, name: str) -> None:
        """Says what a user should know before the cases of a comparison are computed."""
        note(how_long(name, self.figures / f"{name}.csv", lambda: minutes(self, name)))
        if alone := untuned(self, name):
            which = ", ".join(alone)
            note(f"{name}: nobody has tuned {which}; so defaults are taken, as its table says")

    def comparison(self, name: str, pairs: list[tuple[str, str]] | None = None) -> pd.DataFrame:
        """The table of a comparison, for all of its (dataset, subject) pairs or those given.

        Its columns ``varied`` and ``value`` say what was changed, and ``chosen`` what was chosen
        for it on validation volumes. Where cases are to be computed, it says how long all of them
        take. Its ``attrs`` have the labels of the datasets, for titles.
        """
        rows, grid, told = [], self.config.comparisons[name].choose, False
        if pairs is None:  # not one job of a run, whose networks were made for it
            check_trained(self, name)
        for dataset, subject in pairs or self.config.compared(name):
            for case, change in self.cases(name, dataset, subject):
                if pairs is None and not told and not self.computed(case):
                    self.announce(name)
                    told = True
                varied, value = next(iter(change.items()), ("", float("nan")))
                chosen = ", ".join(said(key, case.settings[key], grid[key]) for key in grid)
                about = {"varied": varied, "value": value, "chosen": chosen}
                about["settings"] = self._origin(name, case)
                rows.append(self.run(case) | about)
        table = pd.DataFrame(rows)
        table.attrs["labels"] = {name: d.label for name, d in self.config.datasets.items()}
        return table


def said(setting: str, value: Any, grid: list) -> str:
    """A chosen value in words, which tell whether better ones may lie beyond the edge of its grid.

    None lie below zero.
    """
    ordered = len(grid) > 2 and all(isinstance(v, (int, float)) for v in grid)
    beyond = ordered and value in (min(grid), max(grid)) and value != 0
    return f"{setting} = {value}" + " (edge)" * beyond


def counted(
    method: str, networks: dict[str, Any], by: type[Counted] = Counted
) -> tuple[dict[str, Any], list[Counted]]:
    """The networks of a method, of which the priors count what they denoise, as ``by`` counts."""
    needs = methods.lookup(method).needs
    priors = {r: by(found) for r, found in networks.items() if needs[r] in methods.PRIORS}
    return networks | priors, list(priors.values())
