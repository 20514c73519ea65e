"""Before cases are computed a user reads how long they take, and what is missing."""

import pandas as pd
import pytest

from recon.errors import ReconError
from recon.study.before import check_trained, how_long, minutes, untuned
from recon.study.config import load
from recon.study.study import Study


def never() -> float:
    raise AssertionError("an earlier table says it")


def test_the_times_of_the_table_that_was_made_before_are_added(tmp_path):
    table = tmp_path / "10_methods.csv"
    pd.DataFrame({"psnr": [30.0, 31.0], "seconds": [100.0, 200.0]}).to_csv(table, index=False)
    said = how_long("10_methods", table, never)
    assert "all 2 of them took 5 minutes when 10_methods.csv was made" in said
    pd.DataFrame({"seconds": [1.0]}).to_csv(table, index=False)
    assert "took 1 minute when" in how_long("10_methods", table, never)


def test_without_an_earlier_table_measured_costs_say_it(tmp_path):
    table = tmp_path / "10_methods.csv"
    assert "about 12 minutes of one core" in how_long("10_methods", table, lambda: 12.3)
    pd.DataFrame({"psnr": [30.0]}).to_csv(table, index=False)
    assert "about 1 minutes of one core" in how_long("10_methods", table, lambda: 0.1)
    assert "no earlier run says" in how_long("10_methods", table, lambda: None)
    found = minutes(Study(load("demo")), "42_samplers")
    assert 1 < found < 60


def test_a_network_that_is_missing_is_said_before_any_case_of_the_notebook(tmp_path):
    """That of a later table too, with the command that trains it."""
    study = Study(load("infusion"), root=tmp_path)
    with pytest.raises(ReconError, match="22_voxels: the network knee_2x_small .*TARGET=results"):
        check_trained(study, "22_voxels")
    check_trained(study, "20_slices")  # its priors are shipped


def test_methods_that_nobody_tuned_are_named(tmp_path):
    study = Study(load("infusion"), root=tmp_path)
    assert "inr on slices" in untuned(study, "20_slices")
    assert "zero_filled on slices_1_coil" not in untuned(study, "20_one_and_four_coils")
    assert untuned(study, "21_sizes") == []  # it asks for defaults
