"""Cases: one volume, one mask, one method, one set of parameters. Each is computed once and kept.

A case's key is the hash of everything its result depends on: the volume's contents, the mask, the settings, the prior's
weights and the source of the code that runs. Its row is written last, so a killed run loses at most the case in hand.
"""

import ast
import fcntl
import hashlib
import json
import os
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recon import masks, methods, metrics, phantoms, registry
from recon.config import REGISTERED, ROOT, Config, Dataset, imported, sources
from recon.data import coarser, fingerprint, open_scan
from recon.data.prepare import Prepared, load, prepare, problem
from recon.diffusion import DDPM, load_weights, multiplies_bf16
from recon.errors import ReconError
from recon.sense import Problem

ASKED = {"mask", "accelerations", "prior"}  # keys of a dataset that its cases depend on, but its prepared volumes do not
CHOICES = {"label", *registry.SPLITS, *ASKED}  # all that its volumes do not depend on


@dataclass(frozen=True)
class Case:
    """What identifies one reconstruction."""

    dataset: str
    subject: str
    acceleration: float
    method: str
    settings: dict
    prior: str | None = None  # name in the configuration


class Counted:
    """A prior that counts how many slices it has denoised: the cost that methods are compared by."""

    def __init__(self, prior: DDPM):
        self.prior, self.slices = prior, 0

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """Passes on to the prior."""
        self.slices += len(x)
        return self.prior.denoise(x, sigma)

    def sigma(self, t: float) -> float:
        """Passes on to the prior."""
        return self.prior.sigma(t)


