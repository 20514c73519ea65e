import json
import multiprocessing
import threading
import time
from contextlib import nullcontext
from math import log

import pytest
import torch
import yaml

from recon import ReconError, methods
from recon.files import alone
from recon.methods.search import at_edge, search
from recon.mri import metrics
from recon.study import provenance
from recon.study.config import CONFIGS, Comparison, Config, Tuning, load
from recon.study.preflight import check, check_device, check_notebooks
from recon.study.provenance import file_hash
from recon.study.study import Study, said
from recon.study.tuning import inside, race, tune
from recon.training import Batches
from recon.training.slices import slices_of


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Study:
    """The smoke configuration at the smallest size, with methods that need no prior.

    It has a folder of its own.
    """
    config = load("smoke")
    section = config.datasets["knee"].model_copy(update={"shape": (16, 32, 32), "coils": 2})
    config = config.model_copy(
        update={
            "datasets": {"knee": section},
            "methods": {"zero_filled": {}, "cg_sense": {"iterations": 5}},
        }
    )
    config = config.model_copy(
        update={
            "accelerations": [3.0, 4.0],
            "comparisons": {"10_methods_without_shift": Comparison()},
        }
    )
    config = config.model_copy(update={"notebooks": ["10_methods_without_shift"]})
    return Study(config, tmp_path_factory.mktemp("study"))


def test_case_takes_tuned_then_configured_then_given_settings(study):
    path = study.tuning_path("knee", "cg_sense")
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"best": {"4": {"weight": 0.5, "iterations": 7}, "16": {"weight": 0.9}}})
    )
    assert study.case("knee", 200, 5, "cg_sense").settings == {"weight": 0.5, "iterations": 5}
    assert study.case("knee", 200, 12, "cg_sense").settings["weight"] == 0.9
    assert study.case("knee", 200, 12, "cg_sense", weight=0.1).settings["weight"] == 0.1
    path.unlink()
    assert study.case("knee", 200, 5, "cg_sense").settings["weight"] == 0.01


def test_a_dataset_may_give_methods_other_settings(study):
    """They take the place of the configuration's; what is tuned and given is as without them."""
    section = study.config.datasets["knee"].model_copy(
        update={"settings": {"cg_sense": {"iterations": 9}}}
    )
    own = study.config.model_copy(update={"datasets": {"knee": section}})
    other = Study(own, study.root)
    assert other.case("knee", 200, 4, "cg_sense").settings == {"weight": 0.01, "iterations": 9}
    assert other.case("knee", 200, 4, "cg_sense", iterations=3).settings["iterations"] == 3
    assert study.case("knee", 200, 4, "cg_sense").settings["iterations"] == 5


def test_settings_come_from_validation_from_the_scan_or_from_the_defaults(study, monkeypatch):
    """What was chosen on a scan is kept; a reference takes no part in it."""
    path = study.tuning_path("knee", "cg_sense")
    path.write_text(json.dumps({"best": {"4": {"weight": 0.5}}}))
    pairs, found = [("knee", "200")], {}
    for origin in ("tuned", "scan", "defaults"):
        section = Comparison(methods=["cg_sense"], accelerations=[4.0], settings=origin)
        monkeypatch.setitem(study.config.comparisons, "10_x", section)
        [(case, _)] = study.cases("10_x", "knee", "200")
        found[origin] = case.settings["weight"]
        assert case.settings["iterations"] == 5  # as the configuration says
    assert study.comparison("10_x", pairs)["settings"].tolist() == ["defaults"]
    assert found["tuned"] == 0.5 and found["defaults"] == 0.01
    [kept] = (study.results / "choices").glob("*.json")
    assert json.loads(kept.read_text())["settings"]["weight"] == found["scan"]
    kept.write_text(json.dumps({"settings": {"weight": 0.123}}))
    section = Comparison(methods=["cg_sense"], accelerations=[4.0], settings="scan")
    monkeypatch.setitem(study.config.comparisons, "10_x", section)
    assert study.cases("10_x", "knee", "200")[0][0].settings["weight"] == 0.123
    path.unlink()


