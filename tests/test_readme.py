"""The pages say what the tables say, and lead where they say."""

import re

import pytest

from recon.schema import ROOT
from workflow.scripts.readme import PAGES, TABLES, markdown, written

PAGE = (ROOT / "README.md").read_text()


def test_their_tables_are_those_of_the_figures():
    """Where this fails: ``python -m workflow.scripts.readme`` makes them anew."""
    texts = [path.read_text() for path in PAGES]
    assert [written(text) for text in texts] == texts
    assert set(re.findall(r"<!-- table: ([\w ]+) -->", "\n".join(texts))) == set(TABLES)


def test_the_front_page_stays_short_and_keeps_its_headings():
    """Others add lines below these headings; what fills pages belongs to docs/."""
    assert len(PAGE.splitlines()) <= 220
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert {"Two commands", "Your own data", "Configurations", "Where things are"} <= set(headings)


@pytest.mark.parametrize("path", PAGES, ids=lambda p: p.stem)
def test_links_of_a_page_lead_to_files_and_headings_of_the_repository(path):
    """Those into the gallery are for the site alone; `tests/test_docs.py` follows them there."""
    for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]+))?\)", path.read_text()):
        target = (path.parent / link).resolve() if link else path
        assert link.startswith("gallery/") or target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in headings}


def test_every_notebook_stands_in_the_table_of_figures():
    table = (ROOT / "docs" / "figures.md").read_text()
    named = set(re.findall(r"^\|.*\| `(\d\d_\w+)` \|", table, re.MULTILINE))
    assert {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")} == named


def test_a_number_that_was_changed_by_hand_is_found():
    number = re.search(r"\| Annealed \(ours\) \| (\d+\.\d)", PAGE)[1]
    assert written(PAGE.replace(number, "99.9")) != PAGE.replace(number, "99.9")


def test_rows_become_a_table():
    assert markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_every_method_stands_in_a_table_with_all_rates():
    rows = TABLES["methods"]()
    assert len({len(row) for row in rows}) == 1 and rows[0][0] == "method"
    assert any(row[0] == "Annealed (ours)" for row in rows)
