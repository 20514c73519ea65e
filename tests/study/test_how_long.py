"""Before cases are computed a user reads how long an earlier run took."""

import pandas as pd

from recon.study.cases import how_long


def test_the_times_of_the_table_that_was_made_before_are_added(tmp_path):
    table = tmp_path / "10_methods.csv"
    pd.DataFrame({"psnr": [30.0, 31.0], "seconds": [100.0, 200.0]}).to_csv(table, index=False)
    said = how_long("10_methods", table)
    assert "all 2 of them took 5 minutes when 10_methods.csv was made" in said
    pd.DataFrame({"seconds": [1.0]}).to_csv(table, index=False)
    assert "took 1 minute when" in how_long("10_methods", table)


def test_without_an_earlier_table_nothing_is_promised(tmp_path):
    table = tmp_path / "10_methods.csv"
    assert "no earlier run says how long" in how_long("10_methods", table)
    pd.DataFrame({"psnr": [30.0]}).to_csv(table, index=False)
    assert "no earlier run says how long" in how_long("10_methods", table)