def test_key_depends_on_everything_the_result_depends_on(study, monkeypatch):
    case = study.case("knee", 200, 4, "cg_sense")
    keys = {
        study.key(case),
        study.key(study.case("knee", 200, 5, "cg_sense")),
        study.key(study.case("knee", 201, 4, "cg_sense")),
    }
    keys.add(study.key(study.case("knee", 200, 4, "cg_sense", weight=0.3)))
    other_mask = Study(
        study.config.model_copy(update={"mask": study.config.mask.model_copy(update={"seed": 9})}),
        study.root,
    )
    keys.add(other_mask.key(case))
    monkeypatch.setattr(provenance, "code_hash", lambda *roots: "changed")
    keys.add(study.key(case))
    full = Study(study.config.model_copy(update={"maps": "full"}), study.root)
    keys.add(full.key(study.case("knee", 200, 4, "cg_sense")))
    for bf16 in (True, False):
        monkeypatch.setattr("recon.study.study.multiplies_bf16", lambda device, bf16=bf16: bf16)
        keys.add(study.key(case))
    assert len(keys) == 7  # a method without a network rounds alike on both


def test_a_case_is_computed_once(study, monkeypatch):
    case = study.case("knee", 200, 4, "cg_sense")
    first = study.run(case)
    monkeypatch.setattr(Study, "_reconstruct", lambda *_: pytest.fail("computed again"))
    assert study.run(case) == first


def test_row_and_volume_belong_together(study):
    """The stored magnitude reproduces the row's PSNRs: of the truth in the object, and others."""
    row = study.run(study.case("knee", 200, 4, "cg_sense"))
    volume, scan = study.reconstruction(row), study.volume("knee", 200)
    for name, target, support in (
        ("psnr", scan.truth, scan.support),
        ("psnr_volume", scan.truth, None),
        ("psnr_reference", scan.reference, scan.support),
    ):
        assert metrics.psnr(volume, target.abs(), support) == pytest.approx(row[name], abs=0.02)
    assert (
        row["R_realised"] == pytest.approx(4, rel=0.02)
        and row["seconds"] > 0
        and row["peak_memory_mb"] > 1
    )


def test_comparison_has_every_method_subject_and_acceleration(study, capsys):
    """It says once that it computes, and nothing where all is there."""
    table = study.comparison("10_methods_without_shift")
    assert len(table) == 2 * 2 * 2 and set(table["method"]) == {"zero_filled", "cg_sense"}
    assert capsys.readouterr().err.count("are computed now") == 1
    study.comparison("10_methods_without_shift")
    assert "are computed now" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "method", ["zero_filled", "cg_sense", "l1_wavelet", "annealed", "tpdm_dds"]
)
def test_trials_are_equal_in_number_and_inside_the_space(method):
    """All methods have the same budget; the same seed and scores lead the same way again."""
    space = methods.lookup(method).space
    once, again = (
        search(method, space, 8, 0, lambda values: -sum(values.values(), 0.0)) for _ in range(2)
    )
    assert len(once) == (8 if space else 1) and once == again
    for trial in once[1:]:
        assert all(-0.01 <= space[k].place(v) <= 1.01 for k, v in trial["settings"].items())


def test_a_search_follows_what_it_finds():
    """Its second half lies closer to the optimum, on a logarithmic axis, than the first one."""

    def score(values: dict) -> float:
        return -(log(values["weight"] / 0.004) ** 2) - log(values["iterations"] / 20) ** 2

    trials = search("cg_sense", methods.lookup("cg_sense").space, 24, 0, score)
    psnr = [trial["score"] for trial in trials]
    assert sum(psnr[12:]) / 12 > sum(psnr[1:12]) / 11 and max(psnr) > -0.2


