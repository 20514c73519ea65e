"""Every claim in one table."""

import json

import pandas as pd
import pytest

from recon import figures
from recon.figures import scorecard
from recon.study.config import load
from recon.study.study import Study


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study whose tables hold two claims of paper B, of which one is decided."""
    rows = [
        {"dataset": "slices", "volume": n, "R": 8.0, "method": name, "nrmse": error + 0.001 * n}
        for name, error in (("infusion", 0.1), ("inr", 0.2))
        for n in range(3)
    ]
    made = Study(load("smoke"), root=tmp_path)
    comparison = made.config.comparisons["20_slices"]
    only = made.config.model_copy(update={"comparisons": {"20_slices": comparison}})
    made = Study(only, root=tmp_path)
    monkeypatch.setattr(made, "comparison", lambda name: pd.DataFrame(rows))
    return made


def test_other_configurations_have_a_column(study):
    alone = scorecard.board(study)
    ahead = alone["claim"].str.contains("than inr at")
    assert alone[ahead]["smoke"].tolist() == ["holds"] and "study" not in alone
    folder = study.figures.parent / "study"
    folder.mkdir(parents=True)
    name = "ours.2.slices.infusion<inr.nrmse"
    claim = {"paper": "ours", "statement": "as said", "measured": 0.1, "low": -1.0, "high": 1.0}
    claim["scans"] = [study.config.datasets["slices"].label]
    same, new = ({"id": one, "holds": None, "volumes": 8} | claim for one in (name, "C.31.new"))
    (folder / "scorecard.json").write_text(json.dumps([same, new]))
    both = scorecard.board(study)
    assert len(both) == len(alone) + 1 and both["study"].isna().sum() == 3
    row = both[ahead.reindex(both.index, fill_value=False)].iloc[0]
    assert (row["smoke"], row["study"], row["verdict"]) == ("holds", "undecided", "undecided")
    assert (row["decided by"], row["volumes"]) == ("study", 8)  # it has more of them


def test_the_same_name_of_other_scans_is_another_claim(study):
    """Phantoms and people may share the name of a dataset; a tiny run says nothing of quality."""
    mine = scorecard.card(study.config, {"20_slices": study.comparison("20_slices")})
    assert {line["comparison"] for line in mine} == {"20_slices"}
    for config, scans in (("real", ["T1w brain"]), ("smoke", mine[0]["scans"])):
        lines = [line | {"scans": scans, "holds": False, "volumes": 99} for line in mine]
        folder = study.figures.parent / config
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "scorecard.json").write_text(json.dumps(lines))
    board = scorecard.board(study)
    assert len(board) == 2 * len(mine)
    assert set(board.loc[board["decided by"] == "smoke", "verdict"]) == {"holds", "undecided"}
    assert len(scorecard.others(study)["real"]) == len(mine)


def test_an_overview_asks_each_question_once(study, monkeypatch):
    """Of phantoms and of people, in columns of their own."""
    rows = study.comparison("20_slices")
    monkeypatch.setattr(study, "comparison", lambda name: rows.assign(origin="phantom"))
    mine = scorecard.card(study.config, {"20_slices": study.comparison("20_slices")})
    people = [line | {"scans": ["brain"], "origins": ["measured"], "holds": False} for line in mine]
    folder = study.figures.parent / "real"
    folder.mkdir(parents=True)
    (folder / "scorecard.json").write_text(json.dumps(people))
    found = scorecard.overview(scorecard.board(study))
    assert len(found) == len(mine) and list(found.columns) == ["phantom", "measured"]
    asked = "INFusion (paper B) has a lower mean NRMSE than INR alone (paper B) at every R"
    row = found.xs(asked, level="question").iloc[0]
    assert (row["phantom"], row["measured"]) == ("1 holds", "1 fails")
    assert scorecard.tally(["holds", "fails", "holds", "undecided"]) == (
        "2 hold, 1 fails, 1 undecided"
    )


def test_counts_have_every_paper_and_every_verdict(study):
    found = scorecard.counts(scorecard.board(study))
    assert list(found.index) == ["Paper A", "Paper B", "Paper C", "Ours"]
    assert found.loc["Ours"].to_dict() == {"holds": 1, "fails": 0, "undecided": 1}
    assert found.loc["Paper A"].sum() == 0
    fig = figures.verdicts(found)
    assert len(fig.axes[0].patches) == 12
