"""The gallery page and the scorecard of a configuration.

The page shows every picture with its provenance and its table, and the claims that tables decide.
Its layout is ``templates/gallery.html.j2``.
"""

import json
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from recon.figures import claims
from recon.files import write_text
from recon.study.config import number
from recon.study.study import Study

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
img{max-width:100%;border:1px solid #ddd}
table{border-collapse:collapse;font-size:14px;margin:.5rem 0}
td,th{border-bottom:1px solid #ddd;padding:.2rem .6rem;text-align:right}
td:first-child,th:first-child,.l{text-align:left}
.yes{color:#060}.no{color:#b00}.open{color:#777}details{margin:.5rem 0}
"""


def write(study: Study) -> None:
    """Writes ``scorecard.json`` and ``index.html`` beside the figures."""
    tables = {path.stem: pd.read_csv(path) for path in _shown(study, "csv")}
    decided = [
        claim
        for name in study.config.comparisons
        if name in tables
        for claim in claims.scorecard(name, tables[name])
    ]
    write_text(study.figures / "scorecard.json", json.dumps(decided, indent=1))
    write_text(study.figures / "index.html", _page(study, tables, decided))


def _page(study: Study, tables: dict[str, pd.DataFrame], decided: list[dict]) -> str:
    """The page; a picture without a sidecar is no figure and is left out."""
    sidecars = {path.stem: path.with_suffix(".json") for path in _shown(study, "png")}
    pictures = [
        {
            "name": name,
            "large": f"{name}{'.svg' if path.with_suffix('.svg').exists() else '.png'}",
            "made": json.loads(path.read_text()),
            "table": tables.get(name),
        }
        for name, path in sidecars.items()
        if path.exists()
    ]
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        undefined=StrictUndefined,
    )
    templates.filters["as_html"] = _table
    return templates.get_template("gallery.html.j2").render(
        title=study.config.title,
        style=Markup(STYLE),
        notebooks=study.config.notebooks,
        claims=decided,
        pictures=pictures,
    )


def _shown(study: Study, suffix: str) -> list[Path]:
    """The files of the configured notebooks, by number."""
    numbers = set(map(number, study.config.notebooks))
    return [p for p in sorted(study.figures.glob(f"*.{suffix}")) if number(p.stem) in numbers]


def _table(table: pd.DataFrame) -> Markup:
    """A table as HTML; pandas escapes its cells."""
    return Markup(table.to_html(index=False, float_format="%.3f", border=0))