def test_an_optimum_at_an_edge_widens_the_range_until_it_lies_inside():
    """The range of ℓ1-wavelet's weight ends at 5; here 20 is best."""
    section = Tuning(trials=16, widen=4)
    found = inside("l1_wavelet", section, 0, lambda values: -abs(log(values["weight"] / 20)))
    assert found["widened"] and set(found["widened"]) == {"weight"} and not found["at_edge"]
    assert found["space"]["weight"][0] == 0.02 and found["space"]["weight"][1] > 20
    assert 10 < found["best"]["weight"] < 40
    assert len(found["trials"]) == 16 * (1 + len(found["widened"]))


def test_what_a_narrower_range_has_found_is_not_lost():
    """A search of the wider range that finds nothing better leaves the best at the old edge."""
    scores = []

    def score(values: dict) -> float:
        scores.append(log(values["weight"]) if len(scores) < 16 else -10.0)
        return scores[-1]

    found = inside("l1_wavelet", Tuning(trials=16, widen=4), 0, score)
    best = max(found["trials"], key=lambda trial: trial["psnr"])
    assert found["best"] == best["settings"] and best in found["trials"][:16]
    assert found["widened"] == ["weight"] and not found["at_edge"] and len(scores) == 32


@pytest.mark.parametrize("edges", ["refuse", "report"])
def test_an_optimum_that_stays_at_the_edge_is_refused_or_said(study, monkeypatch, edges):
    monkeypatch.setattr(Study, "trial", lambda self, case: log(case.settings["weight"]))
    tuning = study.config.tuning.model_copy(update={"trials": 8, "widen": 1, "edges": edges})
    changed = Study(study.config.model_copy(update={"tuning": tuning}), study.root)
    if edges == "refuse":
        with pytest.raises(
            ReconError, match="weight chosen at the edge of a range.*widened 1 times"
        ):
            tune(changed, "knee", "cg_sense")
    else:
        assert tune(changed, "knee", "cg_sense")["at_edge"]["4"] == ["weight"]


def test_tuning_takes_the_best_on_validation_volumes_and_opens_no_other(study, monkeypatch):
    """Scores are given per weight; those on other subjects would lead elsewhere."""
    opened = set()

    def score(self, case):
        opened.add(case.subject)
        return -abs(case.settings["weight"] - 0.02)

    monkeypatch.setattr(Study, "trial", score)
    config = study.config.model_copy(update={"methods": {"cg_sense": {}}})
    config = config.model_copy(
        update={"tuning": config.tuning.model_copy(update={"trials": 12, "edges": "report"})}
    )
    record = tune(Study(config, study.root), "knee", "cg_sense")
    weights = [trial["settings"]["weight"] for trial in record["trials"]["4"]]
    assert len(weights) == 12 and opened == {"100"}
    assert record["best"]["4"]["weight"] == min(weights, key=lambda w: abs(w - 0.02))


def test_a_trial_that_falls_behind_is_not_run_on_the_other_volumes():
    """The best of a race is that of the full table, and bad trials cost one volume."""
    psnr = {1: (30.0, 40.0), 2: (28.0, 45.0), 3: (31.0, 41.0), 4: (29.5, 42.0), 5: (30.5, 38.0)}
    run = []

    def one(values, subject):
        run.append((values["x"], subject))
        return psnr[values["x"]][subject]

    score = race(one, [0, 1], 1.0)
    found = {x: score({"x": x}) for x in psnr}
    assert found == {1: 35.0, 2: 33.0, 3: 36.0, 4: 34.5, 5: 34.25}
    assert (2, 1) not in run and (4, 1) not in run and len(run) == 8


