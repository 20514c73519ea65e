"""The one configuration file of a workflow run, and its schema: unknown keys and impossible values are refused."""

import ast
import math
import os
import re
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, model_validator

from recon import registry
from recon.errors import ReconError
from recon.registry import SPLITS
from recon.schema import ROOT, Strict, read_yaml

CONFIGS = ROOT / "workflow" / "config"
TRAINING = ("unet", "diffusion", "training", "resample", "fourier")  # the source whose change makes priors stale


Registered = Literal["stanford", "calgary", "ahead", "fastmri_knee", "fastmri_brain", "skm_tea", "brats", "roots"]
REGISTERED = get_args(Registered)  # the kinds that data/registry.yaml describes
NEEDED = {"phantom": ("anatomy", "shape"), "folder": ("path", "voxel", "shape"), "kspace": ("path",)}  # the others are in the registry
SIMULATED = {"coils", "noise", "voxel", "anatomy"}
IGNORED = {  # keys that say nothing of a kind; "measured" stands for the registry's sets of k-space
    "phantom": {"path", "pattern", "voxel"},
    "folder": {"anatomy"},
    "kspace": SIMULATED | {"shape"},
    "skm_tea": SIMULATED | {"pattern"},  # its shape is the matrix that is kept of k-space
    "brats": {"anatomy", "pattern"},
    "roots": {"anatomy", "pattern"},
    "measured": SIMULATED | {"shape", "pattern"},
}


class Mask(Strict):
    """Which phase encodes are kept."""

    kind: Literal["poisson_disc", "gaussian_2d", "uniform", "gaussian_1d", "random_1d", "uniform_1d"] = "poisson_disc"
    calibration: tuple[int, int] = (12, 12)  # fully sampled centre (y, z), included in R
    seed: int = 0  # every subject's mask is drawn from it and the subject's name


class Dataset(Strict):
    """Scans of one kind, with disjoint subjects for training, validation and test.

    A kind named in data/registry.yaml takes subjects that are not listed here, and the folder, from there.
    """

    kind: Literal["phantom", "folder", "kspace"] | Registered
    label: str
    shape: tuple[int, int, int] | None = None  # voxels (x, y, z); k-space files have their own
    coils: int = Field(8, ge=1)  # simulated ones
    noise: float = Field(0.02, ge=0)  # standard deviation per real component, relative to that of the image; simulated
    anatomy: Literal["brain", "knee", "roots"] | None = None  # phantom
    path: str | None = None  # may name an environment variable as ${NAME}
    pattern: str = "*"  # folder and kspace: file names
    voxel: tuple[float, float, float] | None = None  # mm; volumes are resampled to it
    virtual_coils: int | None = Field(None, ge=1)  # compress the channels to this many
    voxel_factor: float | tuple[float, float, float] = 1.0  # larger voxels over the same field of view, along all axes or each
    resampling: Literal["kspace", "trilinear"] = "kspace"  # as a scanner would, or as in paper A
    train: list[int | str]
    validation: list[int | str]
    test: list[int | str] = Field(min_length=1)
    mask: Mask | None = None  # null: the configuration's
    accelerations: list[float] | None = Field(None, min_length=1)  # null: the configuration's
    prior: str | None = None  # the matched one; null: the one trained on this dataset

    @model_validator(mode="before")
    @classmethod
    def _from_registry(cls, values):
        if not isinstance(values, dict) or values.get("kind") not in REGISTERED:
            return values
        entry = registry.lookup(values["kind"])
        if entry.dataverse and not entry.listed() and not set(SPLITS) <= set(values):
            kind, count = values["kind"], sum(entry.dataverse.counts.values())
            size = 8 * count * entry.coils * math.prod(entry.shape) / 1e9
            about = f"its {count} volumes (about {size:.0f} GB) are not listed yet"
            raise ReconError(f"dataset {kind}: {about}; run: python -m recon fetch {kind}")
        return {name: list(getattr(entry.splits, name)) for name in SPLITS} | values

    @model_validator(mode="after")
    def _consistent(self):
        splits = {name: list(map(str, getattr(self, name))) for name in SPLITS}
        person = registry.lookup(self.kind).person if self.kind in REGISTERED else None
        if shared := registry.overlap(splits, person):
            raise ValueError(f"a subject stands in more than one of train, validation and test: {shared}")
        for key in sorted(IGNORED[self.kind if self.kind in IGNORED else "measured"]):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"a dataset of kind {self.kind} has no {key}; remove it")
        if min(self.voxel_factor if isinstance(self.voxel_factor, tuple) else (self.voxel_factor,)) < 1:
            raise ValueError(f"voxel_factor is {self.voxel_factor}; expected 1 or more: voxels can only be made larger")
        for key in NEEDED.get(self.kind, ()):
            if getattr(self, key) is None:
                raise ValueError(f"a dataset of kind {self.kind} needs {key}")
        return self

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return expand(self.path) if self.path is not None else registry.data_root() / self.kind


