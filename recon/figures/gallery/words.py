"""Plain words for what tables and claims call by identifiers."""

import re
from dataclasses import dataclass

from recon import methods
from recon.figures.claims import as_text
from recon.figures.scorecard import PAPERS, decides, key, state
from recon.figures.style import style
from recon.study.config import Config


class Words:
    """The labels of methods and datasets."""

    def __init__(self, config: Config):
        self.datasets = {name: section.label for name, section in config.datasets.items()}
        self.methods = {name: methods.lookup(name).label for name in methods.names()}
        longest = sorted(self.methods, key=len, reverse=True)
        self.pattern = re.compile(rf"\b({'|'.join(longest)})\b")

    def dataset(self, name: str) -> str:
        """The label of a dataset."""
        return self.datasets.get(name, name)

    def entry(self, column: str, name: object) -> str:
        """The label of a method or a prior; a setting and its value are called what they are."""
        return as_text(name) if column in ("varied", "value") else style(name)["label"]

    def sentences(self, text: str) -> str:
        """Findings in words: datasets and methods by their labels."""
        names = "|".join(map(re.escape, sorted(self.datasets, key=len, reverse=True)))
        where = re.compile(rf"(?:(?<=On )|(?<=- ))({names})(?=[ ,:])")
        text = where.sub(lambda m: self.datasets[m[1]], text)
        return self.pattern.sub(lambda m: self.methods[m[0]], text)

    def statement(self, text: str) -> str:
        """A claim in words: its dataset first, then methods by their labels."""
        place, colon, said = text.partition(": ")
        if not colon:
            return self.pattern.sub(lambda m: self.methods[m[0]], text)
        parts = [self.datasets.get(p, self.methods.get(p, p)) for p in place.split(", ")]
        return ", ".join(parts) + ": " + self.pattern.sub(lambda m: self.methods[m[0]], said)


@dataclass(frozen=True)
class Verdict:
    """A claim as the page tells it."""

    id: str
    paper: str  # "A", "B", "C" or "ours"
    source: str  # "Paper A, Figure 3"
    statement: str
    state: str  # "holds", "fails" or "undecided", for the configuration with most volumes
    numbers: str
    elsewhere: dict[str, str]  # the state in the other configurations


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
    decided, figure = lines.pop(decided_by), claim["figure"]
    number = figure.split(",")[-1].strip()
    where = f", Figure {figure}" if number[:1].isdigit() or number[:2] == "A." else ""
    return Verdict(
        claim["id"],
        claim["paper"],
        PAPERS.get(claim["paper"], claim["paper"]) + where,
        words.statement(claim["statement"]),
        state(decided["holds"]),
        ("" if decided_by == config else f"{decided_by}: ") + numbers(decided),
        {name: state(line["holds"]) for name, line in lines.items()},
    )


def numbers(claim: dict) -> str:
    """The numbers that a verdict rests on."""
    if claim["measured"] is None:
        return "no data"
    said = f"measured {claim['measured']:.3g}"
    if claim["low"] is not None:
        said += f" ({claim['low']:.3g} to {claim['high']:.3g})"
    said += f", threshold {claim['threshold']:g}; "
    return said + f"{claim['agree']} of {claim['volumes']} volumes agree"
