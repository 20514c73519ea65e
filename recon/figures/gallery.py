"""The gallery page and the scorecard of a configuration: every picture, its table and the claims it
decides.
"""

import html
import json
from pathlib import Path

import pandas as pd

from recon.figures import claims
from recon.files import write_text
from recon.study.config import number
from recon.study.study import Study

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
img{max-width:100%;border:1px solid #ddd}table{border-collapse:collapse;font-size:14px;margin:.5rem 0}
td,th{border-bottom:1px solid #ddd;padding:.2rem .6rem;text-align:right}td:first-child,th:first-child,.l{text-align:left}
.yes{color:#060}.no{color:#b00}.open{color:#777}details{margin:.5rem 0}"""


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
    pictures = [p for p in _shown(study, "png") if p.with_suffix(".json").exists()]
    pages = " · ".join(f"<a href='{n}.html'>{n}</a>" for n in study.config.notebooks)
    sections = [f"<p>Notebooks: {pages}</p>", _scorecard(decided)] + [
        _section(study, p.stem, tables.get(p.stem)) for p in pictures
    ]
    title = html.escape(study.config.title)
    page = f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{title}</title>"
    write_text(
        study.figures / "index.html",
        f"{page}<style>{STYLE}</style><h1>{title}</h1>{''.join(sections)}</html>\n",
    )


def _shown(study: Study, suffix: str) -> list[Path]:
    """The files of the configured notebooks, by number."""
    numbers = set(map(number, study.config.notebooks))
    return [p for p in sorted(study.figures.glob(f"*.{suffix}")) if number(p.stem) in numbers]


def _section(study: Study, name: str, table: pd.DataFrame | None) -> str:
    made = json.loads((study.figures / f"{name}.json").read_text())
    changed = " with local changes" if made["dirty"] else ""
    origin = f"commit {made['git'][:10] or 'unknown'}{changed}, {made['device']}, {made['wall_time_s']:.0f} s"
    out = f"<h2 id='{name}'>{name}</h2><a href='{name}.svg'><img src='{name}.png' alt='{name}'></a>"
    out += f"<p>{origin} · <a href='{name}.json'>sidecar</a>"
    if table is not None:
        shown = table.to_html(index=False, float_format="%.3f", border=0)
        out += f" · <a href='{name}.csv'>table</a></p><details><summary>{len(table)} rows</summary>{shown}</details>"
    return out


def _scorecard(decided: list[dict]) -> str:
    words = {
        True: "<b class=yes>holds</b>",
        False: "<b class=no>does not hold</b>",
        None: "<span class=open>not enough data</span>",
    }
    rows = ""
    for claim in decided:
        measured = "–" if claim["measured"] is None else f"{claim['measured']:.3g}"
        rows += f"<tr><td class=l>{html.escape(claim['statement'])}</td><td>{claim['paper']} {claim['figure']}</td>"
        rows += (
            f"<td>{measured}</td><td>{claim['threshold']:g}</td><td>{words[claim['holds']]}</td>"
        )
        rows += f"<td>{claim['agree']} of {claim['volumes']}</td></tr>"
    head = "<tr><th>claim</th><th>paper, figure</th><th>measured</th><th>threshold</th><th></th><th>volumes that agree</th></tr>"
    return f"<h2>Scorecard</h2><table>{head}{rows}</table>" if rows else ""
