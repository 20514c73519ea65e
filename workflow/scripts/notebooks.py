"""Executes a notebook with papermill; a notebook that fails is kept with its traceback."""

import re
from base64 import b64decode, b64encode
from html import escape
from pathlib import Path

import nbconvert
import nbformat
import papermill
from nbclient.exceptions import DeadKernelError

from recon.errors import ReconError
from recon.figures.gallery import STYLE
from recon.figures.gallery.chapters import formula, html
from recon.figures.saving import flat
from recon.files import copy, refusals, write_text
from recon.schema import ROOT
from recon.study.config import number
from recon.study.study import Study

WIDGET = "application/vnd.jupyter.widget-view+json"
EXTRA = (
    "pre{background:#f6f6f6;padding:.5rem;overflow:auto;font-size:13px}"
    ".prompt,.anchor-link{display:none}"
)
NO_SCRIPT = (
    "<meta http-equiv=Content-Security-Policy "
    "content=\"script-src 'none'; object-src 'none'; base-uri 'none'\">"
)


def execute(study: Study, name: str, executed: Path) -> None:
    """Runs ``notebooks/NAME.ipynb`` into ``executed``.

    Where it succeeds it is copied to the results. Its page, and what it found for the gallery, go
    to the figures. Figures that an earlier version of the notebook made, and this one did not, are
    deleted. Raises `ReconError` where it fails; ``executed`` then has what was run, and the
    traceback.
    """
    source = ROOT / "notebooks" / f"{name}.ipynb"
    if "config" not in papermill.inspect_notebook(str(source)):
        raise ReconError(f"{source}: has no parameter 'config' in a cell tagged parameters")
    target = study.results / "notebooks" / f"{name}.ipynb"
    before = written(study.figures, name)
    with refusals(executed):
        executed.parent.mkdir(parents=True, exist_ok=True)
        run(source, executed, study.source)
    for old in before & written(study.figures, name):
        old[0].unlink()
    write_text(study.figures / f"{name}.html", page(executed, name))
    write_text(study.figures / f"{name}.md", found(executed))
    copy(executed, target)


def run(source: Path, executed: Path, config: str) -> None:
    """Runs a notebook in a kernel of its own."""
    try:
        papermill.execute_notebook(
            str(source),
            str(executed),
            {"config": config},
            cwd=str(ROOT),
            progress_bar=False,
            kernel_name="python3",
        )
    except papermill.PapermillExecutionError as error:
        why = " ".join(f"{error.ename}: {error.evalue}".split())
        failed = f"cell [{error.exec_count}] fails with {why}"
        raise ReconError(f"{source}: {failed}; its traceback is in {executed}") from error
    except DeadKernelError as error:
        died = "its kernel died, killed by the system or for want of memory"
        raise ReconError(f"{source}: {died}; {executed} shows how far it came") from error


def written(folder: Path, name: str) -> set[tuple[Path, int, int]]:
    """The files of a notebook's figures; one that is written again is another member of the set."""
    named = folder.glob(f"{number(name)}_*")
    found = ((path, path.stat()) for path in named if path.suffix != ".part")
    return {(path, stat.st_ino, stat.st_mtime_ns) for path, stat in found}


def found(executed: Path) -> str:
    """What a notebook found, in Markdown: the text that its last cell computed."""
    outputs = nbformat.read(executed, nbformat.NO_CONVERT).cells[-1].get("outputs", [])
    texts = [o["data"]["text/markdown"] for o in outputs if "text/markdown" in o.get("data", {})]
    return "\n\n".join(texts) + "\n" * bool(texts)


def page(executed: Path, title: str) -> str:
    """The page of an executed notebook."""
    notebook = typeset(linked(still(nbformat.read(executed, nbformat.NO_CONVERT))))
    body, _ = nbconvert.HTMLExporter(template_name="basic").from_notebook_node(notebook)
    head = f"<meta charset=utf-8>{NO_SCRIPT}<title>{escape(title)}</title>"
    head += f"<style>{STYLE}{EXTRA}</style>"
    return f"<!doctype html><html lang=en>{head}{body}</html>\n"


def still(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without its sliders, which need a kernel; their figures stay."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
    return notebook


def linked(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with links in place of the pictures that lie as files beside its page.

    Pictures that lie nowhere else stay in the page, with 256 colours each.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            file = output.get("metadata", {}).get("image/png", {}).get("file")
            if file:
                picture = f"<img src='{escape(file)}' alt='{escape(Path(file).stem)}'>"
                output.data = nbformat.NotebookNode({"text/html": picture})
            elif "image/png" in output.get("data", {}):
                small = flat(b64decode(output.data["image/png"]))
                output.data["image/png"] = b64encode(small).decode()
    return notebook


def typeset(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with MathML in place of LaTeX, which a browser draws without any script.

    Text that was computed may hold words of a configuration, so its tags are shown as text.
    """
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = mathml(cell.source)
        for output in cell.get("outputs", []):
            if "text/markdown" in output.get("data", {}):
                output.data = nbformat.NotebookNode(
                    {"text/html": str(html(output.data["text/markdown"]))}
                )
    return notebook


def mathml(text: str) -> str:
    """Markdown with ``$$…$$`` and ``$…$`` turned into MathML."""
    blocks = re.sub(r"\$\$(.+?)\$\$", lambda m: formula(m[1], "block"), text, flags=re.DOTALL)
    return re.sub(r"\$([^$]+)\$", lambda m: formula(m[1]), blocks)
