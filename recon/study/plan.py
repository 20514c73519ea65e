"""What a run will take, before it starts: jobs, hours, disk, downloads and memory.

The jobs are those of the workflow (`recon.study.jobs`). Each kind has a function below that says
how many seconds of one core its jobs take; see `recon.study.costs`. Nothing is read but the
configuration, and nothing is written.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import product

from recon import methods
from recon.data import source
from recon.download import fetch, registry
from recon.download.transport import human
from recon.study import jobs
from recon.study.cases import Case
from recon.study.config import number
from recon.study.costs import (
    Costs,
    Machine,
    declared,
    operations,
    pixel_area,
    size,
    sliced,
    training_operations,
)
from recon.study.study import Study

RACED = 0.5  # of the trials of tuning: about how many are run on more subjects than the first


@dataclass
class Kind:
    """All jobs of one kind."""

    jobs: int = 0
    left: int = 0
    seconds: float = 0.0  # of one core, for those that are left
    longest: float = 0.0  # of them


@dataclass
class Plan:
    """What is to be expected of a run."""

    config: str
    device: str
    kinds: dict[str, Kind] = field(default_factory=lambda: {name: Kind() for name in jobs.KINDS})
    disk: float = 0.0  # bytes, of what is left to prepare and to reconstruct
    memory: float = 0.0  # bytes, of the largest case
    arrays: float = 0.0  # those of them that hold its data
    largest: str = ""  # its dataset
    downloads: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # what there is no measurement of

    def hours(self, cores: int = 1, speed: float = 1.0) -> float:
        """The hours on so many cores, each ``speed`` times as fast as the one that was measured."""
        total = sum(kind.seconds for kind in self.kinds.values())
        longest = max(kind.longest for kind in self.kinds.values())
        return max(total / cores, longest) / speed / 3600


class Planned(Study):
    """A study whose cases are listed, and never computed."""

    trials: tuple[Case, ...] = ()  # what choosing settings for the cases would run

    def chosen_on_scan(self, case: Case) -> dict:
        """Nothing is chosen: the defaults stand for what would be."""
        return {}

    def _chosen(self, at: tuple, change: dict, grid: dict[str, list]) -> dict:
        """The first point of a grid; its trials are noted."""
        points = [dict(zip(grid, point, strict=True)) for point in product(*grid.values())]
        dataset, acceleration, method, prior = at
        subjects, dataset = self.config.chosen_on(dataset), self.config.tuned_as(dataset)
        if len(points) > 1:
            self.trials += tuple(
                self.case(dataset, s, acceleration, method, prior, **change, **point)
                for s in subjects
                for point in points
            )
        return change | points[0]


class Planner:
    """Adds up what the jobs of a study take, and notes what nobody has measured."""

    def __init__(self, study: Planned, costs: Costs):
        self.study, self.config, self.costs = study, study.config, costs
        self.unknown: dict[str, int] = defaultdict(int)
        self.kept = 0.0  # bytes of the volumes of cases
        self.counted: set[str] = set()  # Cases that several comparisons share are computed once.

    def seconds(self, job: jobs.Job) -> float:
        """The seconds of one core that a job takes."""
        return self.costs.start + getattr(self, job.kind)(*job.names)

    def prepare(self, dataset: str, subject: str) -> float:
        """Simulates or reads a scan, and estimates its maps."""
        (voxels, coils), light = (
            self.measured(dataset),
            self.config.reference_only(dataset, subject),
        )
        if sliced(self.config.datasets[dataset]):
            return voxels * self.costs.prepare_slice
        return voxels * coils * (self.costs.prepare_reference if light else self.costs.prepare)

    def measured(self, dataset: str) -> tuple[int, int]:
        """The voxels that are measured, before they are made larger, and the coils.

        A slice is cut from a volume where the section says the volume's size.
        """
        section = self.config.datasets[dataset]
        whole = {"test": ["whole"]} if None not in declared(section) else {}
        whole = section.model_copy(update={"voxel_factor": 1.0} | whole)
        config = self.config.model_copy(update={"datasets": {dataset: whole}})
        shape, coils = size(config, dataset)
        return math.prod(shape), coils

    def network(self, name: str) -> float:
        """Trains a network."""
        section = self.config.networks[name]
        plane = size(self.config, section.dataset)[0][1:]
        spent = self.costs.training_flop * training_operations(section, plane)
        if not spent:
            self.unknown[f"training of kind {section.kind}, {section.network.kind}"] += 1
        return spent

    def tune(self, dataset: str, method: str) -> float:
        """Tries settings at every acceleration: on one subject all, on the others some."""
        section, total = self.config.tuning, 0.0
        subjects = self.config.chosen_on(dataset)
        trials = section.trials * self.costs.searches if methods.lookup(method).space else 1
        for rate in self.config.tuned_at(dataset, method):
            case = self.study.case(dataset, subjects[0], rate, method)
            runs = trials * (1 + RACED * (len(subjects) - 1))
            total += runs * self.case(case) + len(subjects) * self.posed(dataset)
        return total

    def cases(self, comparison: str, dataset: str, subject: str) -> float:
        """All cases of a comparison for one subject."""
        self.study.trials = ()
        listed = [case for case, _ in self.study.cases(comparison, dataset, subject)]
        run = [*listed, *self.study.trials]
        rates = {(case.subject, case.acceleration) for case in run}
        if self.config.comparisons[comparison].settings == "scan":
            self.unknown["settings that are chosen on the scan itself"] += len(listed)
        new = list(filter(self.first, run))
        self.kept += 4 * math.prod(size(self.config, dataset)[0]) * len(new)
        return sum(map(self.case, new)) + len(rates) * self.posed(dataset)

    def first(self, case: Case) -> bool:
        """Whether a case was not counted before."""
        key = json.dumps(asdict(case), sort_keys=True)
        new = key not in self.counted
        self.counted.add(key)
        return new

    def posed(self, dataset: str) -> float:
        """Draws a mask and estimates maps."""
        shape, coils = size(self.config, dataset)
        return self.costs.pose * math.prod(shape) * coils

    def case(self, case: Case) -> float:
        """One reconstruction with its scores."""
        shape, coils = size(self.config, case.dataset)
        network = next(iter(case.networks.values()), None)
        each = operations(self.config.networks[network], shape[1:]) if network else 0.0
        if case.method not in self.costs.methods:
            self.unknown[case.method] += 1
            return 0.0
        spent = self.costs.case(case.method, case.settings, shape, coils)
        if network:
            pixel = case.settings.get("pixel", 1.0)
            area = pixel_area(self.config, case.dataset, network, pixel)
            spent += self.costs.network(case.method, case.settings, shape, each, area)
        return spent + self.costs.score * math.prod(shape)

    def notebook(self, name: str) -> float:
        """Runs a kernel; what it computes of its own grows with the volumes."""
        if number(name) not in self.costs.notebooks:
            self.unknown[f"notebook {name}"] += 1
            return 0.0
        measured = self.costs.notebooks[number(name)]
        first = next(iter(self.config.datasets))
        return measured * math.prod(size(self.config, first)[0]) / self.costs.notebook_voxels

    def gallery(self) -> float:
        """Writes a page."""
        return 0.0

    def stored(self, dataset: str, subject: str) -> float:
        """The bytes of a prepared volume."""
        shape, coils = size(self.config, dataset)
        if self.config.reference_only(dataset, subject):
            return self.costs.stored_reference * math.prod(shape)
        return self.costs.stored * math.prod(shape) * coils


def plan(study: Planned, costs: Costs) -> Plan:
    """What the run of a configuration will take; what is here already is done."""
    planner, out = Planner(study, costs), Plan(study.config.name, study.config.device)
    order = jobs.KINDS.index
    for job in sorted(jobs.jobs(study), key=lambda job: (order(job.kind), job.names)):
        kind = out.kinds[job.kind]
        kind.jobs += 1
        if job.output.exists():
            continue
        seconds = planner.seconds(job)
        kind.left += 1
        kind.seconds += seconds
        kind.longest = max(kind.longest, seconds)
        if job.kind == "prepare":
            out.disk += planner.stored(*job.names)
    out.disk += planner.kept
    for dataset in {name for c in study.config.comparisons for name, _ in study.config.compared(c)}:
        needed = costs.memory(*size(study.config, dataset))
        out.memory, out.largest = max((out.memory, out.largest), (needed, dataset))
    out.arrays = max(0.0, out.memory - costs.process)
    out.downloads = downloads(study)
    out.unknown = [f"{what} ({n} times)" for what, n in sorted(planner.unknown.items())]
    return out


def downloads(study: Study) -> list[str]:
    """What has to be downloaded: a line for each set of files that are not all here."""
    wanted: dict[str, dict[str, None]] = defaultdict(dict)
    for section in study.config.datasets.values():
        if section.kind in source.registered() and section.path is None:
            subjects = (*section.train, *section.validation, *section.test)
            wanted[section.kind] |= dict.fromkeys(map(str, subjects))
    lines = []
    for kind, subjects in wanted.items():
        entry = registry.lookup(kind)
        if entry.dataverse and not entry.listed():
            about = 8 * len(subjects) * entry.coils * math.prod(entry.shape)
            lines.append(f"{kind}: {len(subjects)} files, about {human(about)}")
            continue
        lacking = fetch.missing(kind, list(subjects))
        if lacking.files:
            what = f"{len(lacking.files)} of {len(subjects)} files"
            lines.append(f"{kind}: {what}, {fetch.extent(kind, lacking)}; {lacking.how}")
    return lines


def said(found: Plan, machine: Machine, cores: int, speed: float) -> Iterator[str]:
    """A plan in lines."""
    for name, kind in found.kinds.items():
        if kind.jobs:
            hours = kind.seconds / speed / 3600
            yield f"{name:9} {kind.left:4} of {kind.jobs} left {lasting(hours):>13} of one core"
    total = lasting(found.hours(cores, speed))
    yield f"in all    {total} on {cores} cores, each {speed:g} times as fast as that measured:"
    yield f"          {machine.processor}, {machine.device}, networks in {machine.precision}"
    yield f"disk      {human(found.disk)} for prepared volumes and reconstructions"
    yield f"memory    {human(found.memory)} for a case of {found.largest}, on the CPU"
    if found.device != "cpu":
        yield f"device    {found.device}: no measurement of it, so times are those of CPU cores;"
        yield f"          {human(found.arrays)} of its memory for the arrays of such a case, and"
        yield "          what a batch of slices takes in the network"
    yield from (f"download  {line}" for line in found.downloads)
    yield from (f"unknown   no measurement of {what}" for what in found.unknown)


def lasting(hours: float) -> str:
    """A time as a person reads it."""
    return f"{hours:.1f} hours" if hours >= 2 else f"{60 * hours:.0f} minutes"
