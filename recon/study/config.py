"""The configuration of a run and its schema, which refuses unknown keys and impossible values."""

import math
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from recon import methods
from recon.data.section import Dataset
from recon.download import registry
from recon.errors import ReconError
from recon.mri.masks import Mask
from recon.networks import trained
from recon.networks.trained import AnyTraining, Training
from recon.schema import ROOT, Name, Seed, Strict, read_yaml, validated
from recon.training import batches

CONFIGS = ROOT / "workflow" / "config"


class Tuning(Strict):
    """How every method's parameters are chosen: by the same number of trials on validation volumes.

    The trials are repeated at each acceleration. A trial that falls behind on the first volume is
    not run on the others; see `recon.study.tuning.race`.
    """

    # A finished tuning file, relative to the repository. Null runs the tuning.
    shipped: str | None = None
    # Null: every acceleration at which a comparison runs the method.
    accelerations: list[float] | None = None
    trials: int = Field(24, ge=1)
    # How many validation volumes. Where the configuration does not say it and a dataset has fewer,
    # those that it has.
    subjects: int = Field(2, ge=1)
    # How far behind the best a trial may fall on the first volume, in dB. It needs two subjects.
    margin: float = Field(1.0, gt=0)
    widen: int = Field(2, ge=0)  # how often a range is widened whose edge was chosen
    # What follows when the edge is still chosen then: the tuning fails, or its record says so.
    edges: Literal["refuse", "report"] = "refuse"


class Comparison(Strict):
    """A table of cases: every method on every test volume, at every acceleration.

    It may also have several priors, or vary a setting. Its name starts with the number of the
    notebook that shows it.
    """

    datasets: list[str] | None = None  # null: all of the configuration
    volumes: int | None = Field(None, ge=1)  # the first test volumes of each; null: all
    # One list for all datasets, or one for each. Null: all of the configuration.
    methods: list[str] | dict[str, list[str]] | None = None
    # Likewise. Null: what each dataset says itself.
    accelerations: list[float] | dict[str, list[float]] | None = None
    # Likewise. Null: the matched prior of each dataset.
    priors: list[str] | dict[str, list[str]] | None = None
    # A setting, and the values that it takes in turn. All others are as tuned.
    vary: dict[str, list[float | str]] = {}
    # Settings, and values of which the best are chosen on the validation volumes, anew for each
    # varied value.
    choose: dict[str, list[float | str]] = {}
    # Where the other settings come from: tuned on validation volumes against their references,
    # chosen on each test scan itself (see `recon.methods.prediction`), or the methods' defaults.
    settings: Literal["tuned", "scan", "defaults"] = "tuned"

    def methods_for(self, dataset: str) -> list[str] | None:
        """The methods named for ``dataset``; None for all of the configuration."""
        return part_for(self.methods, dataset)

    def accelerations_for(self, dataset: str) -> list[float] | None:
        """The accelerations named for ``dataset``; None for its own."""
        return part_for(self.accelerations, dataset)

    def priors_for(self, dataset: str) -> list[str] | None:
        """The priors that stand side by side on ``dataset``; None for its matched one."""
        return part_for(self.priors, dataset)


