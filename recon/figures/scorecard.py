"""Every claim in one table: what this configuration decides, and what others say of the same."""

import json

import pandas as pd

from recon.figures import claims
from recon.study.study import Study

PAPERS = {"A": "Paper A", "B": "Paper B", "C": "Paper C", "ours": "Ours"}


def state(holds: bool | None) -> str:
    """A verdict in one word."""
    return "undecided" if holds is None or pd.isna(holds) else "holds" if holds else "fails"


def others(study: Study) -> dict[str, dict[str, bool | None]]:
    """What other configurations say of a claim: by its identifier, the verdict of each."""
    found: dict[str, dict[str, bool | None]] = {}
    for path in sorted(study.figures.parent.glob("*/scorecard.json")):
        if path.parent != study.figures:
            for claim in json.loads(path.read_text()):
                found.setdefault(claim["id"], {})[path.parent.name] = claim["holds"]
    return found


def board(study: Study) -> pd.DataFrame:
    """A row for each claim, and a column of verdicts for each configuration.

    Claims of this configuration come from its tables, those of others from their scorecards.
    """
    rows, elsewhere, mine = [], others(study), study.config.name
    for name in study.config.comparisons:
        for claim in claims.scorecard(name, study.comparison(name)):
            about = {"paper": PAPERS[claim["paper"]], "claim": claim["statement"]}
            numbers = {key: claim[key] for key in ("measured", "low", "high", "volumes")}
            said = {config: state(h) for config, h in elsewhere.get(claim["id"], {}).items()}
            rows.append(about | {mine: state(claim["holds"])} | said | numbers)
    return pd.DataFrame(rows, columns=None if rows else ["paper", "claim", mine])


def counts(table: pd.DataFrame, config: str) -> pd.DataFrame:
    """How many claims of each paper hold, fail and are undecided in one configuration."""
    found = pd.crosstab(table["paper"], table[config])
    states = ["holds", "fails", "undecided"]
    return found.reindex(columns=states, fill_value=0).reindex(PAPERS.values(), fill_value=0)
