"""The one configuration file of a workflow run, and its schema: unknown keys and impossible values
are refused.
"""

import math
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from recon import methods
from recon.data.section import Dataset, Mask
from recon.errors import ReconError
from recon.networks import trained
from recon.networks.trained import AnyTraining
from recon.schema import ROOT, Strict, read_yaml
from recon.training import batches

CONFIGS = ROOT / "workflow" / "config"


class Tuning(Strict):
    """Every method's parameters are chosen by the same number of trials on the validation volumes,
    at each acceleration named.
    """

    # a finished tuning file, relative to the repository; null runs the tuning
    shipped: str | None = None
    accelerations: list[float] = [8.0]
    trials: int = Field(8, ge=1)
    subjects: int = Field(1, ge=1)  # how many validation volumes


class Comparison(Strict):
    """A table of cases: every method on every test volume, at every acceleration, with every prior
    and every variation.

    Its name starts with the number of the notebook that shows it.
    """

    datasets: list[str] | None = None  # those named; null: all of the configuration
    methods: list[str] | None = None
    # for all datasets, or by dataset; null: those of each dataset
    accelerations: list[float] | dict[str, list[float]] | None = None
    # likewise; null: each dataset's matched one
    priors: list[str] | dict[str, list[str]] | None = None
    # a setting and the values it takes in turn, all others as tuned
    vary: dict[str, list[float | str]] = {}

    def accelerations_for(self, dataset: str) -> list[float] | None:
        """The accelerations named for ``dataset``; None for its own."""
        return part_for(self.accelerations, dataset)

    def priors_for(self, dataset: str) -> list[str] | None:
        """The priors that stand side by side on ``dataset``; None for its matched one."""
        return part_for(self.priors, dataset)


