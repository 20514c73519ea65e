"""Every claim in one table: what this configuration decides, and what others say of the same."""

import json
from collections.abc import Collection, Mapping

import pandas as pd

from recon.figures import claims
from recon.figures.style import named
from recon.study.config import Config
from recon.study.study import Study

TOO_SMALL = {"smoke"}  # configurations that say nothing of quality
STATES = ("holds", "fails", "undecided")
PAPERS = {"A": "Paper A", "B": "Paper B", "C": "Paper C", "ours": "Ours"}


def state(holds: bool | None) -> str:
    """A verdict in one word."""
    return "undecided" if holds is None or pd.isna(holds) else "holds" if holds else "fails"


def card(config: Config, tables: Mapping[str, pd.DataFrame]) -> list[dict]:
    """The claims that tables decide, named by their comparisons, in the order of these.

    Each says which ``scans`` it is about, by the labels of the datasets: names such as ``brain_2x``
    mean phantoms in one configuration and people in another.
    """
    lines = []
    others = [name for name in claims.about_tables() if name not in config.comparisons]
    for name in (name for name in (*config.comparisons, *others) if name in tables):
        table = tables[name]
        known = {name: section.label for name, section in config.datasets.items()}
        labels = {name: known.get(name, name) for name in table["dataset"].unique()}
        for line in claims.scorecard(name, table):
            about = line.pop("datasets")
            # A claim about all scans of one voxel size names none of them.
            named = [dataset for dataset in about if dataset in labels] or list(labels)
            scans = {labels[name] for name in named}
            origins = table.loc[table["dataset"].isin(named), "origin"] if "origin" in table else []
            line |= {
                "question": question(line["statement"], {*about, *labels}),
                "origins": sorted(set(origins)),
            }
            lines.append(line | {"comparison": name, "scans": sorted(scans)})
    return lines


def question(statement: str, datasets: Collection[str]) -> str:
    """A claim without the scans that it is about: what is asked of phantoms and of people alike."""
    place, colon, said = statement.partition(": ")
    rest = ", ".join(part for part in place.split(", ") if part not in datasets)
    return f"{rest}: {said}" if colon and rest else said or statement


def key(line: dict) -> tuple[str, ...]:
    """What the same claim has in common in all configurations: its identifier and its scans."""
    return line["id"], *line.get("scans", [])


def decides(lines: Mapping[str, dict]) -> str:
    """Of the configurations that tell of a claim, the one that knows most volumes."""
    return max(lines, key=lambda config: lines[config].get("volumes") or 0)


def others(study: Study) -> dict[str, dict[tuple, dict]]:
    """The claims of other configurations: for each configuration, its claims by their `key`."""
    found = {}
    for path in sorted(study.figures.parent.glob("*/scorecard.json")):
        if path.parent != study.figures and path.parent.name not in TOO_SMALL:
            found[path.parent.name] = {key(line): line for line in json.loads(path.read_text())}
    return found


def board(study: Study) -> pd.DataFrame:
    """A row for each claim of any configuration, and a column of verdicts for each of them.

    Claims of this configuration come from its tables, those of others from their scorecards. The
    ``verdict`` and its numbers are those of the configuration that has most volumes.
    """
    mine = study.config.name
    tables = {name: study.comparison(name) for name in study.config.comparisons}
    # Tables of other kinds are as their notebooks left them.
    paths = {name: study.figures / f"{name}.csv" for name in claims.about_tables()}
    tables |= {n: pd.read_csv(p) for n, p in paths.items() if n not in tables and p.exists()}
    made = card(study.config, tables)
    cards = {mine: {key(line): line for line in made}} | others(study)
    rows = []
    for name in dict.fromkeys(name for lines in cards.values() for name in lines):
        by = {config: lines[name] for config, lines in cards.items() if name in lines}
        decided_by = decides(by)
        claim = by[decided_by]
        about = {"paper": PAPERS[claim["paper"]], "claim": claim["statement"]}
        about |= {"verdict": state(claim["holds"]), "decided by": decided_by}
        about |= {key: claim.get(key) for key in ("measured", "low", "high", "unit", "volumes")}
        about |= {"question": claim.get("question", claim["statement"])}
        about |= {"scans": ", ".join(claim.get("origins", []))}
        rows.append(about | {config: state(each["holds"]) for config, each in by.items()})
    return pd.DataFrame(rows, columns=None if rows else ["paper", "claim", "verdict"])


def overview(table: pd.DataFrame) -> pd.DataFrame:
    """Each question once: how many of its claims hold and fail on which kind of scan.

    ``table`` is that of `board`. Its verdicts count once, whatever configurations share a claim.
    """
    keys = ["paper", "question", "scans"]
    table = table.assign(question=table["question"].map(named))
    told = table.groupby(keys, sort=False)["verdict"].agg(tally).unstack("scans", fill_value="")
    return told.reindex(table[keys[:2]].drop_duplicates().apply(tuple, axis=1))


def tally(states: Collection[str]) -> str:
    """Verdicts in words: "2 hold, 1 fails"."""
    plural = {"holds": "hold", "fails": "fail"}
    found = counted(states)
    return ", ".join(f"{n} {plural.get(s, s) if n > 1 else s}" for s, n in found.items() if n)


def counted(states: Collection[str]) -> dict[str, int]:
    """How many claims hold, fail and are undecided."""
    return {state: list(states).count(state) for state in STATES}


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """How many claims of each paper hold, fail and are undecided."""
    found = pd.crosstab(table["paper"], table["verdict"])
    return found.reindex(columns=STATES, fill_value=0).reindex(PAPERS.values(), fill_value=0)