class Study:
    """A configuration and the folder its results live in: the one object that notebooks and rules talk to."""

    def __init__(self, config: Config, root: Path = ROOT):
        self.config, self.root = config, Path(root)
        torch.set_num_threads(config.threads)
        self._posed: tuple = (None, None)
        self.opened: dict[str, dict[str, str]] = {"volumes": {}, "priors": {}}  # hashes of all that was used, for the sidecars
        self.results = self.root / "results" / config.name
        self.figures = self.root / "figures" / config.name

    def data_path(self, dataset: str, subject: str | int) -> Path:
        """Where a prepared volume lies."""
        return self.results / "data" / dataset / f"{subject}.h5"

    def prior_path(self, prior: str) -> Path:
        """Where the weights of a prior lie: as shipped, or as trained here."""
        shipped = self.config.priors[prior].shipped
        return self.root / shipped if shipped else self.results / "priors" / f"{prior}.safetensors"

    def tuning_path(self, dataset: str, method: str) -> Path:
        """Where the record of a method's tuning lies, unless it is shipped."""
        return self.results / "tuning" / dataset / f"{method}.json"

    def prepare(self, dataset: str, subject: str | int) -> Path:
        """Prepares one volume; of a training volume only the reference is kept."""
        path, section = self.data_path(dataset, subject), self.config.datasets[dataset]
        training = str(subject) in map(str, section.train)
        prepare(open_scan(section, subject), path, provenance(section, subject), section.virtual_coils, reference_only=training)
        return path

    def volume(self, dataset: str, subject: str | int, reference_only: bool = False) -> Prepared:
        """A prepared volume, preparing it first where that has not been done; see `recon.data.prepare.load`."""
        path = self.data_path(dataset, subject)
        if not made_from(path, self.config.datasets[dataset], subject):
            self.prepare(dataset, subject)
        found = _load(path, path.stat().st_mtime_ns, reference_only)
        self.opened["volumes"][f"{dataset}/{subject}"] = found.hash
        return found

    def looks(self) -> dict[str, Prepared]:
        """One volume of every dataset that is here: the configuration's own, the built-in phantoms, and what lies below DATA_ROOT.

        Of the last, coarse ones: along no axis more than 96 voxels.
        """
        sections = self.config.datasets
        found = {name: self.volume(name, section.test[0]) for name, section in sections.items()}
        shape = next((section.shape for section in sections.values() if section.shape), (64, 80, 80))
        for anatomy in (a for a in phantoms.ANATOMIES if a not in [section.anatomy for section in sections.values()]):
            section = Dataset(kind="phantom", label=anatomy, anatomy=anatomy, shape=shape, train=[], validation=[100], test=[200])
            found[f"{anatomy} (built in)"] = self._look(anatomy, section, 200)
        for name in (n for n in REGISTERED if n not in [section.kind for section in sections.values()]):
            for subject in registry.here(name)[:1]:
                section = Dataset(kind=name, label=name, train=[], validation=[], test=[subject])
                try:
                    found[name] = self._look(name, section, subject)
                except ReconError as error:  # a stray file of a set that nobody asked for
                    print(f"{name} is left out: {error}")
        return found

    def _look(self, name: str, section: Dataset, subject: str | int) -> Prepared:
        path = self.results / "looks" / f"{name}-{subject}.h5"
        if not made_from(path, section, subject):
            scan = open_scan(section, subject)
            prepare(coarser(scan, tuple(max(1.0, n / 96) for n in scan.shape)), path, provenance(section, subject))
        found = load(path)
        self.opened["volumes"][f"{name}/{subject}"] = found.hash
        return found

    def prior_hash(self, name: str) -> str:
        """Hash of a prior's weights."""
        self.opened["priors"][name] = file_hash(self.prior_path(name))
        return self.opened["priors"][name]

    def prior(self, name: str) -> DDPM:
        """A trained prior, on the configured device."""
        self.prior_hash(name)
        return _load_prior(self.prior_path(name)).to(self.config.device)

    def trained_at(self, prior: str | None) -> str:
        """The voxel factor of the data a prior was trained on, or "diverse" and whether a part was held out; empty without a prior."""
        if prior is None:
            return ""
        section = self.config.priors[prior]
        factor = self.config.datasets[section.dataset].voxel_factor
        if section.factors:
            return "diverse, part held out" if section.held_out else "diverse"
        return "×".join(f"{f:g}" for f in (factor if isinstance(factor, tuple) else (factor,)))

    def mask(self, dataset: str, subject: str | int, acceleration: float) -> Tensor:
        """The mask of one subject; every subject has its own."""
        section, shape = self.config.mask_of(dataset), tuple(self.volume(dataset, subject).mask.shape)
        return masks.make(section.kind, shape, acceleration, section.calibration, section.seed + zlib.crc32(str(subject).encode()))

    def problem(self, dataset: str, subject: str | int, acceleration: float) -> Problem:
        """The undersampled scan of one subject; the last one asked for is kept."""
        asked = (dataset, str(subject), float(acceleration))
        if self._posed[0] != asked:
            mask = self.mask(dataset, subject, acceleration)
            self._posed = asked, problem(self.volume(dataset, subject), mask, self.config.maps).to(self.config.device)
        return self._posed[1]

    def case(self, dataset: str, subject: str | int, acceleration: float, method: str, prior: str | None = None, **changes) -> Case:
        """A case with the tuned parameters of its method, the configuration's own settings and ``changes``, in rising precedence.

        Without ``prior`` it has the dataset's matched one.
        """
        chosen = self.tuned(dataset, method, acceleration) | self.config.methods.get(method, {}) | changes
        settings = asdict(methods.settings(method, **chosen))
        chosen_prior = (prior or self.config.prior_of(dataset)) if methods.lookup(method).needs_prior else None
        return Case(dataset, str(subject), float(acceleration), method, settings, chosen_prior)

    def tuning(self, dataset: str, method: str) -> dict:
        """The record of a method's tuning, as shipped or as made here; empty where there is none."""
        shipped, path = self.config.tuning.shipped, self.tuning_path(dataset, method)
        if shipped:
            return json.loads((self.root / shipped).read_text()).get(dataset, {}).get(method, {})
        return json.loads(path.read_text()) if path.exists() else {}

    def tuned(self, dataset: str, method: str, acceleration: float) -> dict:
        """The parameters chosen on validation volumes at the nearest tuned acceleration; empty where nothing was tuned."""
        best = self.tuning(dataset, method).get("best")
        if not best:
            return {}
        nearest = min(best, key=lambda r: abs(np.log(float(r) / acceleration)))
        return best[nearest]

    def key(self, case: Case) -> str:
        """Hash of everything the result of a case depends on; networks run in bf16, which rounds otherwise, wherever the processor can."""
        parts = {
            "case": asdict(case),
            "volume": self.volume(case.dataset, case.subject).hash,
            "mask": hashlib.sha256(self.mask(case.dataset, case.subject, case.acceleration).numpy().tobytes()).hexdigest(),
            "maps": self.config.maps,
            "machine": [self.config.device, self.config.threads] + ([] if multiplies_bf16(self.config.device) else ["float32"]),
            "prior": self.prior_hash(case.prior) if case.prior else None,
            "code": code_hash(*code_of(case.method)),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:20]

    def run(self, case: Case, keep_volume: bool = True) -> dict:
        """The row of a case, from disk where it was computed before."""
        stem = self.results / "cases" / self.key(case)
        row_file, volume_file = stem.with_suffix(".json"), stem.with_suffix(".h5")
        stem.parent.mkdir(parents=True, exist_ok=True)
        with alone(stem.with_suffix(".lock")):  # another process may be at it
            if not row_file.exists() or (keep_volume and not volume_file.exists()):
                scores, magnitude = self._compute(case)
                if keep_volume:
                    _write_volume(volume_file, magnitude)
                write_text(row_file, json.dumps(self._labels(case) | scores | {"key": stem.name}))
        labels = self._labels(case)  # they may have changed since
        return labels | json.loads(row_file.read_text()) | labels | {"key": stem.name}

    def _labels(self, case: Case) -> dict:
        """What a row says of its case beside the result; computed anew at every reading, so that it follows the configuration."""
        return {
            "dataset": case.dataset,
            "volume": case.subject,
            "method": case.method,
            "prior": case.prior or "",
            "trained_at": self.trained_at(case.prior),
            "voxel_factor": self.config.datasets[case.dataset].voxel_factor,
            "R": case.acceleration,
        }

    def _compute(self, case: Case) -> tuple[dict, Tensor]:
        task = self.problem(case.dataset, case.subject, case.acceleration)
        prior = Counted(self.prior(case.prior)) if case.prior else None
        with Stopwatch(self.config.device) as watch:
            volume = methods.reconstruct(task, case.method, prior, **case.settings)
        magnitude = task.unscale(volume).abs().cpu()
        truth = self.volume(case.dataset, case.subject)
        scores = metrics.all_metrics(magnitude, truth.reference.abs())
        scores["psnr_support"] = metrics.psnr(magnitude, truth.reference.abs(), truth.support)
        scores["psnr_truth"] = metrics.psnr(magnitude, truth.truth.abs()) if truth.truth is not None else float("nan")
        about = {"origin": truth.origin, "R_realised": masks.acceleration(task.operator.mask)}
        cost = {"seconds": watch.seconds, "peak_memory_mb": watch.megabytes, "denoised_slices": prior.slices if prior else 0}
        return about | scores | cost, magnitude

    def trace(self, case: Case) -> pd.DataFrame:
        """PSNR after every iteration of a case against the number of slices denoised so far."""
        path = self.results / "traces" / f"{self.key(case)}.csv"
        if not path.exists():
            task = self.problem(case.dataset, case.subject, case.acceleration)
            truth = self.volume(case.dataset, case.subject).reference.abs()
            prior, rows = Counted(self.prior(case.prior)), []

            def record(iteration: int, volume: Tensor) -> None:
                psnr = metrics.psnr(task.unscale(volume).abs().cpu(), truth)
                rows.append({"iteration": iteration, "denoised_slices": prior.slices, "psnr": psnr})

            methods.reconstruct(task, case.method, prior, record, **case.settings)
            write_text(path, pd.DataFrame(rows).to_csv(index=False))
        return pd.read_csv(path)

    def convergence(self, dataset: str, acceleration: float) -> pd.DataFrame:
        """Traces of the variational objective's solvers and schedules on the first test subject."""
        subject = self.config.datasets[dataset].test[0]
        variants = {
            "Adam, uniform t (paper)": ("variational", {}),
            "Adam, annealed t (not tuned)": ("variational", {"schedule": "annealed", "t_max": 200.0, "t_min": 4.0}),
            "annealed t, CG data step (ours)": ("annealed", {}),
        }
        traces = []
        for label, (method, changes) in variants.items():
            if method in self.config.methods and self.config.prior_of(dataset):
                found = self.trace(self.case(dataset, subject, acceleration, method, **changes))
                traces.append(found.assign(dataset=dataset, R=acceleration, solver=label))
        return pd.concat(traces, ignore_index=True) if traces else pd.DataFrame()

    def reconstruction(self, row: dict) -> Tensor:
        """The magnitude volume of a row, in the units of the reference."""
        with h5py.File(self.results / "cases" / f"{row['key']}.h5") as file:
            return torch.from_numpy(file["magnitude"][()].astype(np.float32)) * float(file.attrs["scale"])

    def cases(self, name: str, dataset: str, subject: str | int) -> list[tuple[Case, dict]]:
        """The cases of a comparison for one test subject, each with what is varied in it."""
        section, out = self.config.comparisons[name], []
        variations = [{key: value} for key, values in section.vary.items() for value in values] or [{}]
        for acceleration in section.accelerations_for(dataset) or self.config.accelerations_of(dataset):  # outermost: posed once
            for method in section.methods or self.config.methods:
                found = methods.lookup(method)
                for prior in (section.priors_for(dataset) if found.needs_prior else None) or [None]:
                    for change in (v for v in variations if set(v) <= set(vars(found.settings()))):
                        typed = {key: methods.varied(method, key, value) for key, value in change.items()}
                        out.append((self.case(dataset, subject, acceleration, method, prior, **typed), change))
        return out

    def comparison(self, name: str, pairs: list[tuple[str, str]] | None = None) -> pd.DataFrame:
        """The table of a comparison, for all of its (dataset, subject) pairs or those given; ``varied`` and ``value`` say what changed."""
        rows = []
        for dataset, subject in pairs or self.config.compared(name):
            for case, change in self.cases(name, dataset, subject):
                varied, value = next(iter(change.items()), ("", float("nan")))
                rows.append(self.run(case) | {"varied": varied, "value": value})
        return pd.DataFrame(rows)