class Config(Strict):
    """A whole workflow run."""

    name: Name
    title: str
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    # Threads of torch. Sums depend on their number in the last bit.
    threads: int = Field(2, ge=1, le=1024)
    # Processes that train a network together, in their shares of its batches. On "cuda" each has a
    # GPU of its own. Results do not depend on their number, up to rounding.
    processes: int = Field(1, ge=1, le=1024)
    seed: Seed = 0
    datasets: dict[Name, Dataset]
    networks: dict[Name, AnyTraining] = {}  # trained networks: diffusion priors and others
    mask: Mask = Mask()
    # Sensitivity maps from the centre of the undersampled data, or from all data.
    maps: Literal["calibration", "full"] = "calibration"
    accelerations: list[float] = Field([4.0, 8.0, 12.0, 16.0], min_length=1)
    methods: dict[str, dict] = {}  # methods to compare, with settings that are not tuned
    tuning: Tuning = Tuning()
    notebooks: list[Name] = []
    comparisons: dict[Name, Comparison] = {"10_methods_without_shift": Comparison()}

    @model_validator(mode="before")
    @classmethod
    def _inherited(cls, values):
        """``like: NAME`` takes over what the dataset NAME says; the keys beside it are changes."""
        if not isinstance(values, dict) or not isinstance(values.get("datasets"), dict):
            return values
        datasets = values["datasets"]
        return values | {"datasets": {name: _resolved(name, datasets) for name in datasets}}

    @field_validator("methods", mode="before")
    @classmethod
    def _unset(cls, methods):
        """A setting of a method that is null is none; so what ``like`` brings in can be undone."""
        if not isinstance(methods, dict):
            return methods
        return {
            name: {k: v for k, v in values.items() if v is not None}
            if isinstance(values, dict)
            else values
            for name, values in methods.items()
        }

    @model_validator(mode="after")
    def _references(self):
        if self.processes > 1 and ":" in self.device:
            named = f"device {self.device} is one GPU"
            raise ValueError(f"{named}, and processes is {self.processes}; write 'device: cuda'")
        for name, comparison in self.comparisons.items():
            parts = comparison.methods, comparison.accelerations, comparison.priors
            by_dataset = [key for part in parts if isinstance(part, dict) for key in part]
            datasets = [*(comparison.datasets or []), *by_dataset]
            named = datasets, flat(comparison.methods), flat(comparison.priors)
            for (kind, known), wanted in zip(self._named().items(), named, strict=True):
                for missing in (w for w in wanted or [] if w not in known):
                    unknown = f"comparison {name} names {missing!r}"
                    raise ValueError(f"{unknown}, which is not under {kind}")
        for name, network in self.networks.items():
            if network.dataset not in self.datasets:
                unknown = f"network {name} names the dataset {network.dataset!r}"
                raise ValueError(f"{unknown}, which is not under datasets")
            self._shared(name, network)
            self._begun(name, network)
        sections = (*self.comparisons.values(), *self.datasets.values())
        compared = [r for section in sections for r in flat(section.accelerations)]
        tuned = self.tuning.accelerations or []
        if any(r < 1 for r in self.accelerations + tuned + compared):
            raise ValueError("accelerations must be at least 1")
        for name, dataset in self.datasets.items():
            if dataset.prior is not None and dataset.prior not in self.networks:
                unknown = f"dataset {name} names the prior {dataset.prior!r}"
                raise ValueError(f"{unknown}, which is not under networks")
            for method in dataset.settings:
                if method not in self.methods:
                    unknown = f"dataset {name} has settings of {method!r}"
                    raise ValueError(f"{unknown}, which is not under methods")
            self._lenders(name, dataset)
            stated = "subjects" in self.tuning.model_fields_set
            tuned = dataset.settings_of is None
            if stated and tuned and self.tuning.subjects > len(dataset.validation):
                there = f"dataset {name} has {len(dataset.validation)} for validation"
                raise ValueError(f"tuning.subjects is {self.tuning.subjects}, but {there}")
        return self

    def _lenders(self, name: str, dataset: Dataset) -> None:
        """Refuses a dataset that takes networks or settings of none, or of one that takes them."""
        for key in ("networks_of", "settings_of"):
            lender, seen = getattr(dataset, key), [name]
            while lender is not None:
                if lender not in self.datasets or lender in seen:
                    wrong = f"dataset {name}: {key} leads to {lender!r}"
                    raise ValueError(f"{wrong}, which is not under datasets, or to itself")
                seen.append(lender)
                lender = getattr(self.datasets[lender], key)
            if key == "settings_of" and len(seen) > 2:
                raise ValueError(f"dataset {name}: settings_of names one that is not tuned itself")

    def _shared(self, name: str, network: Training) -> None:
        """Refuses a network that cannot use the weights of the one that it names."""
        if network.weights_of is None:
            return
        owner = self.networks.get(network.weights_of)
        if owner is None or owner.weights_of or network.shipped:
            own = "which is not under networks or has no weights of its own"
            raise ValueError(f"network {name}: weights_of is {network.weights_of!r}, {own}")
        if owner.network.model_copy(update=network.network.use()) != network.network:
            free = ", ".join(network.network.free) or "none"
            unlike = f"network {name} is built otherwise than {network.weights_of}, whose weights"
            raise ValueError(f"{unlike} it uses; free settings: {free}")

    def _begun(self, name: str, network: Training) -> None:
        """Refuses a network whose training goes on from itself or from a later one."""
        start, order = network.starts_from, list(self.networks)
        if start in order[order.index(name) :]:
            late = f"network {name}: starts_from is {start!r}, which does not stand before it"
            raise ValueError(late)

    def _named(self) -> dict[str, dict]:
        return {"datasets": self.datasets, "methods": self.methods, "networks": self.networks}

    def processes_for(self, network: str) -> int:
        """How many processes train a network: one where they cannot share its batches."""
        separable = trained.lookup(self.networks[network].kind).separable
        return self.processes if separable else 1

    def check_inputs(self) -> None:
        """Refuses, before any work, data folders and shipped files that are not there."""
        for name, dataset in self.datasets.items():
            if dataset.path is not None and not dataset.folder.is_dir():
                absent = f"dataset {name}: no folder {dataset.folder}"
                raise ReconError(f"config {self.name}: {absent}; correct datasets.{name}.path")
        sections = self.networks.values()
        files = dict.fromkeys(
            [*(n.shipped for n in sections), self.tuning.shipped],
            "set 'shipped: null' to compute it",
        )
        begun = {n.starts_from for n in sections if n.shipped is None} - set(self.networks)
        for file, cure in (files | dict.fromkeys(begun, "correct 'starts_from'")).items():
            if file is not None and not (ROOT / file).is_file():
                absent = f"shipped file {file} is missing; restore it, or {cure}"
                raise ReconError(f"config {self.name}: {absent}")
        for notebook in self.notebooks:
            if not notebook_file(notebook).is_file():
                absent = f"there is no notebook notebooks/{notebook}.ipynb"
                raise ReconError(f"config {self.name}: {absent}; correct 'notebooks'")

    def compared(self, comparison: str) -> list[tuple[str, str]]:
        """The (dataset, test subject) pairs of a comparison."""
        section = self.comparisons[comparison]
        return [
            (name, str(subject))
            for name in section.datasets or list(self.datasets)
            for subject in self.datasets[name].test[: section.volumes]
        ]

    def shown_in(self, notebook: str) -> list[str]:
        """The comparisons that a notebook shows: those whose name starts with its number."""
        return [name for name in self.comparisons if number(name) == number(notebook)]

    def given(self, dataset: str, method: str) -> dict[str, Any]:
        """The settings of a method on a dataset, as this configuration says them."""
        return self.methods.get(method, {}) | self.datasets[dataset].settings.get(method, {})

    def methods_on(self, dataset: str) -> list[str]:
        """The methods that some comparison runs on ``dataset``, in the order of ``methods``."""
        return [method for method in self.methods if self.reported_at(dataset, method)]

    def tuned_on(self, dataset: str) -> list[str]:
        """The methods that need tuning on ``dataset``, since a comparison shows them as tuned."""
        if self.tuned_as(dataset) != dataset:
            return []
        return [method for method in self.methods if self._tuned_runs(dataset, method)]

    def chosen_on(self, dataset: str) -> list[int | str]:
        """The validation volumes on which settings for ``dataset`` are chosen, in their order.

        They are those of the dataset that it is `tuned_as`.
        """
        return self.datasets[self.tuned_as(dataset)].validation[: self.tuning.subjects]

    def tuned_as(self, dataset: str) -> str:
        """The dataset whose tuned settings ``dataset`` has: itself, or another one."""
        return self.datasets[dataset].settings_of or dataset

    def mask_of(self, dataset: str) -> Mask:
        """Which phase encodes of ``dataset`` are kept."""
        return self.datasets[dataset].mask or self.mask

    def accelerations_of(self, dataset: str) -> list[float]:
        """The accelerations at which ``dataset`` is reconstructed."""
        return self.datasets[dataset].accelerations or self.accelerations

    def reported_at(self, dataset: str, method: str) -> list[float]:
        """The accelerations at which some comparison runs a method on ``dataset``."""
        return self._runs(dataset, method)

    def _runs(self, dataset: str, method: str, settings: str | None = None) -> list[float]:
        """The accelerations of all comparisons, or of those with one origin of ``settings``."""
        own, found = self.accelerations_of(dataset), set()
        for name, comparison in self.comparisons.items():
            compared = dataset in dict(self.compared(name))
            shown = compared and method in self.methods_in(name, dataset)
            if shown and settings in (None, comparison.settings):
                found.update(comparison.accelerations_for(dataset) or own)
        return sorted(found)

    def _tuned_runs(self, dataset: str, method: str) -> list[float]:
        """The accelerations at which some comparison shows a method as tuned on ``dataset``."""
        taking = [name for name in self.datasets if self.tuned_as(name) == dataset]
        return sorted({r for name in taking for r in self._runs(name, method, "tuned")})

    def tuned_at(self, dataset: str, method: str) -> list[float]:
        """The accelerations at which a method is tuned on ``dataset``.

        Where the configuration names some, a dataset with its own accelerations is tuned at those
        nearest to them.
        """
        own, wanted = self.datasets[dataset].accelerations, self.tuning.accelerations
        if wanted is None:
            return self._tuned_runs(dataset, method)
        if own is None:
            return wanted
        return sorted({min(own, key=lambda r: abs(math.log(r / w))) for w in wanted})

    def matching(self, dataset: str, need: str) -> list[str]:
        """The names of the networks that serve a need on ``dataset``.

        A need is a kind of prior or a kind of network. A dataset may name its prior itself; else
        they are the networks that were trained on the dataset at its voxel size. Where there are
        none, they are those of the dataset whose networks it takes.
        """
        own, home = self.datasets[dataset].prior, self.datasets[dataset].networks_of
        if need == "denoiser" and own:
            return [own]
        found = [
            name
            for name, network in self.networks.items()
            if network.dataset == dataset and serves(network, need)
        ]
        if not found and home:
            return self.matching(home, need)
        alone = need == "stack denoiser" and not found  # a prior of single slices will do
        return self.matching(dataset, "denoiser") if alone else found

    def matched(self, dataset: str, need: str, acceleration: float | None = None) -> str | None:
        """The name of the network that serves a need on ``dataset``; None where there is none.

        It is the first one that does, or, of networks trained for one acceleration each, the one
        whose acceleration is nearest.
        """
        found = self.matching(dataset, need)
        trained_for = {name: self.networks[name].acceleration for name in found}
        at = {name: r for name, r in trained_for.items() if r is not None}
        if acceleration is not None and at:
            return min(at, key=lambda name: abs(math.log(at[name] / acceleration)))
        return next(iter(found), None)

    def prior_of(self, dataset: str) -> str | None:
        """The name of the matched diffusion prior; see `matched`."""
        return self.matched(dataset, "denoiser")

    def serving(self, method: str, dataset: str) -> list[str]:
        """The networks that a method uses on ``dataset`` at its accelerations."""
        at = [*self.accelerations_of(dataset), *self.tuned_at(dataset, method), None]
        needs = methods.lookup(method).needs.values()
        found = [self.matched(dataset, need, r) for need in needs for r in at]
        return list(dict.fromkeys(name for name in found if name))

    def methods_in(self, comparison: str, dataset: str) -> list[str]:
        """The methods that a comparison runs on ``dataset``."""
        return self.comparisons[comparison].methods_for(dataset) or list(self.methods)

    def networks_in(self, comparison: str, dataset: str) -> list[str]:
        """The networks that the methods of a comparison use on ``dataset``."""
        section, found = self.comparisons[comparison], []
        at = section.accelerations_for(dataset) or self.accelerations_of(dataset)
        for method in self.methods_in(comparison, dataset):
            for need in methods.lookup(method).needs.values():
                named = section.priors_for(dataset) if need in methods.PRIORS else None
                found += named or [self.matched(dataset, need, r) for r in at]
        return list(dict.fromkeys(name for name in found if name))

    def told(self, network: str) -> dict[str, Any]:
        """What the dataset of a network says of its training, and the configuration does not."""
        settings = self.networks[network]
        dataset = self.datasets[settings.dataset]
        says = {
            "resampling": dataset.resampling,
            "mask": self.mask_of(settings.dataset),
            "accelerations": self.accelerations_of(settings.dataset),
            "maps": self.maps,
        }
        known = type(settings).model_fields
        given = settings.model_fields_set - {"resampling"}
        return {key: says[key] for key in says if key in known and key not in given}

    def reference_only(self, dataset: str, subject: str | int) -> bool:
        """Whether a prepared volume keeps its reference alone: nothing asks for its k-space."""
        trains = str(subject) in map(str, self.datasets[dataset].train)
        return trains and not self.trains_on_kspace(dataset)

    def trains_on_kspace(self, dataset: str) -> bool:
        """Whether some network is trained on k-space of ``dataset``, not on references alone."""
        trainings = [network for network in self.networks.values() if network.dataset == dataset]
        return any(batches(trained.lookup(t.kind).batches).needs_kspace for t in trainings)