def test_masks_differ_between_subjects_but_not_between_calls(study):
    """Parameters are not tuned on the pattern they are tested with."""
    validation, test = study.mask("knee", 100, 4), study.mask("knee", 200, 4)
    assert (validation != test).any() and (study.mask("knee", 200, 4) == test).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"methods": {"l1_wavlet": {}}}, "no method is called 'l1_wavlet'"),
        ({"methods": {"l1_wavelet": {"lambda": 1}}}, "has no setting 'lambda'"),
        ({"methods": {"annealed": {}}, "networks": {}}, "needs a prior"),
        ({"accelerations": [500.0]}, "calibration"),
        ({"comparisons": {"11": Comparison(vary={"iterations": [0.0]})}}, "iterations = 0"),
        ({"comparisons": {"11": Comparison(vary={"iterations": [2.5]})}}, "iterations = 2.5"),
        ({"comparisons": {"11": Comparison(vary={"weight": ["much"]})}}, "weight = 'much'"),
        (
            {"comparisons": {"11": Comparison(vary={"slabs": [1.0]})}},
            "no method of the comparison has a setting 'slabs'",
        ),
        (
            {"comparisons": {"11": Comparison(choose={"slabs": [1, 2]})}},
            "comparison 11: method .* has no setting 'slabs'; correct 'choose'",
        ),
        (
            {"comparisons": {"10_methods_without_shift": Comparison(accelerations=[500.0])}},
            "calibration",
        ),
        (
            {"comparisons": {}},
            "notebook 10_methods_without_shift shows the comparison 10_methods_without_shift",
        ),
        ({"notebooks": []}, "no notebook shows the comparison 10_methods_without_shift"),
    ],
)
def test_what_would_fail_later_is_refused_before_any_work(study, change, words):
    with pytest.raises(ReconError, match=words):
        check(study.config.model_copy(update=change))


@pytest.mark.parametrize(
    ("there", "change", "words"),
    [
        (0, {"device": "cuda"}, "device is cuda, but no GPU can be seen here; set 'device: cpu'"),
        (1, {"device": "cuda:1"}, "device is cuda:1, but 1 GPU can be seen here"),
        (1, {"device": "cuda", "processes": 2}, "processes is 2, but 1 GPU can be seen here"),
    ],
)
def test_only_the_machine_that_does_the_work_needs_the_gpus(
    there, change, words, study, monkeypatch
):
    """The one that plans it, or sends jobs to a cluster, need not have any."""
    monkeypatch.setattr("torch.cuda.device_count", lambda: there)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    wanted = study.config.model_copy(update=change)
    check(wanted)
    with pytest.raises(ReconError, match=words):
        check_device(wanted)


def test_datasets_that_differ_in_their_priors_alone_are_looked_at_once(study):
    """At full size each volume takes 4 GB."""
    knee = study.config.datasets["knee"]
    again = knee.model_copy(update={"label": "again", "networks_of": "knee"})
    more = study.config.model_copy(update={"datasets": {"knee": knee, "again": again}})
    looked = Study(more, study.root).looks()
    assert "knee" in looked and "again" not in looked


def test_missing_prior_is_named(study):
    with pytest.raises(ReconError, match="knee.safetensors: no such file"):
        file_hash(study.network_path("knee"))


def test_an_optimum_at_the_end_of_its_range_is_named():
    """The range of the weight is (1e-4, 0.3), that of the iterations (5, 60)."""
    space = methods.lookup("cg_sense").space
    assert at_edge(space, {"weight": 1.1e-4, "iterations": 20}) == ["weight"]
    assert at_edge(space, {"weight": 5e-3, "iterations": 60}) == ["iterations"]
    assert at_edge({}, {}) == []


def test_a_prepared_volume_of_other_settings_is_prepared_again(study):
    """The cache is the file, and what it says it was made from."""
    first = study.volume("knee", 200).hash
    section = study.config.datasets["knee"].model_copy(update={"voxel_factor": 1.25})
    changed = Study(study.config.model_copy(update={"datasets": {"knee": section}}), study.root)
    coarse = changed.volume("knee", 200)
    assert (
        coarse.hash != first
        and changed.run(changed.case("knee", 200, 4, "zero_filled"))["voxel_factor"] == 1.25
    )
    assert study.volume("knee", 200).hash == first


def test_a_choice_at_the_edge_of_its_grid_says_so():
    assert said("tv", 0.1, [0, 0.1, 1]) == "tv = 0.1"
    assert said("tv", 1, [0, 0.1, 1]) == "tv = 1 (edge)"
    assert said("tv", 0.0, [0, 0.1, 1]) == "tv = 0.0"
    assert said("solver", "admm", ["admm", "proximal", "none"]) == "solver = admm"