class Stopwatch:
    """Wall time and peak memory of a block: of the GPU where it runs there, else of the process."""

    def __init__(self, device: str):
        self.device = device

    def __enter__(self):
        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        elif Path("/proc/self/clear_refs").exists():
            Path("/proc/self/clear_refs").write_text("5")  # resets the process's high-water mark
        self.begun = time.perf_counter()
        return self

    def __exit__(self, *_):
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
            self.megabytes = torch.cuda.max_memory_allocated() / 1e6
        else:
            status = Path("/proc/self/status")
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
            self.megabytes = int(found[1]) / 1e3 if found else float("nan")
        self.seconds = time.perf_counter() - self.begun


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds a lock: of two processes that need the same case, the second waits for the result of the first."""
    with path.open("a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    registry.write_whole(path, text)


def provenance(section: Dataset, subject: str | int) -> dict:
    """What a prepared volume follows from: its dataset's settings, the file it was read from, and the code that did it."""
    settings = section.model_dump(mode="json", exclude=CHOICES)
    code = code_hash("data", "io", "phantoms", "coils", "fourier", "resample")
    return {"dataset": settings, "subject": str(subject), "source": fingerprint(section, subject), "code": code}


def made_from(path: Path, section: Dataset, subject: str | int) -> bool:
    """Whether a prepared volume follows from these settings and this file. (Code is left to the workflow, which sees what was edited.)"""
    try:
        with h5py.File(path) as file:
            stored = json.loads(file.attrs["provenance"])
    except (OSError, KeyError, ValueError):
        return False
    return all(stored.get(key) == value for key, value in provenance(section, subject).items() if key != "code")


