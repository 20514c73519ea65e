"""The parts of the page: the papers, their notebooks, and the figures of each."""

import json
import re
from dataclasses import dataclass, field
from html import escape, unescape
from pathlib import Path
from typing import Literal
from xml.etree.ElementTree import tostring

import mistune
import nbformat
import pandas as pd
from latex2mathml.converter import convert_to_element
from markupsafe import Markup

from recon.figures.gallery.captions import Short, caption, short
from recon.figures.gallery.words import Verdict, Words
from recon.study.config import notebook_file, number
from recon.study.study import Study

PARTS = {
    "0": ("Tutorials", "from k-space to one's own scan"),
    "1": ("Paper A", "Resolution-robust 3D MRI reconstruction with 2D diffusion priors"),
    "2": ("Paper B", "INFusion: diffusion regularized implicit neural representations"),
    "3": ("Paper C", "R3DM: MRI reconstruction with a regularized 3D diffusion model"),
    "4": ("Beyond the papers", "what decides, and what they leave open"),
    "9": ("Scorecard", "every claim in one place"),
}
OTHER = ("More", "added by users")
# That of nbconvert lets tags and links to code through.
MARKDOWN = mistune.create_markdown(escape=True, plugins=["table", "math"])
for place, display in (("inline_math", "inline"), ("block_math", "block")):
    MARKDOWN.renderer.register(
        place, lambda _, latex, display=display: formula(latex, display=display)
    )


@dataclass(frozen=True)
class Picture:
    """A figure with all that stands beside it."""

    name: str
    title: str
    image: str  # the file that is shown
    caption: str
    summary: Short | None
    rows: int  # of the table beside it; 0 where there is none
    made: dict  # the sidecar
    anchor: str  # of the cell that made it
    verdicts: list[Verdict]


@dataclass(frozen=True)
class Chapter:
    """A notebook: what is claimed, its figures, and what was found."""

    name: str
    title: str
    claimed: Markup
    found: Markup
    pictures: list[Picture]
    page: bool  # whether the page of the executed notebook is here


@dataclass
class Part:
    """A paper, or what is beside the papers."""

    title: str
    subtitle: str
    chapters: list[Chapter] = field(default_factory=list)

    @property
    def pictures(self) -> list[Picture]:
        """The figures of all chapters."""
        return [picture for chapter in self.chapters for picture in chapter.pictures]

    @property
    def counts(self) -> dict[str, int]:
        """How many claims hold, fail and are undecided: those of the paper, or else all."""
        verdicts = [v for picture in self.pictures for v in picture.verdicts]
        own = [v.state for v in verdicts if self.title.endswith(f" {v.paper}")]
        states = own if self.title.startswith("Paper") else [v.state for v in verdicts]
        return {state: states.count(state) for state in ("holds", "fails", "undecided")}

    @property
    def strip(self) -> Picture | None:
        """The picture that stands for the part: the first of slices, or else the first of all."""
        slices = (p for p in self.pictures if re.search("_(slices|planes|pictures)_", p.name))
        return next(slices, next(iter(self.pictures), None))


def parts(
    study: Study,
    pictures: list[Path],
    tables: dict[str, pd.DataFrame],
    verdicts: dict[str, list[Verdict]],
    words: Words,
) -> list[Part]:
    """The parts that the configuration's notebooks belong to, in their order."""
    out: dict[str, Part] = {}
    for name in study.config.notebooks:
        source = nbformat.read(notebook_file(name), nbformat.NO_CONVERT)
        mine = [path for path in pictures if number(path.stem) == number(name)]
        shown = [picture(path, source, tables, verdicts, words) for path in mine]
        title, claimed = opening(source)
        page = (study.figures / f"{name}.html").exists()
        chapter = Chapter(name, title, claimed, findings(study, name, words), shown, page)
        out.setdefault(name[0], Part(*PARTS.get(name[0], OTHER))).chapters.append(chapter)
    return list(out.values())


def picture(
    path: Path,
    source: nbformat.NotebookNode,
    tables: dict[str, pd.DataFrame],
    verdicts: dict[str, list[Verdict]],
    words: Words,
) -> Picture:
    """A figure, from its files and from the notebook that made it."""
    name, table = path.stem, tables.get(path.stem)
    title, anchor = origin(source, name)
    return Picture(
        name,
        title,
        f"{name}.png",
        caption(table, words),
        None if table is None else short(table, words),
        0 if table is None else len(table),
        json.loads(path.with_suffix(".json").read_text()),
        anchor,
        verdicts.get(name, []),
    )


def opening(source: nbformat.NotebookNode) -> tuple[str, Markup]:
    """The title of a notebook, and its paragraph on what is claimed, or else its first one."""
    title, *paragraphs = re.split(r"\n\s*\n", source.cells[0].source.strip())
    claimed = [text for text in paragraphs if "claims**" in text] or paragraphs[:1]
    return title.removeprefix("# "), html("\n\n".join(claimed))


def origin(source: nbformat.NotebookNode, name: str) -> tuple[str, str]:
    """The heading above the cell that saves a figure, and the anchor of this cell.

    A cell names the figure, or what its name begins with.
    """
    heading, best = "", ("", "", "")
    for cell in source.cells:
        if cell.cell_type == "markdown":
            found = re.findall(r"^##+ (.+)$", cell.source, re.MULTILINE)
            heading = found[-1] if found else heading
            continue
        for saved in re.findall(r'"(\d\d_\w+)"', cell.source):
            if name.startswith(saved) and len(saved) > len(best[0]):
                best = saved, heading, f"#cell-id={cell.get('id', '')}"
    return best[1], best[2]


def findings(study: Study, name: str, words: Words) -> Markup:
    """What the executed notebook found, as it left it; empty where it did not run."""
    path = study.figures / f"{name}.md"
    return html(words.sentences(path.read_text())) if path.exists() else Markup("")


def html(markdown: str) -> Markup:
    """Markdown as HTML that runs nothing: tags are shown as text, and links to code are dropped.

    Formulas are drawn.
    """
    return Markup(MARKDOWN(markdown))


def formula(latex: str, display: Literal["inline", "block"] = "inline") -> str:
    """A formula as MathML, which a browser draws without a script. Tags in it are text.

    What is no formula is shown as it is written.
    """
    try:
        tree = convert_to_element(" ".join(latex.split()), display=display)
    except Exception:  # the converter's errors have no class in common
        return escape(f"${latex}$")
    for node in tree.iter():  # the converter writes characters as entities
        node.text = node.text and unescape(node.text)
    return tostring(tree, encoding="unicode")