def test_settings_are_chosen_on_validation_volumes_for_each_varied_value(study, monkeypatch):
    """Each number of iterations gets the weight that does best with it there."""
    best = {2: 0.1, 20: 0.01}
    asked = []

    def trial(self, case, wait=True):
        asked.append(case.subject)
        return -abs(case.settings["weight"] - best[case.settings["iterations"]])

    monkeypatch.setattr(Study, "trial", trial)
    section = Comparison(
        datasets=["knee"],
        methods=["cg_sense"],
        accelerations=[4],
        vary={"iterations": [2, 20]},
        choose={"weight": [0.1, 0.01, 0.001]},
    )
    changed = Study(study.config.model_copy(update={"comparisons": {"11_x": section}}), study.root)
    found = [case.settings["weight"] for case, _ in changed.cases("11_x", "knee", "200")]
    validation = map(str, changed.config.datasets["knee"].validation)
    assert found == [0.1, 0.01] and set(asked) <= set(validation)


def test_processes_that_choose_from_one_grid_share_its_trials(study, monkeypatch):
    """While another is at work on the first point, the rest is computed; then it is waited for."""
    done = []

    def reconstruct(self, case):
        done.append(case.settings["weight"])
        return torch.ones(self.volume(case.dataset, case.subject).target.shape), {}

    monkeypatch.setattr(Study, "_reconstruct", reconstruct)
    grid = {"weight": [0.1, 0.01, 0.001]}
    subject = study.config.chosen_on("knee")[0]
    first = study.key(study.case("knee", subject, 4, "cg_sense", weight=0.1))
    asked = ("knee", 4, "cg_sense", None), {}, grid
    with alone(study.case_path(first).with_suffix(".lock")):
        choosing = threading.Thread(target=study._chosen, args=asked)
        choosing.start()
        while len(done) < 2:
            time.sleep(0.01)
    choosing.join(timeout=60)
    assert done == [0.01, 0.001, 0.1]


def test_a_comparison_is_every_method_prior_variation_and_acceleration():
    """Methods without a prior appear once.

    A setting is varied only where the method has it, and whole numbers stay whole.
    """
    raw = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())
    raw["datasets"] = {
        "knee": raw["datasets"]["knee"],
        "knee_2x": {"like": "knee", "voxel_factor": 2},
    }
    prior = raw["networks"]["knee"]
    raw["networks"] = {
        "knee": prior,
        "knee_2x": prior | {"dataset": "knee_2x"},
        "diverse": prior | {"factors": [0.1, 1.0]},
    }
    shift = {
        "methods": ["l1_wavelet", "annealed"],
        "priors": ["knee", "knee_2x", "diverse"],
        "accelerations": [4],
    }
    raw["comparisons"] = {
        "12_resolution_shift": shift,
        "11_hyperparameters": {"methods": ["variational"], "vary": {"slices": [2, 4]}},
    }
    study = Study(Config(**raw))
    assert study.config.compared("12_resolution_shift") == [
        (d, s) for d in ("knee", "knee_2x") for s in ("200", "201")
    ]
    cases = [case for case, _ in study.cases("12_resolution_shift", "knee_2x", "200")]
    assert [(c.method, c.networks.get("prior")) for c in cases] == [("l1_wavelet", None)] + [
        ("annealed", p) for p in shift["priors"]
    ]
    assert [study.trained_at(c.networks.get("prior")) for c in cases] == ["", "1", "2", "diverse"]
    varied = study.cases("11_hyperparameters", "knee", "200")
    assert [(c.acceleration, c.settings["slices"], change) for c, change in varied] == [
        (r, n, {"slices": n}) for r in (4.0, 8.0) for n in (2, 4)
    ]
    assert all(
        isinstance(c.settings["slices"], int) and c.networks == {"prior": "knee"} for c, _ in varied
    )