def _write_volume(path: Path, magnitude: Tensor) -> None:
    scale = float(magnitude.max())
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with h5py.File(part, "w") as file:
        file["magnitude"] = (magnitude / scale).numpy().astype(np.float16)
        file.attrs["scale"] = scale
    os.replace(part, path)


@lru_cache(maxsize=2)
def _load(path: Path, written: int, reference_only: bool) -> Prepared:
    return load(path, reference_only)


@lru_cache(maxsize=2)
def _load_prior(path: Path) -> DDPM:
    return load_weights(path)[0]


@lru_cache
def code_of(method: str) -> list[str]:
    """The modules whose change makes the cases of a method stale: its own, what undersamples and scores, and all that these import."""
    return imported(methods.lookup(method).module, "data/prepare", "masks", "metrics")


@lru_cache
def code_hash(*modules: str) -> str:
    """Hash of what some modules do: of their source without comments, docstrings and layout, whose change makes no result stale."""
    return hashlib.sha256("".join(_instructions(f.read_text()) for f in sources(*modules)).encode()).hexdigest()[:16]


def _instructions(source: str) -> str:
    """The syntax tree of a Python file without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.dump(tree)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, shortened; a missing file is named."""
    if not path.exists():
        raise ReconError(f"{path}: no such file; run the workflow (make figures) or train the prior first")
    return registry.digest(path)[:16]
