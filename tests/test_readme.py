"""The page says what the tables say."""

import re

from recon.schema import ROOT
from workflow.scripts.readme import TABLES, markdown, written

PAGE = (ROOT / "README.md").read_text()


def test_its_tables_are_those_of_the_figures():
    """Where this fails: ``python -m workflow.scripts.readme`` makes them anew."""
    assert written(PAGE) == PAGE
    assert re.findall(r"<!-- table: ([\w ]+) -->", PAGE) == list(TABLES)


def test_a_number_that_was_changed_by_hand_is_found():
    number = re.search(r"\| Annealed \(ours\) \| (\d+\.\d)", PAGE)[1]
    assert written(PAGE.replace(number, "99.9")) != PAGE.replace(number, "99.9")


def test_rows_become_a_table():
    assert markdown([["a", "b"], ["1", "2"]]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_every_method_stands_in_a_table_with_all_rates():
    rows = TABLES["methods"]()
    assert len({len(row) for row in rows}) == 1 and rows[0][0] == "method"
    assert any(row[0] == "Annealed (ours)" for row in rows)
