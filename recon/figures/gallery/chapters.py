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
from recon.figures.scorecard import counted, state
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
SLICES = re.compile("_(slices|planes|pictures)_")  # in the name of a picture of slices
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
    drawn: bool  # whether it is here as .svg too


@dataclass(frozen=True)
class Chapter:
    """A notebook: what is claimed, its figures, and what was found."""

    name: str
    title: str
    claimed: Markup
    found: Markup
    pictures: list[Picture]
    page: bool  # whether the page of the executed notebook is here


@dataclass(frozen=True)
class Card:
    """What the page begins with: a part, or what another configuration says of a paper."""

    title: str
    subtitle: str
    counts: dict[str, int]
    page: str  # where it leads; empty where nothing is here
    image: str  # empty where there is none
    shown: str  # where the image leads


@dataclass
class Part:
    """A paper, or what is beside the papers."""

    title: str
    subtitle: str
    chapters: list[Chapter] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """Where the part begins."""
        return "part-" + self.title.lower().replace(" ", "-")

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
        return counted(states)

    @property
    def strip(self) -> Picture | None:
        """The picture that stands for the part: the first of slices, or else the first of all."""
        slices = (p for p in self.pictures if SLICES.search(p.name))
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
    seen = words.seen(name)
    return Picture(
        name,
        f"{title or name}: {seen}" if seen else title or name,
        f"{name}.png",
        caption(table, words),
        None if table is None else short(table, words),
        0 if table is None else len(table),
        json.loads(path.with_suffix(".json").read_text()),
        anchor,
        verdicts.get(name, []),
        path.with_suffix(".svg").exists(),
    )


def cards(
    parts: list[Part], elsewhere: dict[str, dict[tuple, dict]], here: set[str], figures: Path
) -> list[Card]:
    """What the page begins with, in the order of `PARTS`.

    For a paper without a part it is what the configuration says that has most of its claims.
    ``elsewhere`` is that of `scorecard.others`, ``here`` names configurations with a page, and
    ``figures`` is the folder of all of them.
    """
    own, found = {part.title: part for part in parts}, []
    for first, (title, subtitle) in (PARTS | {"": OTHER}).items():
        if part := own.get(title):
            image = part.strip.image if part.strip else ""
            target = part.strip.name if part.strip else part.anchor
            found.append(Card(title, subtitle, part.counts, f"#{part.anchor}", image, f"#{target}"))
            continue
        states = {
            name: [state(c["holds"]) for c in card.values() if title == f"Paper {c['paper']}"]
            for name, card in elsewhere.items()
        }
        most = max(states, key=lambda name: len(states[name]), default="")
        if states.get(most):
            page = f"../{most}/index.html" if most in here else ""
            shown = [p.name for p in figures.glob(f"{most}/{first}*.png") if SLICES.search(p.name)]
            image = f"../{most}/{min(shown)}" if shown and page else ""
            said = f"{subtitle}; from the configuration {most}"
            found.append(Card(title, said, counted(states[most]), page, image, page))
    return found


def opening(source: nbformat.NotebookNode) -> tuple[str, Markup]:
    """The title of a notebook, and its paragraph on what is claimed, or else its first one."""
    title, *paragraphs = re.split(r"\n\s*\n", source.cells[0].source.strip())
    claimed = [text for text in paragraphs if "claims**" in text] or paragraphs[:1]
    return title.removeprefix("# "), html("\n\n".join(claimed))


def origin(source: nbformat.NotebookNode, name: str) -> tuple[str, str]:
    """The heading above the cell that saves a figure, and the anchor of this cell.

    A cell names the figure, or what its name begins with. Or it takes the names of figures from
    elsewhere: then slices are sought where slices are drawn.
    """
    heading, best = "", (0, "", "")
    for cell in source.cells:
        if cell.cell_type == "markdown":
            found = re.findall(r"^##+ (.+)$", cell.source, re.MULTILINE)
            heading = found[-1] if found else heading
        elif calls := re.findall(r"\b(save|same_slices|browse)\(", cell.source):
            named = re.findall(r'"(\d\d_[^"]*)"', cell.source)
            patterns = [re.sub(r"\\{.*?\\}", ".+", re.escape(each)) for each in named]
            fits = [len(p) for p in patterns if re.match(p, name)]
            slices = SLICES.search(name) is not None
            drawn = slices == ("save" not in calls)
            rank = 10 + max(fits) if fits else 0 if named else 1 + drawn
            if rank > best[0]:
                best = rank, heading, f"#cell-id={cell.get('id', '')}"
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