def serves(network: Training, need: str) -> bool:
    """Whether a network is what a need asks for: of one voxel size, and of one kind."""
    if getattr(network, "factors", None):
        return False
    if need not in methods.PRIORS:
        return network.kind == need
    along = getattr(network, "stack", 1) > 1
    return trained.lookup(network.kind).denoises and along == (need == "stack denoiser")


def part_for(named: list | dict[str, list] | None, dataset: str) -> list | None:
    """What is named for one dataset: the list for all, or the dataset's own list."""
    return named.get(dataset) if isinstance(named, dict) else named


def flat(named: list | dict[str, list] | None) -> list:
    """All that is named, for all datasets or by dataset, in one list."""
    if isinstance(named, dict):
        return [item for part in named.values() for item in part]
    return named or []


def _resolved(name: str, datasets: dict, seen: tuple[str, ...] = ()) -> object:
    """The section of a dataset, completed by the section that its key ``like`` names."""
    section = datasets[name]
    if not isinstance(section, dict) or "like" not in section:
        return section
    model = section["like"]
    known = isinstance(model, str) and isinstance(datasets.get(model), dict)
    if not known or model in (name, *seen):
        wrong = f"dataset {name} is like {model!r}"
        raise ValueError(f"{wrong}, which is not under datasets, or like itself")
    own = {key: value for key, value in section.items() if key != "like"}
    return _resolved(model, datasets, (*seen, name)) | own


