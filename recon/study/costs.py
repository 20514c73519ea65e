"""What one case, training step or preparation costs, by size: measured numbers and laws of scaling.

The numbers stand in ``data/costs.json``, which ``python -m workflow.scripts.costs`` measures. All
times are those of one core. A case takes

    iterations × (overhead + data × work) + flop × operations of its network,

where the work of an iteration is voxels × coils, once for each conjugate gradient, or the
operations of the network that represents the volume.
"""

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from recon import networks
from recon.data import source
from recon.data.opening import open_scan
from recon.data.resolution import coarse_shape
from recon.data.section import Dataset
from recon.download import registry
from recon.errors import ReconError
from recon.mri.slices import planes
from recon.networks import trained
from recon.networks.trained import Training
from recon.schema import ROOT, Strict, read_yaml
from recon.study.config import Config, number

FILE = ROOT / "data" / "costs.json"
# A step that fits a representation to a volume, in iterations: 0.11 and 0.2 were measured.
WARM = 0.15
Shape = tuple[int, int, int]


class Machine(Strict):
    """Where the numbers were measured."""

    processor: str
    device: str
    precision: str  # of networks


class MethodCost(Strict):
    """The cost of a method."""

    overhead: float  # s per iteration
    data: float  # s per iteration and unit of `work`
    pixels: float  # how many it denoises, relative to `drawn`


class Costs(Strict):
    """All measured costs, in seconds of one core and in bytes."""

    machine: Machine
    methods: dict[str, MethodCost]
    flop: float  # s per operation of a network that denoises
    training_flop: float  # s per operation of its forward pass in a training step
    start: float  # s until a job has begun
    pose: float  # s per voxel and coil: maps and mask of a problem
    score: float  # s per voxel
    process: float  # bytes of memory of a job, without what follows
    memory_each: float  # bytes of memory per voxel and coil
    prepare: float  # s per voxel and coil, as measured
    prepare_reference: float  # the same where the reference alone is kept
    prepare_slice: float  # s per voxel of the volume, where one slice of it is measured
    stored: float  # bytes per voxel and coil of a prepared volume
    stored_reference: float  # bytes per voxel of a reference alone
    notebooks: dict[str, float]  # s of a kernel, at the number of voxels below
    notebook_voxels: int
    searches: float  # how often tuning searches, as ranges are widened

    def case(self, method: str, settings: Mapping[str, Any], shape: Shape, coils: int) -> float:
        """The seconds of a case without its network; see `network`."""
        cost = self.methods[method]
        return iterations(settings) * (cost.overhead + cost.data * work(settings, shape, coils))

    def network(
        self, method: str, settings: Mapping[str, Any], shape: Shape, each: float, area: float = 1.0
    ) -> float:
        """The seconds of a case's network: ``each`` operations a pixel of ``area`` voxels."""
        pixels = self.methods[method].pixels * drawn(settings, shape) / area
        return self.flop * each * pixels

    def memory(self, shape: Shape, coils: int) -> float:
        """The peak memory of a job with cases, in bytes."""
        return self.process + self.memory_each * math.prod(shape) * coils


def load_costs(path: Path = FILE) -> Costs:
    """The measured costs."""
    return read_yaml(path, Costs)  # JSON is YAML


def iterations(settings: Mapping[str, Any]) -> float:
    """How often a method goes round; a representation may be warmed up before."""
    form = settings.get("representation") or {}
    return settings.get("iterations", settings.get("steps", 1)) + WARM * form.get("warm", 0)


def work(settings: Mapping[str, Any], shape: Shape, coils: int) -> float:
    """The work of an iteration: what represents the volume, or the forward model."""
    form = settings.get("representation") or {}
    if "width" in form:
        return positions(form, shape) * weights(form, shape)
    return math.prod(shape) * coils * (1 + settings.get("cg_iterations", 0))


def positions(form: Mapping[str, Any], shape: Shape) -> int:
    """At how many points an implicit network is evaluated."""
    return math.prod(shape[:2] if columns(form, shape) else shape)


def columns(form: Mapping[str, Any], shape: Shape) -> bool:
    """Whether an implicit network gives all voxels along z at once; a slice has no columns."""
    return form["columns"] and min(shape) > 1


def weights(form: Mapping[str, Any], shape: Shape) -> int:
    """How many weights an implicit network has, in its linear layers."""
    width, out = form["width"], shape[2] if columns(form, shape) else 1
    return width * (2 * form["features"] + (form["layers"] - 1) * width + 2 * out)