def test_only_what_is_shown_as_tuned_is_tuned():
    """A comparison of defaults, or of settings chosen on the scan, waits for no tuning."""
    config = load("smoke")
    defaults = config.comparisons["44_defaults"]
    alone = config.model_copy(update={"comparisons": {"44_defaults": defaults}, "tuning": Tuning()})
    assert alone.methods_on("knee_2x") == ["l1_wavelet", "annealed"]
    assert alone.tuned_on("knee_2x") == [] and alone.tuned_at("knee_2x", "annealed") == []
    both = {"44_defaults": defaults, "42_samplers": config.comparisons["42_samplers"]}
    tuned = alone.model_copy(update={"comparisons": both})
    assert "annealed" in tuned.tuned_on("knee_2x") and "l1_wavelet" not in tuned.tuned_on("knee_2x")


def test_a_dataset_may_have_its_own_mask_accelerations_and_priors():
    """The smoke configuration has a dataset with its own Gaussian mask.

    Priors side by side are named per dataset. Tuning is at the nearest of its accelerations.
    """
    config = load("smoke")
    study = Study(config)
    cases = [case for case, _ in study.cases("14_gaussian_mask", "knee_2x_gaussian", "200")]
    assert [(c.acceleration, c.networks.get("prior")) for c in cases] == [
        (r, p) for r in (2.0, 3.0) for p in ("knee_2x", "knee", "knee_diverse")
    ]
    assert (
        config.mask_of("knee_2x_gaussian").kind == "gaussian_2d"
        and config.mask_of("knee").kind == "poisson_disc"
    )
    assert config.tuned_at("knee_2x_gaussian", "variational") == [3.0]
    assert config.tuned_at("knee", "variational") == [4.0]
    everywhere = config.model_copy(update={"tuning": Tuning()})
    assert everywhere.tuned_at("knee_2x_gaussian", "variational") == [2.0, 3.0]
    assert everywhere.tuned_at("knee_2x_gaussian", "dds") == []
    assert config.prior_of("knee_2x_gaussian") == "knee_2x" and config.methods_on(
        "knee_2x_gaussian"
    ) == ["variational"]
    assert config.shown_in("40_beyond_the_paper") == ["40_planes", "40_thick_slices"]
    schedules = [
        c.settings["schedule"]
        for c, change in study.cases("11_hyperparameters", "knee", "200")
        if "schedule" in change
    ]
    assert schedules == ["uniform", "annealed"]


def test_labels_follow_the_configuration_and_not_the_stored_scores(study):
    """A row that was computed before says what the prior or the dataset is called now."""
    case = study.case("knee", 200, 4, "zero_filled")
    study.run(case)
    path = next(
        path
        for path in study.results.glob("scores/*.json")
        if path.name.startswith(study.key(case))
    )
    path.write_text(json.dumps(json.loads(path.read_text()) | {"psnr": 1.0}))
    again = study.run(case)
    assert (
        again["trained_at"] == ""
        and again["psnr"] == 1.0
        and list(again)[:3] == ["dataset", "volume", "method"]
    )
    path.unlink()


def test_a_new_metric_computes_no_reconstruction(study, monkeypatch):
    """Scores have a key of their own, and come from the kept volume to the last digit."""
    case = study.case("knee", 200, 4, "cg_sense")
    first = study.run(case)
    monkeypatch.setattr(provenance, "scoring_code", lambda: "another metric")
    monkeypatch.setattr(Study, "_reconstruct", lambda *_: pytest.fail("computed again"))
    assert study.run(case) == first


def test_two_processes_compute_a_case_once(study, monkeypatch):
    """The second waits for the first one's result."""
    case, done = study.case("knee", 201, 4, "zero_filled"), threading.Event()
    row = study.run(case)
    monkeypatch.setattr(Study, "_reconstruct", lambda *_: pytest.fail("computed again"))

    def second() -> None:
        assert Study(study.config, study.root).run(case) == row
        done.set()

    with alone(study.case_path(row["key"]).with_suffix(".lock")):
        waiting = threading.Thread(target=second)
        waiting.start()
        assert not done.wait(0.5)
    waiting.join()
    assert done.is_set()