def notebook_file(name: str) -> Path:
    """Where the notebook of a name lies."""
    return ROOT / "notebooks" / f"{name}.ipynb"


def number(name: str) -> str:
    """What the names of a notebook, of its comparisons and of its figures start with."""
    return name.split("_")[0]


def load(name: str | Path, listed: bool = True) -> Config:
    """Reads a configuration: ``demo``, ``smoke``, ``paper``, … or the path of a YAML file.

    ``like: NAME`` takes over all that the configuration NAME says; the keys beside it are changes.
    Beside ``notebooks`` of its own, comparisons that none of them shows are not taken over.
    With ``listed=False`` the subjects of a dataset whose files are not listed yet are numbers.
    """
    path = _file(name)
    values = _contents(path)
    return validated(path, values if listed else _numbered(values), Config)


def _numbered(values: Any) -> Any:
    """The contents of a file, with numbers for the subjects that a Dataverse has yet to name."""
    datasets = values.get("datasets") if isinstance(values, dict) else None
    for section in datasets.values() if isinstance(datasets, dict) else []:
        kind = section.get("kind") if isinstance(section, dict) else None
        entry = registry.datasets().get(kind) if isinstance(kind, str) else None
        if entry and entry.dataverse and not entry.listed():
            for split, count in entry.dataverse.counts.items():
                section.setdefault(split, [f"{split}-{i}" for i in range(count)])
    return values