class Config(Strict):
    """A whole workflow run."""

    name: str
    title: str
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    # of torch; part of the configuration because sums depend on it in the last bit
    threads: int = Field(2, ge=1)
    seed: int = 0
    datasets: dict[str, Dataset]
    networks: dict[str, AnyTraining] = {}  # trained networks: diffusion priors and others
    mask: Mask = Mask()
    # sensitivities from the undersampled data's centre, or from all data
    maps: Literal["calibration", "full"] = "calibration"
    accelerations: list[float] = Field([4.0, 8.0, 12.0, 16.0], min_length=1)
    methods: dict[str, dict] = {}  # methods to compare, with settings that are not tuned
    tuning: Tuning = Tuning()
    notebooks: list[str] = []
    comparisons: dict[str, Comparison] = {"10_methods_without_shift": Comparison()}

    @model_validator(mode="before")
    @classmethod
    def _inherited(cls, values):
        """``like: NAME`` takes over what the dataset NAME says; the keys beside it are changes."""
        if not isinstance(values, dict) or not isinstance(values.get("datasets"), dict):
            return values
        datasets = values["datasets"]
        return values | {"datasets": {name: _resolved(name, datasets) for name in datasets}}

    @model_validator(mode="after")
    def _references(self):
        for name, comparison in self.comparisons.items():
            by_dataset = [
                key
                for part in (comparison.accelerations, comparison.priors)
                if isinstance(part, dict)
                for key in part
            ]
            named = (
                [*(comparison.datasets or []), *by_dataset],
                comparison.methods,
                flat(comparison.priors),
            )
            for (kind, known), wanted in zip(self._named().items(), named, strict=True):
                for missing in (w for w in wanted or [] if w not in known):
                    raise ValueError(
                        f"comparison {name} names {missing!r}, which is not under {kind}"
                    )
        for name, network in self.networks.items():
            if network.dataset not in self.datasets:
                raise ValueError(
                    f"network {name} names the dataset {network.dataset!r}, which is not under datasets"
                )
        compared = [
            r
            for part in (*self.comparisons.values(), *self.datasets.values())
            for r in flat(part.accelerations)
        ]
        if any(r < 1 for r in self.accelerations + self.tuning.accelerations + compared):
            raise ValueError("accelerations must be at least 1")
        for name, dataset in self.datasets.items():
            if dataset.prior is not None and dataset.prior not in self.networks:
                raise ValueError(
                    f"dataset {name} names the prior {dataset.prior!r}, which is not under networks"
                )
            if self.tuning.subjects > len(dataset.validation):
                raise ValueError(
                    f"tuning.subjects is {self.tuning.subjects}, but dataset {name} has {len(dataset.validation)} for validation"
                )
        return self

    def _named(self) -> dict[str, dict]:
        return {"datasets": self.datasets, "methods": self.methods, "networks": self.networks}

    def check_inputs(self) -> None:
        """Refuses, before any work, data folders and shipped files that are not there."""
        for name, dataset in self.datasets.items():
            if dataset.path is not None and not dataset.folder.is_dir():
                raise ReconError(
                    f"config {self.name}: dataset {name}: no folder {dataset.folder}; correct datasets.{name}.path"
                )
        for shipped in [n.shipped for n in self.networks.values()] + [self.tuning.shipped]:
            if shipped is not None and not (ROOT / shipped).is_file():
                raise ReconError(
                    f"config {self.name}: shipped file {shipped} is missing; restore it, or set 'shipped: null' to compute it"
                )
        for notebook in self.notebooks:
            if not (ROOT / "notebooks" / f"{notebook}.ipynb").is_file():
                raise ReconError(
                    f"config {self.name}: there is no notebook notebooks/{notebook}.ipynb; correct 'notebooks'"
                )

    def compared(self, comparison: str) -> list[tuple[str, str]]:
        """The (dataset, test subject) pairs of a comparison."""
        datasets = self.comparisons[comparison].datasets or list(self.datasets)
        return [(name, str(subject)) for name in datasets for subject in self.datasets[name].test]

    def shown_in(self, notebook: str) -> list[str]:
        """The comparisons that a notebook shows: those whose name starts with its number."""
        return [name for name in self.comparisons if number(name) == number(notebook)]

    def methods_on(self, dataset: str) -> list[str]:
        """The methods that some comparison runs on ``dataset``, in the order of ``methods``."""
        seen = [
            c.methods or list(self.methods)
            for name, c in self.comparisons.items()
            if dataset in dict(self.compared(name))
        ]
        return [method for method in self.methods if any(method in methods for methods in seen)]

    def mask_of(self, dataset: str) -> Mask:
        """Which phase encodes of ``dataset`` are kept."""
        return self.datasets[dataset].mask or self.mask

    def accelerations_of(self, dataset: str) -> list[float]:
        """The accelerations at which ``dataset`` is reconstructed."""
        return self.datasets[dataset].accelerations or self.accelerations

    def tuned_at(self, dataset: str) -> list[float]:
        """The accelerations at which methods are tuned: where the dataset has its own, those
        nearest to the ones asked for.
        """
        own, wanted = self.datasets[dataset].accelerations, self.tuning.accelerations
        return (
            sorted({min(own, key=lambda r: abs(math.log(r / w))) for w in wanted})
            if own
            else wanted
        )

    def matched(self, dataset: str, need: str) -> str | None:
        """The name of the network that serves a need on ``dataset``: a denoiser, or a network of
        the kind ``need``.

        The dataset's own choice of prior, else the first one trained on it at its voxel size; None
        where there is none.
        """
        if need == "denoiser" and self.datasets[dataset].prior:
            return self.datasets[dataset].prior
        for name, network in self.networks.items():
            serves = (
                trained.lookup(network.kind).denoises
                if need == "denoiser"
                else network.kind == need
            )
            if serves and network.dataset == dataset and not getattr(network, "factors", None):
                return name
        return None

    def prior_of(self, dataset: str) -> str | None:
        """The name of the matched diffusion prior; see `matched`."""
        return self.matched(dataset, "denoiser")

    def serving(self, method: str, dataset: str) -> list[str]:
        """The matched networks that a method uses on ``dataset``."""
        found = [self.matched(dataset, need) for need in methods.lookup(method).needs.values()]
        return list(dict.fromkeys(name for name in found if name))

    def methods_in(self, comparison: str) -> list[str]:
        """The methods that a comparison runs."""
        return self.comparisons[comparison].methods or list(self.methods)

    def networks_in(self, comparison: str, dataset: str) -> list[str]:
        """The networks that the methods of a comparison use on ``dataset``."""
        section, found = self.comparisons[comparison], []
        for method in self.methods_in(comparison):
            for need in methods.lookup(method).needs.values():
                named = section.priors_for(dataset) if need == "denoiser" else None
                found += named or [self.matched(dataset, need)]
        return list(dict.fromkeys(name for name in found if name))

    def trains_on_kspace(self, dataset: str) -> bool:
        """Whether some network is trained on the k-space of ``dataset``, and not on its references
        alone.
        """
        trainings = [network for network in self.networks.values() if network.dataset == dataset]
        return any(batches(trained.lookup(t.kind).batches).needs_kspace for t in trainings)


def part_for(named: list | dict[str, list] | None, dataset: str) -> list | None:
    """What is named for all datasets, or of what is named by dataset the part for one."""
    return named.get(dataset) if isinstance(named, dict) else named


def flat(named: list | dict[str, list] | None) -> list:
    """What is named for all datasets or by dataset, in one list."""
    return (
        [item for part in named.values() for item in part]
        if isinstance(named, dict)
        else named or []
    )


def _resolved(name: str, datasets: dict, seen: tuple[str, ...] = ()) -> object:
    """A dataset's section with what it is ``like`` filled in."""
    section = datasets[name]
    if not isinstance(section, dict) or "like" not in section:
        return section
    model = section["like"]
    if not isinstance(datasets.get(model), dict) or model in (name, *seen):
        raise ValueError(
            f"dataset {name} is like {model!r}, which is not under datasets, or like itself"
        )
    return _resolved(model, datasets, (*seen, name)) | {
        key: value for key, value in section.items() if key != "like"
    }


def number(name: str) -> str:
    """What the names of a notebook, of its comparisons and of its figures start with."""
    return name.split("_")[0]


def load(name: str | Path) -> Config:
    """Reads a configuration: ``demo``, ``smoke``, ``paper``, … or the path of a YAML file."""
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else CONFIGS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        raise ReconError(
            f"no configuration {name!s}: give one of {known}, or the path of a .yaml file"
        )
    return read_yaml(path, Config)