def drawn(settings: Mapping[str, Any], shape: Shape) -> float:
    """How many voxels are denoised in slices, up to a constant of the method."""
    sides = [shape[axis] for axis in planes(shape)][-settings.get("planes", 3) :]
    slices, voxels = settings.get("slices"), math.prod(shape)
    if not isinstance(slices, int):
        return settings.get("steps", 0) * voxels
    plane = [min(slices, n) * voxels / n for n in sides]
    if "every" in settings:  # a sampler of several steps, for slices of one orientation
        draws = math.ceil(settings["iterations"] / settings["every"])
        return draws * settings["steps"] * sum(plane) / max(1, len(plane))
    return settings["iterations"] * sum(plane)


def pixel_area(config: Config, dataset: str, network: str, pixel: float | str) -> float:
    """The area of a prior's pixel, in voxels of a dataset.

    That of training is meant by "prior"; a diverse prior knows the voxels of the scan.
    """
    section = config.networks[network]
    if pixel == "prior":
        here, there = (factor(config, name) for name in (dataset, section.dataset))
        pixel = 1.0 if getattr(section, "factors", None) else there / here
    return pixel**2


def factor(config: Config, dataset: str) -> float:
    """How many times larger than measured the voxels of a dataset are, along a mean axis."""
    found = config.datasets[dataset].voxel_factor
    return math.prod(found) ** (1 / 3) if isinstance(found, tuple) else found


def size(config: Config, dataset: str) -> tuple[Shape, int]:
    """The voxels and coils of a dataset's problems, as its section or the registry says.

    Where neither does, the first test scan is read. Raises `ReconError` where it is not here.
    """
    section = config.datasets[dataset]
    shape, coils = declared(section)
    if shape is None or coils is None:
        return _read(section.model_dump_json(), dataset)
    coils = section.options.get("coils_between", [coils])[-1]
    shape = coarse_shape(shape, section.voxel_factor)
    return ((1, *shape[:2]) if sliced(section) else shape), coils


def declared(section: Dataset) -> tuple[Shape | None, int | None]:
    """The voxels, before they are made larger, and the coils that are known without a file."""
    known = registry.lookup(section.kind) if section.kind in source.registered() else None
    shape = section.shape or (known.shape if known else None)
    return shape, section.virtual_coils or (known.coils if known else section.coils)


@cache
def _read(section: str, dataset: str) -> tuple[Shape, int]:
    """The voxels and coils of a dataset's first test scan, which is read."""
    found = Dataset.model_validate_json(section)
    try:
        coils, *shape = open_scan(found, found.test[0]).kspace.shape
    except ReconError as error:
        unknown = f"the size of dataset {dataset} is not known before its files are read"
        raise ReconError(f"{unknown}: {error}") from error
    return tuple(shape), found.virtual_coils or coils


def sliced(section: Dataset) -> bool:
    """Whether the subjects of a dataset are single slices, such as ``200@24``."""
    return "@" in str(section.test[0])


@cache
def _operations(section: str, kind: str, plane: tuple[int, int], stack: int) -> float:
    found = networks.lookup(kind)
    network = found.build(found.settings.model_validate_json(section)).to("meta")
    with torch.device("meta"):  # counted without being computed
        x, t = torch.zeros(stack, 2, *plane), torch.zeros(stack)
    with FlopCounterMode(display=False) as counter:
        network(x, t)
    return counter.get_total_flops() / (stack * math.prod(plane))


def operations(settings: Training, plane: tuple[int, int]) -> float:
    """Operations of a prior's network for each pixel of a slice.

    None of a network that reconstructs: its time is that of its method's work.
    """
    network = settings.network
    if not trained.lookup(settings.kind).denoises:
        return 0.0
    stack = getattr(settings, "stack", 1)
    return _operations(network.model_dump_json(), network.kind, plane, stack)


def training_operations(settings: Training, plane: tuple[int, int]) -> float:
    """Operations of all forward passes of a training, on slices of ``plane`` pixels at most."""
    low, high = getattr(settings, "factors", None) or (1.0, 1.0)
    share = (low**2 + low * high + high**2) / 3  # the mean of the squared factor
    return operations(settings, plane) * settings.steps * settings.batch * math.prod(plane) * share


def notebook_seconds(folder: Path) -> dict[str, float]:
    """The wall time of every notebook whose figures have sidecars in a folder, in seconds."""
    out: dict[str, float] = {}
    for path in sorted(folder.glob("[0-9]*.json")):
        notebook, made = number(path.stem), json.loads(path.read_text())
        out[notebook] = max(out.get(notebook, 0.0), made["wall_time_s"])
    return out
