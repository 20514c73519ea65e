"""Whatever a configuration, a table or a scan says, a browser shows it as text and runs nothing."""

import json
import shutil
import xml.etree.ElementTree as ET

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch

from recon import figures
from recon.figures import gallery
from recon.figures.gallery import viewers
from recon.figures.gallery.chapters import html
from recon.study.config import load
from recon.study.study import Study
from workflow.scripts.notebooks import page

CHROMIUM = shutil.which("chromium")
ATTACKS = {
    "script": "<script>alert(1)</script>",
    "image": "\"><img src=x onerror=\"alert(2)\">'><svg onload='alert(3)'>",
    "template": "{{7*7}}{% raw %}${7*7}",
    "link": "[click](javascript:alert(4)) <javascript:alert(5)>",
    "entity": "[click](&#106;avascript:alert(6)) &lt;b&gt;",
    "mermaid": "\n\n```mermaid\n<script>alert(7)</script>\n```\n",
    "closing": "</title></style></script></textarea><script>alert(8)</script>",
    "formula": r"$\text{<img src=x onerror=alert(10)>}$ $a < b$ $\frac{$ costs $<b>{$ and more",
    "formulas": "\n\n$$\n<script>alert(11)</script>\n$$\n",
    "html": "\n\n<div onclick='alert(9)'>click</div>\n",
}
TYPED = list(ATTACKS.values())


@pytest.fixture(scope="module")
def visit():
    """Opens a page in Chromium, follows every link and button that says click; says what ran."""
    sync = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def look(path) -> tuple[list[str], list[str], str]:
            view, ran, said = browser.new_page(), [], []
            view.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
            view.on("console", lambda message: said.append(message.text))
            view.on("pageerror", lambda error: said.append(str(error)))
            view.goto(f"file://{path}")
            view.evaluate("for (const box of document.querySelectorAll('details')) box.open = true")
            for place in view.get_by_text("click", exact=True).all():
                place.click(force=True, timeout=2000)
            # A link's script is a task of its own: a timer of the page, set later, ends later.
            view.evaluate("new Promise(done => setTimeout(done, 300))")
            text = view.evaluate("document.body.innerText + document.title")
            view.close()
            return ran, [s for s in said if "Security Policy" in s or "rror" in s], text

        yield look
        browser.close()


@pytest.fixture
def study(tmp_path):
    """A study whose every word is an attack: title, labels, cells, sidecars, scorecards, texts."""
    config = load("smoke")
    labels = {
        name: section.model_copy(update={"label": TYPED[n % len(TYPED)]})
        for n, (name, section) in enumerate(config.datasets.items())
    }
    words = {"title": "".join(TYPED), "datasets": labels}
    study = Study(config.model_copy(update=words), root=tmp_path)
    study.figures.mkdir(parents=True)
    made = {"git": TYPED[1], "dirty": True, "device": "".join(TYPED), "wall_time_s": 1.0}
    for name in ("10_methods_without_shift", "12_slices_knee"):
        PIL.Image.fromarray(np.zeros((40, 60), np.uint8)).save(study.figures / f"{name}.png")
        (study.figures / f"{name}.json").write_text(json.dumps(made))
    rows = [
        {"dataset": d, "volume": v, "R": 8.0, "method": m, "prior": m, "psnr": 30.0 + n, "ssim": 1}
        for n, m in enumerate([*TYPED, "annealed", "variational"])
        for v in ("a", TYPED[0])
        for d in ("knee", TYPED[1])
    ]
    pd.DataFrame(rows).to_csv(study.figures / "10_methods_without_shift.csv", index=False)
    ran = nbformat.v4.new_output("display_data", {"text/markdown": "\n\n".join(TYPED)})
    cells = [nbformat.v4.new_code_cell("", outputs=[ran])]
    executed = study.results / "notebooks" / "10_methods_without_shift.ipynb"
    executed.parent.mkdir(parents=True)
    (study.figures / "10_methods_without_shift.md").write_text("\n\n".join(TYPED))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), executed)
    return study


def test_the_gallery_runs_nothing_that_it_shows(study, visit, monkeypatch):
    small = viewers.volume(torch.rand(3, 4, 5), 1.0)
    shown = {name: viewers.png(np.zeros((4, 5), np.float32), 1.0) for name in TYPED}
    data = {"about": "".join(TYPED), "slices": shown, "volumes": dict.fromkeys(TYPED, small)}
    data |= {"voxel": [1, 1, 1], "aspect": 1.0}
    monkeypatch.setattr(viewers, "data", lambda study, words: data)
    gallery.write(study)
    card = json.loads((study.figures / "scorecard.json").read_text())
    other = study.figures.parent / "a'b<img src=x onerror=alert(1)>"
    other.mkdir()
    (other / "scorecard.json").write_text(json.dumps([c | {"holds": True} for c in card]))
    gallery.write(study)
    ran, complaints, text = visit(study.figures / "index.html")
    assert ran == [] and complaints == []
    for attack in (ATTACKS["script"], ATTACKS["template"], '<img src=x onerror="alert(2)">'):
        assert attack in text
    assert "49" not in text