def test_two_nodes_without_locks_do_not_corrupt_a_case(study, tmp_path, monkeypatch):
    """Some disks of a network know no locks. Both compute it, and either result is whole."""
    monkeypatch.setattr("recon.study.study.alone", lambda path, wait: nullcontext(True))
    context = multiprocessing.get_context("fork")
    both, rows = context.Barrier(2), context.Queue()

    def node() -> None:
        node_study = Study(study.config, tmp_path)
        both.wait()
        rows.put(node_study.run(node_study.case("knee", 200, 4, "cg_sense")))

    nodes = [context.Process(target=node) for _ in range(2)]
    for process in nodes:
        process.start()
    one, other = rows.get(timeout=120), rows.get(timeout=120)
    for process in nodes:
        process.join()
    assert one["psnr"] == other["psnr"] and one["key"] == other["key"]
    assert float(Study(study.config, tmp_path).reconstruction(one).max()) > 0
    assert not list(tmp_path.rglob("*.part"))


def test_training_volumes_keep_kspace_where_a_training_asks_for_it(study, tmp_path, monkeypatch):
    """A prior is trained on references; an unrolled network would need what was measured."""
    light = Study(study.config, tmp_path / "light")
    light.prepare("knee", 0)
    assert light.volume("knee", 0).kspace is None
    with pytest.raises(ReconError, match="only the reference of this training volume is stored"):
        light.problem("knee", 0, 4)
    monkeypatch.setattr(Config, "trains_on_kspace", lambda self, dataset: dataset == "knee")
    full = Study(study.config, tmp_path / "full")
    full.prepare("knee", 0)
    assert (
        full.volume("knee", 0).kspace is not None and full.problem("knee", 0, 4).rhs.abs().max() > 0
    )


def test_a_network_says_whether_its_batches_need_kspace(monkeypatch):
    config = load("smoke")
    assert not config.trains_on_kspace("knee")
    monkeypatch.setattr(
        "recon.study.config.batches", lambda name: Batches(slices_of, needs_kspace=True)
    )
    assert config.trains_on_kspace("knee") and not config.trains_on_kspace("knee_thick")


def test_a_dataset_without_validation_is_refused_where_a_method_is_tuned_on_it():
    config = load("smoke")
    knee = config.datasets["knee"].model_copy(update={"validation": []})
    changed = config.model_copy(update={"datasets": config.datasets | {"knee": knee}})
    with pytest.raises(ReconError, match="knee has no validation volume to tune .*settings_of"):
        check(changed)


@pytest.mark.parametrize("name", ["demo", "smoke"])
def test_the_shipped_configurations_pass_the_checks(name):
    check(load(name))


@pytest.mark.parametrize("name", sorted(path.stem for path in CONFIGS.glob("*.yaml")))
def test_every_configuration_has_the_comparisons_that_its_notebooks_show(name):
    check_notebooks(load(name, listed=False))


def test_a_notebook_without_its_comparison_is_refused():
    """Whether the notebook asks the study for the table, or takes it from several."""
    config = load("smoke")
    for name in ("20_slices", "21_sizes"):
        fewer = {key: c for key, c in config.comparisons.items() if key != name}
        with pytest.raises(ReconError, match=f"shows the comparison {name}; add it"):
            check_notebooks(config.model_copy(update={"comparisons": fewer}))


def test_what_the_configuration_fixes_is_not_searched(tmp_path):
    """It would take the place of what is found; null gives it back to the tuning."""
    section = Tuning(trials=4, widen=0, edges="report")
    found = inside("inr", section, 0, lambda values: 1.0, {"bandwidth"})
    assert set(found["space"]) == {"learning_rate"}
    change = {"like": "infusion", "name": "free", "methods": {"infusion": {"sigma": None}}}
    (tmp_path / "free.yaml").write_text(yaml.safe_dump(change))
    assert "sigma" not in load(tmp_path / "free.yaml").methods["infusion"]
    assert "sigma" in load("infusion").methods["infusion"]