class Network(Strict):
    """`recon.unet.UNetConfig`."""

    channels: int = 48
    multipliers: tuple[int, ...] = (1, 2, 2)
    blocks: int = 1
    attention: tuple[int, ...] = (2,)
    head_channels: int = 64
    patch: int = 2


class Prior(Strict):
    """A diffusion prior: which data, and how it is trained; ``shipped`` takes finished weights instead."""

    dataset: str
    shipped: str | None = None  # weights in data/priors, relative to the repository
    steps: int = Field(6000, ge=1)
    batch: int = Field(8, ge=1)
    learning_rate: float = Field(5.0e-4, gt=0)
    decay: Literal["cosine", "constant"] = "cosine"
    focus: float = Field(2.0, gt=0)
    seed: int = 0
    check_every: int = Field(500, ge=1)
    factors: tuple[float, float] | None = None  # diverse training: range of the matrix factor, [0.1, 1.0] in paper A
    held_out: tuple[float, float] | None = None  # a part of that range that training never sees
    network: Network = Network()

    @model_validator(mode="after")
    def _ranges(self):
        low, high = self.factors or (1.0, 1.0)
        if not 0 < low <= high <= 1:
            raise ValueError(f"factors is {self.factors}; expected two numbers in (0, 1], the smaller first")
        if self.held_out and not low < self.held_out[0] < self.held_out[1] < high:
            raise ValueError(f"held_out is {self.held_out}; expected two numbers inside factors, {self.factors}, the smaller first")
        return self


class Tuning(Strict):
    """Every method's parameters are chosen by the same number of trials on the validation volumes, at each acceleration named."""

    shipped: str | None = None  # a finished tuning file, relative to the repository; null runs the tuning
    accelerations: list[float] = [8.0]
    trials: int = Field(8, ge=1)
    subjects: int = Field(1, ge=1)  # how many validation volumes


class Comparison(Strict):
    """A table of cases: every method on every test volume, at every acceleration, with every prior and every variation.

    Its name starts with the number of the notebook that shows it.
    """

    datasets: list[str] | None = None  # those named; null: all of the configuration
    methods: list[str] | None = None
    accelerations: list[float] | dict[str, list[float]] | None = None  # for all datasets, or by dataset; null: those of each dataset
    priors: list[str] | dict[str, list[str]] | None = None  # likewise; null: each dataset's matched one
    vary: dict[str, list[float | str]] = {}  # a setting and the values it takes in turn, all others as tuned

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
    threads: int = Field(2, ge=1)  # of torch; part of the configuration because sums depend on it in the last bit
    seed: int = 0
    datasets: dict[str, Dataset]
    priors: dict[str, Prior]
    mask: Mask = Mask()
    maps: Literal["calibration", "full"] = "calibration"  # sensitivities from the undersampled data's centre, or from all data
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
            by_dataset = [key for part in (comparison.accelerations, comparison.priors) if isinstance(part, dict) for key in part]
            named = [*(comparison.datasets or []), *by_dataset], comparison.methods, flat(comparison.priors)
            for (kind, known), wanted in zip(self._named().items(), named, strict=True):
                for missing in (w for w in wanted or [] if w not in known):
                    raise ValueError(f"comparison {name} names {missing!r}, which is not under {kind}")
        for name, prior in self.priors.items():
            if prior.dataset not in self.datasets:
                raise ValueError(f"prior {name} names the dataset {prior.dataset!r}, which is not under datasets")
        compared = [r for part in (*self.comparisons.values(), *self.datasets.values()) for r in flat(part.accelerations)]
        if any(r < 1 for r in self.accelerations + self.tuning.accelerations + compared):
            raise ValueError("accelerations must be at least 1")
        for name, dataset in self.datasets.items():
            if dataset.prior is not None and dataset.prior not in self.priors:
                raise ValueError(f"dataset {name} names the prior {dataset.prior!r}, which is not under priors")
            if self.tuning.subjects > len(dataset.validation):
                raise ValueError(
                    f"tuning.subjects is {self.tuning.subjects}, but dataset {name} has {len(dataset.validation)} for validation"
                )
        return self

    def _named(self) -> dict[str, dict]:
        return {"datasets": self.datasets, "methods": self.methods, "priors": self.priors}

    def check_inputs(self) -> None:
        """Refuses, before any work, data folders and shipped files that are not there."""
        for name, dataset in self.datasets.items():
            if dataset.path is not None and not dataset.folder.is_dir():
                raise ReconError(f"config {self.name}: dataset {name}: no folder {dataset.folder}; correct datasets.{name}.path")
        for shipped in [p.shipped for p in self.priors.values()] + [self.tuning.shipped]:
            if shipped is not None and not (ROOT / shipped).is_file():
                raise ReconError(f"config {self.name}: shipped file {shipped} is missing; restore it, or set 'shipped: null' to compute it")
        for notebook in self.notebooks:
            if not (ROOT / "notebooks" / f"{notebook}.ipynb").is_file():
                raise ReconError(f"config {self.name}: there is no notebook notebooks/{notebook}.ipynb; correct 'notebooks'")

    def compared(self, comparison: str) -> list[tuple[str, str]]:
        """The (dataset, test subject) pairs of a comparison."""
        datasets = self.comparisons[comparison].datasets or list(self.datasets)
        return [(name, str(subject)) for name in datasets for subject in self.datasets[name].test]

    def shown_in(self, notebook: str) -> list[str]:
        """The comparisons that a notebook shows: those whose name starts with its number."""
        return [name for name in self.comparisons if number(name) == number(notebook)]

    def methods_on(self, dataset: str) -> list[str]:
        """The methods that some comparison runs on ``dataset``, in the order of ``methods``."""
        seen = [c.methods or list(self.methods) for name, c in self.comparisons.items() if dataset in dict(self.compared(name))]
        return [method for method in self.methods if any(method in methods for methods in seen)]

    def mask_of(self, dataset: str) -> Mask:
        """Which phase encodes of ``dataset`` are kept."""
        return self.datasets[dataset].mask or self.mask

    def accelerations_of(self, dataset: str) -> list[float]:
        """The accelerations at which ``dataset`` is reconstructed."""
        return self.datasets[dataset].accelerations or self.accelerations

    def tuned_at(self, dataset: str) -> list[float]:
        """The accelerations at which methods are tuned: where the dataset has its own, those nearest to the ones asked for."""
        own, wanted = self.datasets[dataset].accelerations, self.tuning.accelerations
        return sorted({min(own, key=lambda r: abs(math.log(r / w))) for w in wanted}) if own else wanted

    def prior_of(self, dataset: str) -> str | None:
        """The name of the matched prior: the dataset's own choice, or the one trained on it at its voxel size; None where there is none."""
        if self.datasets[dataset].prior:
            return self.datasets[dataset].prior
        return next((name for name, prior in self.priors.items() if prior.dataset == dataset and not prior.factors), None)


