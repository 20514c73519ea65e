"""The gallery page and the scorecard of a configuration.

The page tells paper by paper and figure by figure what is claimed, what came out and where it is
from. It needs no network: style, script and the slices of its viewers are inside, and pictures lie
beside it. Its layout is ``templates/gallery.html.j2``. Whatever is shown is escaped, and the page
forbids a browser to run any script but its own.
"""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from recon.figures import scorecard
from recon.figures.current import not_kept
from recon.figures.gallery import chapters, viewers, words
from recon.files import write_json, write_text
from recon.study.config import number
from recon.study.study import Study

TEMPLATES = Path(__file__).parents[1] / "templates"
STYLE = (TEMPLATES / "page.css").read_text()  # of this page and of those of the notebooks


def write(study: Study) -> None:
    """Writes ``scorecard.json`` and ``index.html`` beside the figures."""
    tables = {path.stem: pd.read_csv(path) for path in _shown(study, "csv")}
    lines = scorecard.card(study.config, tables)
    write_json(study.figures / "scorecard.json", lines)
    write_text(study.figures / "index.html", _page(study, tables, lines))


def _page(study: Study, tables: dict[str, pd.DataFrame], lines: list[dict]) -> str:
    """The page; a picture without a sidecar is no figure and is left out."""
    spoken = words.Words(study.config)
    elsewhere = scorecard.others(study)
    verdicts: dict[str, list[words.Verdict]] = {}
    for line in lines:
        told = words.verdict(line, study.config.name, spoken, elsewhere)
        verdicts.setdefault(line["comparison"], []).append(told)
    pictures = [path for path in _shown(study, "png") if path.with_suffix(".json").exists()]
    parts = chapters.parts(study, pictures, tables, verdicts, spoken)
    folder = study.figures.parent
    pages = [str(p.relative_to(folder)) for p in folder.glob("*/index.html")]
    # A link to a page that a checkout does not have would lead nowhere.
    here = {Path(page).parent.name for page in set(pages) - set(not_kept(folder, pages))}
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
        configs=sorted(here - {study.config.name}),
        cards=chapters.cards(parts, elsewhere, here, folder),
        viewer=viewers.data(study, spoken),
    )


def _shown(study: Study, suffix: str) -> list[Path]:
    """The files of the configured notebooks, by number."""
    numbers = set(map(number, study.config.notebooks))
    return [p for p in sorted(study.figures.glob(f"*.{suffix}")) if number(p.stem) in numbers]
