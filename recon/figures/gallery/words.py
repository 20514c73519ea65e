"""Plain words for what tables and claims call by identifiers."""

import re
from dataclasses import dataclass

from recon import methods
from recon.figures.claims import as_text, kernels_of
from recon.figures.scorecard import PAPERS, decides, key, state, tally
from recon.figures.style import SETTINGS, named, style
from recon.study.config import Config


class Words:
    """The labels of methods and datasets."""

    def __init__(self, config: Config):
        self.datasets = {name: section.label for name, section in config.datasets.items()}
        self.networks = config.networks
        self.priors = {name: _prior(config, name) for name in config.networks}
        self.methods = {name: methods.lookup(name).label for name in methods.names()}

    def dataset(self, name: str) -> str:
        """The label of a dataset."""
        return self.datasets.get(name, name)

    def entry(self, column: str, name: object) -> str:
        """The label of a method, a prior or a setting; a value is called what it is."""
        if column == "prior":
            return self.prior(str(name))
        if column == "varied":
            return SETTINGS.get(str(name), str(name))
        return as_text(name) if column == "value" else style(name)["label"]

    def prior(self, name: str) -> str:
        """Its voxels and what is done with its kernels, if no other prior has the same."""
        mine = self.priors.get(name, name)
        alike = [
            other
            for other, label in self.priors.items()
            if label == mine and self.networks[other].dataset == self.networks[name].dataset
        ]
        return mine if len(alike) == 1 else name

    def seen(self, figure: str) -> str:
        """What slices a picture shows, from its name: the scan, the acceleration, the plane."""
        names = "|".join(map(re.escape, sorted(self.datasets, key=len, reverse=True)))
        found = re.search(rf"_({names})_R([\d.]+)(?:_(\w+))?$", figure)
        if not found:
            return ""
        dataset, rate, plane = found.groups()
        return f"{self.datasets[dataset]}, R = {rate}" + (f", {plane}" if plane else "")

    def sentences(self, text: str) -> str:
        """Findings in words: datasets and methods by their labels."""
        names = "|".join(map(re.escape, sorted(self.datasets, key=len, reverse=True)))
        where = re.compile(rf"(?:(?<=On )|(?<=- ))({names})(?=[ ,:])")
        text = where.sub(lambda m: self.datasets[m[1]], text)
        return named(text)

    def statement(self, text: str) -> str:
        """A claim in words: its dataset first, then methods by their labels."""
        place, colon, said = text.partition(": ")
        if not colon:
            return named(text)
        parts = [self.datasets.get(p, self.methods.get(p, p)) for p in place.split(", ")]
        for name in sorted(self.datasets, key=len, reverse=True):
            said = re.sub(rf"\bon {re.escape(name)}(?=[ ,]|$)", f"on {self.datasets[name]}", said)
        return ", ".join(parts) + ": " + named(said)


def _prior(config: Config, name: str) -> str:
    """What a prior was trained on, and what is done with its kernels."""
    section, kernels = config.networks[name], kernels_of(name)
    factor = config.datasets[section.dataset].voxel_factor
    sizes = f"{factor:g}" if isinstance(factor, float) else "×".join(f"{f:g}" for f in factor)
    said = "diverse prior" if getattr(section, "factors", None) else f"prior of {sizes}× voxels"
    said += ", some held out" if getattr(section, "held_out", None) else ""
    return said if kernels == "as it is" else f"{said}, {kernels}"


@dataclass(frozen=True)
class Verdict:
    """A claim as the page tells it."""

    id: str
    paper: str  # "A", "B", "C" or "ours"
    source: str  # "Paper A, Figure 3"
    statement: str
    state: str  # "holds", "fails" or "undecided", for the configuration with most volumes
    numbers: str
    elsewhere: dict[str, str]  # what the other configurations say of the same question


def verdict(
    claim: dict, config: str, words: Words, elsewhere: dict[str, dict[tuple, dict]]
) -> Verdict:
    """A line of the scorecard of ``config`` in words; ``elsewhere`` is from `scorecard.others`.

    It has the verdict of the configuration that knows most volumes.
    """
    lines = {config: claim} | {
        n: card[key(claim)] for n, card in elsewhere.items() if key(claim) in card
    }
    decided_by = decides(lines)
    decided, here = lines[decided_by], {config: state(claim["holds"])}
    beside = (here if decided_by != config else {}) | alike(claim, elsewhere)
    return Verdict(
        claim["id"],
        claim["paper"],
        source(claim["paper"], claim["figure"]),
        words.statement(claim["statement"]),
        state(decided["holds"]),
        ("" if decided_by == config else f"{decided_by}: ") + numbers(decided),
        beside,
    )


def alike(claim: dict, elsewhere: dict[str, dict[tuple, dict]]) -> dict[str, str]:
    """What other configurations say of the same question: a tally of their verdicts for each."""
    asked = claim["paper"], claim.get("question")
    found = {
        name: [state(c["holds"]) for c in card.values() if (c["paper"], c.get("question")) == asked]
        for name, card in elsewhere.items()
    }
    return {name: tally(states) for name, states in found.items() if states}


def source(paper: str, figure: str) -> str:
    """Who claims it and where: a figure of paper A or B, or else a notebook of ours.

    Of paper C we had no figures.
    """
    who, number = PAPERS.get(paper, paper), figure.split(",")[-1].strip()
    if number.isdigit() and int(number) >= 20:
        return f"{who}, notebook {number}"
    known = number[:1].isdigit() or number[:2] == "A."
    return f"{who}, Figure {figure}" if known else who


def numbers(claim: dict) -> str:
    """The numbers that a verdict rests on."""
    if claim["measured"] is None:
        return "no data"
    unit = claim.get("unit", "")
    said = f"measured {claim['measured']:.3g}{unit}"
    if claim["low"] is not None:
        said += f" ({claim['low']:.3g} to {claim['high']:.3g})"
    said += f", threshold {claim['threshold']:g}; "
    return said + f"{claim['agree']} of {claim['volumes']} volumes agree"
