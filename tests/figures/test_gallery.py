"""The page of a configuration: what it says, and what it does in a browser."""

import json
import shutil
from html.parser import HTMLParser

import nbformat
import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch

from recon.figures import claims, gallery
from recon.figures.gallery import viewers
from recon.figures.gallery.captions import caption, short
from recon.figures.gallery.chapters import html, origin
from recon.figures.gallery.words import Words
from recon.schema import ROOT
from recon.study.config import load
from recon.study.study import Study

TITLE = 'Knees <&> "brains"'
CHROMIUM = shutil.which("chromium")


class Page(HTMLParser):
    """What a browser sees: the tags with their attributes, and the text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def of(self, tag, attribute):
        return [found[attribute] for name, found in self.tags if name == tag and attribute in found]


def scores(volumes=("a", "b")):
    means = {"annealed": 36.0, "variational": 35.0, "l1_wavelet": 33.0}
    return pd.DataFrame(
        [
            {"dataset": "<knee>", "volume": v, "R": 8.0, "method": m, "psnr": psnr, "ssim": 0.5}
            for v in volumes
            for m, psnr in means.items()
        ]
    )


@pytest.fixture
def study(tmp_path):
    """A study with a chart and its table, a picture of slices, and files that are no figures."""
    config = load("smoke").model_copy(update={"title": TITLE})
    study = Study(config, root=tmp_path)
    study.figures.mkdir(parents=True)
    made = {"git": "0123456789abcdef", "dirty": True, "device": "x86 <64>", "wall_time_s": 12.3}
    for name in ("10_methods_without_shift", "12_slices_knee", "99_of_another_configuration"):
        PIL.Image.fromarray(np.zeros((40, 60), np.uint8)).save(study.figures / f"{name}.png")
        (study.figures / f"{name}.json").write_text(json.dumps(made))
    other = json.dumps(made | {"git": "", "dirty": False})
    (study.figures / "12_slices_knee.json").write_text(other)
    (study.figures / "12_no_sidecar.png").write_bytes(b"picture")
    scores().to_csv(study.figures / "10_methods_without_shift.csv", index=False)
    for name in config.notebooks:
        (study.figures / f"{name}.html").write_text("")
    return study


def page(study):
    gallery.write(study)
    return Page((study.figures / "index.html").read_text())


def found_text(study) -> str:
    return " ".join(page(study).text.split())


def test_the_page_links_to_notebooks_pictures_sidecars_and_tables(study):
    found = page(study)
    links = found.of("a", "href")
    assert [link for link in links if link.endswith(".html")] == [
        f"{name}.html" for name in study.config.notebooks
    ]
    files = ["10_methods_without_shift.png", "10_methods_without_shift.json", "12_slices_knee.png"]
    files += ["10_methods_without_shift.csv", "12_slices_knee.json"]
    assert set(files) <= set(links)
    shown = found.of("img", "src")
    assert shown == ["12_slices_knee.png", "10_methods_without_shift.png", "12_slices_knee.png"]
    assert found.of("figure", "id") == ["10_methods_without_shift", "12_slices_knee"]
    local = {link[1:] for link in links if link.startswith("#")}
    assert local <= {attributes.get("id") for _, attributes in found.tags}


def test_a_figure_leads_to_the_cell_that_made_it(study):
    """A cell names the figure, or what its name begins with."""
    found = page(study)
    links = [link for link in found.of("a", "href") if "#cell-id=" in link]
    assert [link.split("#")[0] for link in links] == [
        "10_methods_without_shift.html",
        "12_resolution_shift.html",
    ]
    text = (ROOT / "notebooks" / "10_methods_without_shift.ipynb").read_text()
    source = nbformat.reads(text, nbformat.NO_CONVERT)
    title, anchor = origin(source, "10_slices_knee_R8")
    cell = next(c for c in source.cells if c["id"] == anchor.removeprefix("#cell-id="))
    assert title and '"10_slices"' in cell["source"]
    assert origin(source, "77_unknown") == ("", "")


def test_the_page_says_where_pictures_come_from(study):
    text = found_text(study)
    assert "commit 0123456789 with local changes, x86 <64>, 12 s · sidecar · table, 6 rows" in text
    assert "commit unknown, x86 <64>, 12 s · sidecar" in text
    assert "make figures CONFIG=smoke TARGET=results/smoke/notebooks/12_resolution" in text


def test_words_are_escaped(study):
    """Titles, devices, statements and cells are text, whatever they contain."""
    gallery.write(study)
    text = (study.figures / "index.html").read_text()
    assert "Knees &lt;&amp;&gt;" in text and "<&>" not in text
    assert "<knee>" not in text and "<64>" not in text
    assert Page(text).text.count(TITLE) == 2
    assert "<script>alert" not in html("a <script>alert(1)</script> b")
    assert "<em>" in html("*so*")


def test_the_scorecard_is_written_whole_and_in_words(study):
    found = page(study)
    card = json.loads((study.figures / "scorecard.json").read_text())
    decided = claims.scorecard("10_methods_without_shift", scores())
    about = {"comparison": "10_methods_without_shift", "scans": ["<knee>"]}
    expected = [{k: v for k, v in line.items() if k != "datasets"} | about for line in decided]
    asked = {line.pop("question") for line in card}
    assert "annealed has a higher mean PSNR than variational at every R" in asked
    assert {tuple(line.pop("origins")) for line in card} == {()}, "the table does not say"
    assert card == json.loads(json.dumps(expected)) and len(card) == 18
    text = " ".join(found.text.split())
    said = "Annealed (ours) has a higher mean PSNR than Variational (paper A) at every R"
    assert text.count(said) == 2  # beside its figure, and in the scorecard
    assert "Ours, Figure 3; measured 1 dB (1 to 1), threshold 0; 2 of 2 volumes agree" in text
    assert "l1_wavelet" not in found.text
    states = [a["data-state"] for tag, a in found.tags if tag == "li" and "data-state" in a]
    assert len(states) == 36 and states.count("undecided") == 2 * len(
        [claim for claim in card if claim["holds"] is None]
    )


def test_other_configurations_stand_beside(study):
    gallery.write(study)
    card = json.loads((study.figures / "scorecard.json").read_text())
    other = study.figures.parent / "study"
    other.mkdir()
    (other / "scorecard.json").write_text(json.dumps([card[0] | {"holds": False}]))
    found = page(study)
    assert "study: 1 fails" in found.text and "../study/index.html" not in found.of("a", "href")
    more = [card[0] | {"holds": False, "volumes": 99, "agree": 3}]  # it has the verdict
    (other / "scorecard.json").write_text(json.dumps(more))
    states = [a["data-state"] for tag, a in page(study).tags if "data-state" in a]
    assert card[0]["holds"] is None and states[0] == "fails"
    assert "study: no data" in found_text(study) and "smoke: undecided" in found_text(study)
    (other / "index.html").write_text("")
    assert "../study/index.html" in page(study).of("a", "href")


def test_pages_of_notebooks_are_linked_where_they_are_here(study):
    target = "10_methods_without_shift.html"
    assert target in page(study).of("a", "href")
    (study.figures / target).unlink()
    assert target not in page(study).of("a", "href")


def test_a_page_without_tables_has_no_scorecard(study):
    (study.figures / "10_methods_without_shift.csv").unlink()
    assert "#claims" not in page(study).of("a", "href")
    assert json.loads((study.figures / "scorecard.json").read_text()) == []


def test_captions_and_short_tables():
    words = Words(load("smoke"))
    table = scores().assign(dataset="knee")
    table["psnr"] += (table["volume"] == "b") * 0.2
    said = caption(table, words)
    best = "Annealed (ours): 36.1 dB; Variational (paper A): 35.1 dB; ℓ1-wavelet: 33.1 dB."
    assert said == f"Knee phantom, R = 8 (2 volumes). {best}"
    slices = table.assign(volume=table["volume"] + "@3").replace({"volume": {"b@3": "a@4"}})
    assert "(2 scans of 1 subject)" in caption(slices, words)
    found = short(table, words)
    assert found.columns == ["Knee phantom, R = 8"]
    assert found.rows[0] == ("Annealed (ours)", ["36.1"])
    third = table[table["volume"] == "b"].assign(volume="c")
    assert short(pd.concat([table, third]), words).rows[0][1][0].startswith("36.1 ± 0.")
    varied = table[table["method"] == "annealed"].assign(varied="steps", value=8)
    varied = pd.concat([varied, varied.assign(value=16), varied.assign(varied="churn", value=0)])
    assert [label for label, _ in short(varied, words).rows] == [
        "steps = 8",
        "steps = 16",
        "churn = 0",
    ]
    named = pd.concat([varied.assign(varied="slab", value=1), varied.assign(value="annealed")])
    labels = [label for label, _ in short(named, words).rows]
    assert labels == ["slices in a slab = 1", "steps = annealed", "churn = annealed"], "values"
    assert short(table.drop(columns="psnr"), words) is None and caption(None, words) == ""


def test_findings_are_in_words():
    words = Words(load("smoke"))
    said = "- On knee, variational leads.\n  - knee_2x: dds has more than annealed\n- knees"
    first, second, last = words.sentences(said).splitlines()
    assert first == "- On Knee phantom, Variational (paper A) leads."
    assert second == "  - Knee phantom, 2× voxels: DDS+TV has more than Annealed (ours)"
    assert last == "- knees"


def test_volumes_inside_the_page_are_small():
    found = viewers.volume(torch.rand(64, 80, 80), 1.0)
    assert np.prod(found["shape"]) < 1.1 * viewers.VOXELS
    assert found["shape"][0] < found["shape"][1] == found["shape"][2]
    small = viewers.volume(torch.arange(24.0).view(2, 3, 4) / 23, 1.0)
    assert small["shape"] == [2, 3, 4]


@pytest.fixture
def browser(study, monkeypatch):
    """The page with viewers in a real browser, and what it complained of or asked for."""
    sync = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    ball = torch.linalg.vector_norm(
        torch.stack(
            torch.meshgrid(*(torch.linspace(-1, 1, n) for n in (9, 12, 15)), indexing="ij")
        ),
        dim=0,
    )
    slices = {
        name: viewers.png((ball[4] < size).float().numpy().T, 1.0)
        for name, size in (("Truth", 0.8), ("A", 0.6), ("B", 0.4))
    }
    data = {"about": "A ball", "slices": slices, "voxel": [1, 1, 1], "aspect": 1.0}
    data["volumes"] = {
        "Truth": viewers.volume((ball < 0.8).float(), 1.0),
        "A": viewers.volume((ball < 0.3).float(), 1.0),
    }
    monkeypatch.setattr(viewers, "data", lambda study, words: data)
    gallery.write(study)
    with sync.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = opened.new_page(viewport={"width": 1200, "height": 900})
        complaints, asked = [], []
        view.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        view.on("pageerror", lambda error: complaints.append(str(error)))
        view.on("request", lambda request: asked.append(request.url))
        view.goto(f"file://{study.figures / 'index.html'}")
        yield view
        assert not complaints
        assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
        opened.close()


def test_claims_can_be_filtered_and_followed(browser):
    lines = browser.locator("#scorecard li:visible")
    every = lines.count()
    assert every == 18
    browser.get_by_label("undecided").uncheck()
    decided = lines.count()
    assert 0 < decided < every and browser.locator("#shown").inner_text() == str(decided)
    browser.get_by_label("ours").uncheck()
    assert all(
        line.get_attribute("data-paper") == "A"
        for line in browser.locator("#scorecard li:visible").all()
    )
    browser.get_by_label("ours").check()
    lines.first.locator("a").click()
    target = browser.evaluate("decodeURIComponent(location.hash).slice(1)")
    assert target.startswith("claim-")
    assert browser.evaluate(
        "id => document.getElementById(id).getBoundingClientRect().top < 900", target
    )


def test_the_slider_cuts_between_two_methods(browser):
    over = browser.locator("#slider .both img.over")
    assert "50%" in over.evaluate("image => getComputedStyle(image).clipPath")
    browser.locator("#slider input[type=range]").fill("20")
    assert "80%" in over.evaluate("image => getComputedStyle(image).clipPath")
    before = over.get_attribute("src")
    browser.locator("#slider select").first.select_option("Truth")
    assert over.get_attribute("src") != before and over.get_attribute("alt") == "Truth"


def test_three_planes_follow_their_sliders(browser):
    """The middle of the ball is bright, its end is dark; another volume has a smaller ball."""

    def bright(plane: int) -> int:
        return browser.evaluate(
            """plane => { const c = document.querySelectorAll("#scroll canvas")[plane];
            const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
            let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] > 128; return n; }""",
            plane,
        )

    sizes = browser.evaluate(
        '[...document.querySelectorAll("#scroll canvas")].map(c => [c.width, c.height])'
    )
    assert sizes == [[12, 15], [9, 15], [9, 12]]
    middle = [bright(plane) for plane in range(3)]
    assert min(middle) > 20
    browser.locator("#scroll input[type=range]").first.fill("0")
    assert bright(0) == 0 and bright(1) == middle[1]
    browser.locator("#scroll select").select_option("A")
    assert 0 < bright(1) < middle[1]


def test_light_dark_keyboard_and_phone(browser):
    ink = "getComputedStyle(document.body).color + getComputedStyle(document.body).backgroundColor"
    first = browser.evaluate(ink)
    browser.locator("#theme").click()
    assert browser.evaluate(ink) != first
    browser.keyboard.press("j")
    assert browser.evaluate("scrollY") > 0
    browser.keyboard.press("Tab")
    assert browser.evaluate("document.activeElement.tagName") in ("A", "BUTTON", "INPUT", "SELECT")
    browser.set_viewport_size({"width": 390, "height": 800})
    assert browser.evaluate("document.documentElement.scrollWidth") <= 390
    browser.emulate_media(media="print")
    assert not browser.locator("nav.top").is_visible()