def _contents(path: Path, seen: tuple[Path, ...] = ()) -> Any:
    """The contents of a file, completed by the configuration that its key ``like`` names."""
    values = read_yaml(path, Any)
    if not isinstance(values, dict) or "like" not in values:
        return values
    like = values.pop("like")
    if not isinstance(like, str):
        raise ReconError(f"{path}: like: expected the name of a configuration, not {like!r}")
    model = _file(like)
    if model in (path, *seen):
        raise ReconError(f"{path}: like: a configuration cannot be like itself")
    taken = _contents(model, (*seen, path))
    return _changed(_shown(taken, values.get("notebooks")), values)


def _shown(model: Any, notebooks: Any) -> Any:
    """A configuration with those comparisons alone that one of ``notebooks`` shows, if given."""
    comparisons = model.get("comparisons") if isinstance(model, dict) else None
    if not isinstance(notebooks, list) or not isinstance(comparisons, dict):
        return model
    numbers = {number(str(notebook)) for notebook in notebooks}
    kept = {name: c for name, c in comparisons.items() if number(str(name)) in numbers}
    return model | {"comparisons": kept}


def _file(name: str | Path) -> Path:
    """The file of a configuration."""
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else CONFIGS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        choice = f"give one of {known}, or the path of a .yaml file"
        raise ReconError(f"no configuration {name!s}: {choice}")
    return path


def _changed(model: Any, values: Any) -> Any:
    """The sections of ``model`` with some values changed, down to the innermost sections."""
    if not isinstance(model, dict) or not isinstance(values, dict):
        return values
    return model | {key: _changed(model.get(key), value) for key, value in values.items()}