def part_for(named: list | dict[str, list] | None, dataset: str) -> list | None:
    """What is named for all datasets, or of what is named by dataset the part for one."""
    return named.get(dataset) if isinstance(named, dict) else named


def flat(named: list | dict[str, list] | None) -> list:
    """What is named for all datasets or by dataset, in one list."""
    return [item for part in named.values() for item in part] if isinstance(named, dict) else named or []


def _resolved(name: str, datasets: dict, seen: tuple[str, ...] = ()) -> object:
    """A dataset's section with what it is ``like`` filled in."""
    section = datasets[name]
    if not isinstance(section, dict) or "like" not in section:
        return section
    model = section["like"]
    if not isinstance(datasets.get(model), dict) or model in (name, *seen):
        raise ValueError(f"dataset {name} is like {model!r}, which is not under datasets, or like itself")
    return _resolved(model, datasets, (*seen, name)) | {key: value for key, value in section.items() if key != "like"}


def number(name: str) -> str:
    """What the names of a notebook, of its comparisons and of its figures start with."""
    return name.split("_")[0]


def sources(*modules: str) -> list[Path]:
    """The files of some modules and packages of `recon`."""
    package = ROOT / "recon"
    return [f for name in modules for f in (package / f"{name}.py", *sorted((package / name).glob("*.py"))) if f.exists()]


def imported(*modules: str) -> list[str]:
    """Some modules of `recon` and all that these import of it, directly or not; packages are named as a whole or by their modules."""
    found, waiting = set(), list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or not sources(name):  # a function imported from `recon` itself is no module
            continue
        found.add(name)
        for node in (node for file in sources(name) for node in ast.walk(ast.parse(file.read_text()))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "recon":
                inside = node.module.split(".")[1:]
                waiting += ["/".join(inside)] if inside else [alias.name for alias in node.names]
    return sorted(found)


def load(name: str | Path) -> Config:
    """Reads a configuration: ``demo``, ``smoke``, ``paper``, … or the path of a YAML file."""
    path = Path(name) if str(name).endswith((".yaml", ".yml")) else CONFIGS / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in CONFIGS.glob("*.yaml")))
        raise ReconError(f"no configuration {name!s}: give one of {known}, or the path of a .yaml file")
    return read_yaml(path, Config)


def expand(path: str) -> Path:
    """A path with ``${NAME}`` replaced by the environment; an unset variable is named in the error."""
    for variable in re.findall(r"\$\{?(\w+)\}?", path):
        if not os.environ.get(variable):
            raise ReconError(f"environment variable {variable} is not set; set it to the folder that holds the data ({path})")
    return Path(os.path.expandvars(path)).expanduser()
