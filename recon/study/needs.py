"""What a notebook reads, as its own metadata says: ``{"recon": {"needs": ["tables"]}}``.

- ``tables``: the comparisons that start with its number (the default),
- ``all tables``: every comparison,
- ``volumes``: one test volume of every dataset,
- ``example``: one test volume of the first dataset, with its prior and its tuning,
- ``downloads``: the list of what has been downloaded.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from recon.errors import ReconError
from recon.study.config import Config, notebook_file

KNOWN = ("tables", "all tables", "volumes", "example", "downloads")


@dataclass
class Needs:
    """The inputs of a notebook, by name."""

    volumes: list[tuple[str, str]] = field(default_factory=list)  # (dataset, subject)
    networks: list[str] = field(default_factory=list)
    tuned: list[str] = field(default_factory=list)  # datasets
    comparisons: list[str] = field(default_factory=list)
    shown: list[tuple[str, str]] = field(default_factory=list)  # (comparison, dataset)
    methods: list[str] = field(default_factory=list)  # of the comparisons
    settings: list[tuple[str, str]] = field(default_factory=list)  # tuned: (dataset, method)
    downloads: bool = False


def stated(notebook: Path) -> list[str]:
    """The words in the notebook's metadata; unknown ones are refused."""
    metadata = json.loads(notebook.read_text())["metadata"]
    words = metadata.get("recon", {}).get("needs", ["tables"])
    for word in words:
        if word not in KNOWN:
            unknown = f"{notebook}: needs {word!r} in its metadata"
            raise ReconError(f"{unknown}; choose of {', '.join(KNOWN)}")
    return words


def needs_of(notebook: str | None, config: Config) -> Needs:
    """What the notebook of a name reads of the results of a configuration; None reads nothing."""
    if notebook is None:
        return Needs()
    words, needs = stated(notebook_file(notebook)), Needs()
    if "all tables" in words:
        needs.comparisons = list(config.comparisons)
    if "tables" in words:
        needs.comparisons = config.shown_in(notebook)
        for name in needs.comparisons:
            needs.volumes += config.compared(name)
            for dataset in dict(config.compared(name)):
                needs.networks += config.networks_in(name, dataset)
    if "volumes" in words:
        needs.volumes += [(name, str(section.test[0])) for name, section in config.datasets.items()]
    if "example" in words:
        name, section = next(iter(config.datasets.items()))
        prior = config.prior_of(name)
        needs.volumes.append((name, str(section.test[0])))
        needs.networks += [prior] if prior else []
        needs.tuned.append(name)
    needs.downloads = "downloads" in words
    needs.volumes = list(dict.fromkeys(needs.volumes))
    needs.networks = list(dict.fromkeys(needs.networks))
    needs.shown = [(name, d) for name in needs.comparisons for d in dict(config.compared(name))]
    used = [m for name, dataset in needs.shown for m in config.methods_in(name, dataset)]
    needs.methods = list(dict.fromkeys(used))
    needs.settings = list(dict.fromkeys(_tuned(config, needs)))
    return needs


def _tuned(config: Config, needs: Needs) -> Iterator[tuple[str, str]]:
    """The (dataset, method) pairs whose tuned settings a notebook depends on."""
    for dataset in needs.tuned:
        yield from ((dataset, method) for method in config.tuned_on(dataset))
    for name, dataset in needs.shown:
        if config.comparisons[name].settings == "tuned":
            home = config.tuned_as(dataset)
            yield from ((home, method) for method in config.methods_in(name, dataset))


def part_of(config: Config, needs: Needs) -> dict:
    """The configuration with those sections alone that the figures of a notebook follow from."""
    networks = [n for name in needs.networks for n in (name, config.networks[name].weights_of) if n]
    datasets = [d for d, _ in [*needs.volumes, *needs.settings]] + [d for _, d in needs.shown]
    datasets += [config.networks[name].dataset for name in networks]
    named = {"datasets": datasets, "networks": networks}
    named |= {"methods": needs.methods, "comparisons": needs.comparisons}
    whole = config.model_dump(mode="json")
    kept = {part: {n: v for n, v in whole[part].items() if n in named[part]} for part in named}
    return whole | kept
