"""A study: the cases of a configuration, each computed once and kept, and the tables made of them.

The key of a case hashes all that its reconstruction depends on: volume, mask, settings, weights,
and the code and the libraries in use. Its scores have a key of their own, so that a new metric
needs no new reconstruction. What is written last is what counts, so a killed run loses at most the
case in hand.
"""

import hashlib
import json
from dataclasses import asdict
from math import log

import pandas as pd
from torch import Tensor

from recon import methods
from recon.files import alone, write_text
from recon.methods import Method
from recon.mri import masks, metrics
from recon.priors.denoiser import multiplies_bf16
from recon.study import provenance
from recon.study.cases import (
    Case,
    Counted,
    Stopwatch,
    magnitude_of,
    read_magnitude,
    scores_of,
    write_magnitude,
)
from recon.study.inputs import Inputs


class Study(Inputs):
    """The one object that notebooks and rules talk to."""

    def case(
        self,
        dataset: str,
        subject: str | int,
        acceleration: float,
        method: str,
        prior: str | None = None,
        **changes,
    ) -> Case:
        """A case with the tuned parameters of its method, the configuration's settings and
        ``changes``, the last ones first.

        ``prior`` names the network that serves the method; without it, it is the dataset's matched
        one.
        """
        chosen = (
            self.tuned(dataset, method, acceleration)
            | self.config.methods.get(method, {})
            | changes
        )
        settings = asdict(methods.settings_of(method, **chosen))
        return Case(
            dataset,
            str(subject),
            float(acceleration),
            method,
            settings,
            self._serving(methods.lookup(method), dataset, prior),
        )

    def _serving(self, method: Method, dataset: str, name: str | None) -> dict[str, str]:
        """The network for each need of a method."""
        return {
            role: name or self.config.matched(dataset, need) for role, need in method.needs.items()
        }

    def tuning(self, dataset: str, method: str) -> dict:
        """The record of a method's tuning, as shipped or as made here; empty where there is none."""
        shipped, path = self.config.tuning.shipped, self.tuning_path(dataset, method)
        if shipped:
            return json.loads((self.root / shipped).read_text()).get(dataset, {}).get(method, {})
        return json.loads(path.read_text()) if path.exists() else {}

    def tuned(self, dataset: str, method: str, acceleration: float) -> dict:
        """The parameters chosen on validation volumes at the nearest tuned acceleration; empty
        where nothing was tuned.
        """
        best = self.tuning(dataset, method).get("best")
        if not best:
            return {}
        return best[min(best, key=lambda r: abs(log(float(r) / acceleration)))]

    def key(self, case: Case) -> str:
        """Hash of everything that the reconstruction of a case depends on.

        Networks run in bf16, which rounds otherwise, wherever the processor can.
        """
        config, sections = (
            self.config,
            [self.config.networks[name] for name in case.networks.values()],
        )
        mask = self.mask(case.dataset, case.subject, case.acceleration)
        parts = {
            "method": case.method,
            "settings": case.settings,
            "volume": self.volume(case.dataset, case.subject).hash,
            "mask": hashlib.sha256(mask.numpy().tobytes()).hexdigest(),
            "maps": config.maps,
            "machine": [
                config.device,
                config.threads,
                multiplies_bf16(config.device) if sections else None,
            ],
            "networks": {role: self.network_hash(name) for role, name in case.networks.items()},
            "code": provenance.reconstruction_code(case.method, case.settings, sections),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]

    def run(self, case: Case, keep_volume: bool = True) -> dict:
        """The row of a case; what was computed before is read."""
        key = self.key(case)
        stem, scan = self.case_path(key), self.volume(case.dataset, case.subject)
        score_key = f"{key}-{hashlib.sha256(f'{scan.hash} {provenance.scoring_code()}'.encode()).hexdigest()[:12]}"
        scores, cost, kept = (
            self.scores_path(score_key),
            stem.with_suffix(".json"),
            stem.with_suffix(".h5"),
        )
        with alone(stem.with_suffix(".lock")):  # another process may be at it
            if not (scores.exists() and cost.exists()) or (keep_volume and not kept.exists()):
                if kept.exists() and cost.exists():
                    magnitude = read_magnitude(kept)
                else:
                    magnitude, spent = self._reconstruct(case)
                    write_text(cost, json.dumps(spent))
                    if keep_volume:
                        write_magnitude(kept, magnitude)
                write_text(scores, json.dumps(scores_of(magnitude, scan)))
        return (
            self._labels(case)
            | json.loads(scores.read_text())
            | json.loads(cost.read_text())
            | {"key": key}
        )

    def _labels(self, case: Case) -> dict:
        """What a row says of its case beside the result, as the configuration calls it now."""
        mask = self.mask(case.dataset, case.subject, case.acceleration)
        volume, served = (
            self.volume(case.dataset, case.subject),
            next(iter(case.networks.values()), None),
        )
        return {
            "dataset": case.dataset,
            "volume": case.subject,
            "method": case.method,
            "prior": served or "",
            "trained_at": self.trained_at(served),
            "voxel_factor": self.config.datasets[case.dataset].voxel_factor,
            "R": case.acceleration,
            "origin": volume.origin,
            "R_realised": masks.acceleration(mask & volume.mask),
        }

    def _reconstruct(self, case: Case) -> tuple[Tensor, dict]:
        """The magnitude of a case, and what it cost."""
        problem = self.problem(case.dataset, case.subject, case.acceleration)
        networks, counted = self._opened(case)
        with Stopwatch(self.config.device) as watch:
            magnitude = magnitude_of(problem, case.method, networks, case.settings)
        slices = sum(prior.slices for prior in counted)
        return magnitude, {
            "seconds": watch.seconds,
            "peak_memory_mb": watch.megabytes,
            "denoised_slices": slices,
        }

    def _opened(self, case: Case) -> tuple[dict, list[Counted]]:
        """The networks of a case by role; priors count what they denoise."""
        networks = {role: self.network(name) for role, name in case.networks.items()}
        needs = methods.lookup(case.method).needs
        networks |= {
            role: Counted(found) for role, found in networks.items() if needs[role] == "denoiser"
        }
        return networks, [found for found in networks.values() if isinstance(found, Counted)]

    def trace(self, case: Case) -> pd.DataFrame:
        """PSNR after every iteration of a case against the number of slices denoised so far."""
        path = self.results / "traces" / f"{self.key(case)}.csv"
        if not path.exists():
            problem = self.problem(case.dataset, case.subject, case.acceleration)
            reference = self.volume(case.dataset, case.subject).reference.abs()
            networks, counted = self._opened(case)
            rows = []

            def record(iteration: int, volume: Tensor) -> None:
                score = metrics.psnr(problem.unscale(volume).abs().cpu(), reference)
                rows.append(
                    {
                        "iteration": iteration,
                        "denoised_slices": sum(p.slices for p in counted),
                        "psnr": score,
                    }
                )

            magnitude_of(problem, case.method, networks, case.settings, record)
            write_text(path, pd.DataFrame(rows).to_csv(index=False))
        return pd.read_csv(path)

    def reconstruction(self, row: dict) -> Tensor:
        """The magnitude volume of a row, in the units of the reference."""
        return read_magnitude(self.case_path(row["key"]).with_suffix(".h5"))

    def cases(self, name: str, dataset: str, subject: str | int) -> list[tuple[Case, dict]]:
        """The cases of a comparison for one test subject, each with what is varied in it."""
        section, out = self.config.comparisons[name], []
        variations = [{key: value} for key, values in section.vary.items() for value in values] or [
            {}
        ]
        # posed once
        for acceleration in section.accelerations_for(dataset) or self.config.accelerations_of(
            dataset
        ):
            for method in section.methods or self.config.methods:
                found = methods.lookup(method)
                takes_prior = "denoiser" in found.needs.values()
                for prior in (section.priors_for(dataset) if takes_prior else None) or [None]:
                    for change in (v for v in variations if set(v) <= set(vars(found.settings()))):
                        typed = {
                            key: methods.varied(method, key, value) for key, value in change.items()
                        }
                        out.append(
                            (
                                self.case(dataset, subject, acceleration, method, prior, **typed),
                                change,
                            )
                        )
        return out

    def comparison(self, name: str, pairs: list[tuple[str, str]] | None = None) -> pd.DataFrame:
        """The table of a comparison, for all of its (dataset, subject) pairs or those given.

        Its columns ``varied`` and ``value`` say what was changed.
        """
        rows = []
        for dataset, subject in pairs or self.config.compared(name):
            for case, change in self.cases(name, dataset, subject):
                varied, value = next(iter(change.items()), ("", float("nan")))
                rows.append(self.run(case) | {"varied": varied, "value": value})
        return pd.DataFrame(rows)
