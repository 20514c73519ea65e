"""Every claim in one table: what this configuration decides, and what others say of the same."""

import json

import pandas as pd

from recon.figures import claims
from recon.study.study import Study

PAPERS = {"A": "Paper A", "B": "Paper B", "C": "Paper C", "ours": "Ours"}


def state(holds: bool | None) -> str:
    """A verdict in one word."""
    return "undecided" if holds is None or pd.isna(holds) else "holds" if holds else "fails"


def others(study: Study) -> dict[str, dict[str, dict]]:
    """The claims of other configurations: for each configuration, its claims by identifier."""
    found = {}
    for path in sorted(study.figures.parent.glob("*/scorecard.json")):
        if path.parent != study.figures:
            found[path.parent.name] = {c["id"]: c for c in json.loads(path.read_text())}
    return found


def board(study: Study) -> pd.DataFrame:
    """A row for each claim of any configuration, and a column of verdicts for each of them.

    Claims of this configuration come from its tables, those of others from their scorecards. The
    ``verdict`` and its numbers are those of the configuration that has most volumes.
    """
    mine = study.config.name
    made = (c for n in study.config.comparisons for c in claims.scorecard(n, study.comparison(n)))
    cards = {mine: {claim["id"]: claim for claim in made}} | others(study)
    rows = []
    for name in dict.fromkeys(name for card in cards.values() for name in card):
        by = {config: card[name] for config, card in cards.items() if name in card}
        decided_by, claim = max(by.items(), key=lambda item: item[1].get("volumes") or 0)
        about = {"paper": PAPERS[claim["paper"]], "claim": claim["statement"]}
        about |= {"verdict": state(claim["holds"]), "decided by": decided_by}
        about |= {key: claim.get(key) for key in ("measured", "low", "high", "volumes")}
        rows.append(about | {config: state(each["holds"]) for config, each in by.items()})
    return pd.DataFrame(rows, columns=None if rows else ["paper", "claim", "verdict"])


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each paper hold, fail and are undecided."""
    found = pd.crosstab(table["paper"], table["verdict"])
    states = ["holds", "fails", "undecided"]
    return found.reindex(columns=states, fill_value=0).reindex(PAPERS.values(), fill_value=0)
