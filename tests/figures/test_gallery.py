import json
from html.parser import HTMLParser

import pandas as pd
import pytest

from recon.figures import claims, gallery
from recon.study.config import load
from recon.study.study import Study

TITLE = 'Knees <&> "brains"'


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
    """A study with a picture and its table, a picture alone, and files that are no figures."""
    config = load("smoke").model_copy(update={"title": TITLE})
    study = Study(config, root=tmp_path)
    study.figures.mkdir(parents=True)
    made = {"git": "0123456789abcdef", "dirty": True, "device": "x86 <64>", "wall_time_s": 12.3}
    for name in ("10_methods_without_shift", "12_slices", "99_of_another_configuration"):
        (study.figures / f"{name}.png").write_bytes(b"picture")
        (study.figures / f"{name}.json").write_text(json.dumps(made))
    (study.figures / "12_slices.json").write_text(json.dumps(made | {"git": "", "dirty": False}))
    (study.figures / "10_methods_without_shift.svg").write_bytes(b"a chart")
    (study.figures / "12_no_sidecar.png").write_bytes(b"picture")
    scores().to_csv(study.figures / "10_methods_without_shift.csv", index=False)
    return study


def page(study):
    gallery.write(study)
    return Page((study.figures / "index.html").read_text())


def test_the_page_links_to_notebooks_pictures_sidecars_and_tables(study):
    found = page(study)
    notebooks = [f"{name}.html" for name in study.config.notebooks]
    assert found.of("a", "href") == [
        *notebooks,
        "10_methods_without_shift.svg",
        "10_methods_without_shift.json",
        "10_methods_without_shift.csv",
        "12_slices.png",
        "12_slices.json",
    ]
    assert found.of("img", "src") == ["10_methods_without_shift.png", "12_slices.png"]
    assert (
        found.of("img", "alt")
        == found.of("h2", "id")
        == [
            "10_methods_without_shift",
            "12_slices",
        ]
    )


def test_the_page_says_where_pictures_come_from(study):
    text = " ".join(page(study).text.split())
    assert "commit 0123456789 with local changes, x86 <64>, 12 s · sidecar · table" in text
    assert "commit unknown, x86 <64>, 12 s · sidecar" in text


def test_the_page_shows_tables_folded(study):
    found = page(study)
    assert [tag for tag, _ in found.tags].count("details") == 1 and "6 rows" in found.text
    assert "36.000" in found.text


def test_words_are_escaped(study):
    """Titles, devices, statements and cells are text, whatever they contain."""
    gallery.write(study)
    html = (study.figures / "index.html").read_text()
    assert "Knees &lt;&amp;&gt;" in html and "<&>" not in html
    assert "<knee>" not in html and "<64>" not in html
    assert Page(html).text.count(TITLE) == 2
    assert gallery.STYLE in html  # the style alone is no text


def test_the_scorecard_is_written_whole(study):
    found = page(study)
    card = json.loads((study.figures / "scorecard.json").read_text())
    decided = claims.scorecard("10_methods_without_shift", scores())
    assert card == json.loads(json.dumps(decided)) and len(card) == 16
    text = " ".join(found.text.split())
    for claim in card:
        assert claim["statement"] in text
    assert (
        "annealed has a higher mean PSNR than variational at every R ours 3 1 1 to 1 0 holds 2 of 2"
        in text
    )
    assert text.count("does not hold 2 of 2") + text.count(" holds 2 of 2") == len(
        [claim for claim in card if claim["holds"] is not None]
    )
    assert "– – 0 undecided 0 of 0" in text


def test_a_page_without_tables_has_no_scorecard(study):
    (study.figures / "10_methods_without_shift.csv").unlink()
    assert "Scorecard" not in page(study).text
    assert json.loads((study.figures / "scorecard.json").read_text()) == []
