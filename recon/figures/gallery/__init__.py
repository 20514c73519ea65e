"""The gallery page and the scorecard of a configuration.

The page tells paper by paper and figure by figure what is claimed, what came out and where it is
from. It needs no network: style, script and the slices of its viewers are inside, and pictures lie
beside it. Its layout is ``templates/gallery.html.j2``. Whatever is shown is escaped, and the page
forbids a browser to run any script but its own.
"""

import json
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from recon.figures import claims
from recon.figures.gallery import chapters, viewers, words
from recon.figures.scorecard import others
from recon.files import write_text
from recon.study.config import number
from recon.study.study import Study

TEMPLATES = Path(__file__).parents[1] / "templates"
STYLE = (TEMPLATES / "page.css").read_text()  # of this page and of those of the notebooks


def write(study: Study) -> None:
    """Writes ``scorecard.json`` and ``index.html`` beside the figures."""
    tables = {path.stem: pd.read_csv(path) for path in _shown(study, "csv")}
    decided = {
        name: claims.scorecard(name, tables[name])
        for name in study.config.comparisons
        if name in tables
    }
    card = [claim for family in decided.values() for claim in family]
    write_text(study.figures / "scorecard.json", json.dumps(card, indent=1))
    write_text(study.figures / "index.html", _page(study, tables, decided))


def _page(study: Study, tables: dict[str, pd.DataFrame], decided: dict[str, list[dict]]) -> str:
    """The page; a picture without a sidecar is no figure and is left out."""
    spoken = words.Words(study.config)
    elsewhere = others(study)
    verdicts = {
        name: [words.verdict(claim, spoken, elsewhere) for claim in family]
        for name, family in decided.items()
    }
    pictures = [path for path in _shown(study, "png") if path.with_suffix(".json").exists()]
    parts = chapters.parts(study, pictures, tables, verdicts, spoken)
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    templates.policies["json.dumps_kwargs"] = {"sort_keys": False}  # methods are in their order
    script = (TEMPLATES / "gallery.js").read_text()
    return templates.get_template("gallery.html.j2").render(
        title=study.config.title,
        name=study.config.name,
        style=Markup(STYLE + (TEMPLATES / "gallery.css").read_text()),
        script=Markup(script),
        runs=b64encode(sha256(script.encode()).digest()).decode(),
        parts=parts,
        verdicts=[verdict for family in verdicts.values() for verdict in family],
        configs=sorted(
            page.parent.name
            for page in study.figures.parent.glob("*/index.html")
            if page.parent != study.figures
        ),
        viewer=viewers.data(study, spoken),
    )


def _shown(study: Study, suffix: str) -> list[Path]:
    """The files of the configured notebooks, by number."""
    numbers = set(map(number, study.config.notebooks))
    return [p for p in sorted(study.figures.glob(f"*.{suffix}")) if number(p.stem) in numbers]