def test_a_page_of_a_notebook_runs_nothing_that_was_computed(tmp_path, visit):
    """Text, tables, prints, tracebacks and names of pictures."""
    table = pd.DataFrame({TYPED[1]: TYPED}, index=TYPED)
    outputs = [
        nbformat.v4.new_output("display_data", {"text/markdown": "\n\n".join(TYPED)}),
        nbformat.v4.new_output(
            "display_data", {"text/html": table.to_html(), "text/plain": str(table)}
        ),
        nbformat.v4.new_output("stream", text="\n".join(TYPED)),
        nbformat.v4.new_output("error", ename="E", evalue=TYPED[0], traceback=TYPED),
        nbformat.v4.new_output(
            "display_data",
            {"image/png": "AAAA"},
            metadata={"image/png": {"file": "' onerror='alert(10)' x='.png"}},
        ),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1", outputs=outputs)])
    nbformat.write(notebook, tmp_path / "a.ipynb")
    (tmp_path / "a.html").write_text(page(tmp_path / "a.ipynb", "".join(TYPED)))
    ran, complaints, text = visit(tmp_path / "a.html")
    assert ran == [] and not [c for c in complaints if "Security Policy" in c]
    assert text.count(ATTACKS["script"]) >= 4 and "49" not in text


@pytest.mark.parametrize("kind", ["gallery", "notebook"])
def test_the_page_forbids_what_escaping_would_have_missed(kind, study, visit, tmp_path):
    """Scripts, handlers and links that were put into the finished page still do not run."""
    if kind == "gallery":
        gallery.write(study)
        path = study.figures / "index.html"
    else:
        path = tmp_path / "a.html"
        path.write_text(page(study.results / "notebooks/10_methods_without_shift.ipynb", "a"))
    bad = "<script>alert(1)</script><img src=x onerror='alert(2)'>"
    bad += "<a href='javascript:alert(3)'>click</a>"
    path.write_text(path.read_text().replace("</html>", f"{bad}</html>"))
    ran, complaints, _ = visit(path)
    assert ran == [] and len([c for c in complaints if "Security Policy" in c]) >= 3


def test_a_visit_notices_what_runs(visit, tmp_path):
    """Else the tests above could not fail."""
    path = tmp_path / "a.html"
    path.write_text("<script>alert(1)</script><a href='javascript:alert(3)'>click</a>")
    assert visit(path)[0] == ["1", "3"]


def test_a_changed_script_of_the_gallery_does_not_run(study, visit, tmp_path):
    """The page allows its own script by its hash; test_gallery.py shows that it runs."""
    gallery.write(study)
    text = (study.figures / "index.html").read_text()
    assert "sha256-" in text
    own = (gallery.TEMPLATES / "gallery.js").read_text()
    changed = text.replace(own, own + "alert('changed')")
    assert changed != text
    (tmp_path / "changed.html").write_text(changed)
    ran, complaints, _ = visit(tmp_path / "changed.html")
    assert ran == [] and any("Security Policy" in c for c in complaints)


@pytest.mark.parametrize("attack", ATTACKS)
def test_markdown_has_no_tag_and_no_link_to_code(attack):
    found = html(ATTACKS[attack])
    for word in ("<script", "<img", "<svg", "<div", 'href="javascript', 'href="&#106;'):
        assert word not in found


def test_a_chart_has_no_script_in_its_svg(study, monkeypatch):
    """An .svg that is opened by itself would run it."""
    monkeypatch.setattr("recon.figures.saving.sidecar", lambda *a: {})
    fig, ax = plt.subplots()
    ax.plot([0, 1], label=TYPED[0])
    ax.set_title(ATTACKS["image"] + " -->" + ATTACKS["script"])
    ax.legend()
    figures.save(study, fig, "10_attack")
    text = (study.figures / "10_attack.svg").read_text()
    tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()}
    assert "path" in tags and not tags & {"script", "img", "image", "foreignObject", "a"}
    assert "onload" not in {k for e in ET.fromstring(text).iter() for k in e.attrib}
