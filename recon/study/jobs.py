"""The jobs of a run: what has to be made, from what, and what of it is here already.

The workflow's rules and the plan of a run both ask this file for the inputs of a job.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from recon.study.needs import needs_of
from recon.study.workspace import Workspace

KINDS = ("prepare", "network", "tune", "cases", "notebook", "gallery")  # rules, in their order


@dataclass(frozen=True)
class Job:
    """One job of the workflow: the name of its rule, its wildcards, and one of its files."""

    kind: str
    names: tuple[str, ...]
    output: Path


def prepared(space: Workspace, dataset: str, *splits: str) -> list[Path]:
    """The prepared volumes of some splits of a dataset."""
    section = space.config.datasets[dataset]
    return [space.data_path(dataset, s) for split in splits for s in getattr(section, split)]


def weights(space: Workspace, *names: str) -> list[Path]:
    """The files of trained networks."""
    return [space.network_path(name) for name in names]


def tuned(space: Workspace, dataset: str, among: Collection[str] | None = None) -> list[Path]:
    """The records of the tuning whose settings a dataset has, of all methods or ``among`` some."""
    config, home = space.config, space.config.tuned_as(dataset)
    if config.tuning.shipped:
        return [space.root / config.tuning.shipped]
    found = [method for method in config.tuned_on(home) if among is None or method in among]
    return [space.tuning_path(home, method) for method in found]


def read_by(space: Workspace, notebook: str) -> list[Path]:
    """The files that a notebook reads, as its metadata says."""
    found = needs_of(notebook, space.config)
    files = [
        space.table_path(name, d, s)
        for name in found.comparisons
        for d, s in space.config.compared(name)
    ]
    files += [space.data_path(d, s) for d, s in found.volumes]
    files += weights(space, *found.networks)
    return files + [record for dataset in found.tuned for record in tuned(space, dataset)]


def inputs(space: Workspace, job: Job) -> list[Path]:
    """The files that a job reads."""
    config, names = space.config, job.names
    if job.kind == "gallery":
        return [space.notebook_path(notebook) for notebook in config.notebooks]
    if job.kind == "notebook":
        return read_by(space, *names)
    if job.kind == "cases":
        comparison, dataset, subject = names
        used = weights(space, *config.networks_in(comparison, dataset))
        records = tuned(space, dataset, config.methods_in(comparison, dataset))
        tried = config.chosen_on(dataset) if config.comparisons[comparison].choose else []
        home = config.tuned_as(dataset)
        volumes = [space.data_path(home, each) for each in tried]
        return [space.data_path(dataset, subject), *volumes, *used, *records]
    if job.kind == "tune":
        dataset, method = names
        used = weights(space, *config.serving(method, dataset))
        return prepared(space, dataset, "validation") + used
    if job.kind == "network":
        settings = config.networks[names[0]]
        begun = settings.starts_from
        volumes = prepared(space, settings.dataset, "train", "validation")
        return [*volumes, space.weights_path(begun)] if begun else volumes
    return []


def making(space: Workspace, path: Path) -> Job | None:
    """The job that makes a file of the results; None for a file that is shipped."""
    if space.results not in path.parents:
        return None
    folder, *rest = path.relative_to(space.results).with_suffix("").parts
    kinds = {"data": "prepare", "networks": "network", "tuning": "tune"}
    kinds |= {"tables": "cases", "notebooks": "notebook"}
    # A subject may lie in a folder.
    count = {"prepare": 2, "network": 1, "tune": 2, "cases": 3, "notebook": 1}[kinds[folder]]
    return Job(kinds[folder], (*rest[: count - 1], "/".join(rest[count - 1 :])), path)


def jobs(space: Workspace) -> Iterator[Job]:
    """Every job that the gallery of a configuration needs, once."""
    waiting, seen = [Job("gallery", (), space.figures / "index.html")], set()
    while waiting:
        job = waiting.pop()
        if job not in seen:
            seen.add(job)
            yield job
            waiting += [found for f in inputs(space, job) if (found := making(space, f))]
