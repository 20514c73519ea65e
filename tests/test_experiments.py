import json

import pytest

from recon import ReconError, experiments
from recon.config import load
from recon.experiments import Study, file_hash
from recon.tuning import candidates, tune


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """The smoke configuration at the smallest size, in a folder of its own, with methods that need no prior."""
    config = load("smoke")
    section = config.datasets["knee"].model_copy(update={"shape": (16, 32, 32), "coils": 2})
    config = config.model_copy(update={"datasets": {"knee": section}, "methods": {"zero_filled": {}, "cg_sense": {"iterations": 5}}})
    config = config.model_copy(update={"accelerations": [3.0, 4.0]})
    return Study(config, tmp_path_factory.mktemp("study"))


def test_case_takes_tuned_then_configured_then_given_settings(study):
    path = study.tuning_path("knee", "cg_sense")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"best": {"4": {"weight": 0.5, "iterations": 7}, "16": {"weight": 0.9}}}))
    assert study.case("knee", 200, 5, "cg_sense").settings == {"weight": 0.5, "iterations": 5}
    assert study.case("knee", 200, 12, "cg_sense").settings["weight"] == 0.9
    assert study.case("knee", 200, 12, "cg_sense", weight=0.1).settings["weight"] == 0.1
    path.unlink()
    assert study.case("knee", 200, 5, "cg_sense").settings["weight"] == 0.01


def test_key_depends_on_everything_the_result_depends_on(study, monkeypatch):
    case = study.case("knee", 200, 4, "cg_sense")
    keys = {study.key(case), study.key(study.case("knee", 200, 5, "cg_sense")), study.key(study.case("knee", 201, 4, "cg_sense"))}
    keys.add(study.key(study.case("knee", 200, 4, "cg_sense", weight=0.3)))
    other_mask = Study(study.config.model_copy(update={"mask": study.config.mask.model_copy(update={"seed": 9})}), study.root)
    keys.add(other_mask.key(case))
    monkeypatch.setattr(experiments, "code_hash", lambda: "changed")
    keys.add(study.key(case))
    assert len(keys) == 6


def test_a_case_is_computed_once(study, monkeypatch):
    case = study.case("knee", 200, 4, "cg_sense")
    first = study.run(case)
    monkeypatch.setattr(Study, "_compute", lambda *_: pytest.fail("computed again"))
    assert study.run(case) == first


def test_row_and_volume_belong_together(study):
    """The stored magnitude reproduces the row's PSNR, in the units of the reference."""
    from recon import metrics

    row = study.run(study.case("knee", 200, 4, "cg_sense"))
    volume = study.reconstruction(row)
    assert metrics.psnr(volume, study.volume("knee", 200).reference.abs()) == pytest.approx(row["psnr"], abs=0.02)
    assert row["R_realised"] == pytest.approx(4, rel=0.02) and row["seconds"] > 0 and row["peak_memory_mb"] > 1


def test_comparison_has_every_method_subject_and_acceleration(study):
    table = study.comparison("knee")
    assert len(table) == 2 * 2 * 2 and set(table["method"]) == {"zero_filled", "cg_sense"}


@pytest.mark.parametrize("method", ["zero_filled", "cg_sense", "l1_wavelet", "annealed"])
def test_candidates_are_equal_in_number_and_inside_the_space(method):
    from recon.methods import METHODS

    found = list(candidates(method, 8, seed=0))
    space = METHODS[method].space
    assert len(found) == (8 if space else 1)
    for values in found[1:]:
        assert all(space[k][0] * 0.99 <= v <= space[k][1] * 1.01 for k, v in values.items())
    assert found == list(candidates(method, 8, seed=0))


def test_tuning_keeps_the_best_trial_of_validation_volumes(study):
    record = tune(study, "knee", "cg_sense")
    assert record["subjects"] == [100]
    for R, trials in record["trials"].items():
        assert record["best"][R] == max(trials, key=lambda t: t["psnr"])["settings"]


def test_missing_prior_is_named(study):
    with pytest.raises(ReconError, match="knee.safetensors: no such file"):
        file_hash(study.prior_path("knee"))
