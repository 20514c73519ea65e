"""A plan lists the jobs that the workflow runs, and its times follow the laws it states."""

import re
import subprocess
import sys
from collections import Counter

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from recon.__main__ import main
from recon.data.section import Dataset
from recon.errors import ReconError
from recon.schema import ROOT
from recon.study import jobs
from recon.study.config import Comparison, load
from recon.study.costs import Costs, drawn, iterations, load_costs, pixel_area, size, work
from recon.study.plan import Planned, Planner, plan, said
from recon.study.workspace import Workspace

ONE = {"overhead": 1.0, "data": 1.0, "pixels": 1.0}
METHODS = ("zero_filled", "cg_sense", "annealed")
COSTS = Costs(
    machine={"processor": "abacus", "device": "cpu", "precision": "float32"},
    methods=dict.fromkeys(METHODS, ONE),
    flop=1e-6,
    training_flop=1e-6,
    start=5.0,
    pose=0.0,
    score=0.0,
    process=1e8,
    memory_each=100.0,
    prepare=1e-6,
    prepare_reference=1e-7,
    prepare_slice=1e-6,
    stored=20.0,
    stored_reference=8.0,
    notebooks={"10": 7.0},
    notebook_voxels=32 * 40 * 40,
    searches=2.0,
)
NAME = "10_methods_without_shift"


def small(**changes):
    """The smoke configuration with one dataset and two methods that need no network."""
    whole = load("smoke")
    parts = {
        "datasets": {"knee": whole.datasets["knee"]},
        "networks": {},
        "methods": {"zero_filled": {}, "cg_sense": {}},
        "comparisons": {NAME: Comparison()},
        "notebooks": [NAME],
    }
    return whole.model_copy(update=parts | changes)


def planned(root, config=None, costs=COSTS):
    return plan(Planned(config or small(), root=root), costs)


def test_the_jobs_are_those_of_a_dry_run(tmp_path):
    """Half a minute at most: Snakemake reads the whole configuration of the smoke test."""
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--nolock", "--quiet", "rules"]
    command += ["--snakefile", str(ROOT / "Snakefile"), "--directory", str(tmp_path)]
    command += ["--config", "run=smoke", "--cores", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    rows = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    listed = {name: int(count) for name, count in rows if name not in ("all", "total")}
    found = Counter(job.kind for job in jobs.jobs(Workspace(load("smoke"), tmp_path)))
    assert found == listed and set(found) == set(jobs.KINDS)


def test_what_is_here_is_done(tmp_path):
    study = Planned(small(), root=tmp_path)
    whole = plan(study, COSTS)
    assert {k: (v.left, v.jobs) for k, v in whole.kinds.items() if v.jobs} == {
        "prepare": (3, 3),
        "tune": (2, 2),
        "cases": (2, 2),
        "notebook": (1, 1),
        "gallery": (1, 1),
    }
    for job in jobs.jobs(study):
        job.output.parent.mkdir(parents=True, exist_ok=True)
        job.output.touch()
    rest = plan(study, COSTS)
    assert all(kind.left == kind.seconds == 0 for kind in rest.kinds.values())
    assert rest.kinds["cases"].jobs == 2 and rest.disk == rest.hours() == 0
    assert "cases        0 of 2 left     0 minutes of one core" in said(rest, COSTS.machine, 2, 1.0)


def test_planning_writes_nothing(tmp_path):
    planned(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_case_takes_iterations_times_work(tmp_path):
    """CG-SENSE has no network: the overhead, and voxels and coils, of every iteration."""
    assert iterations({"iterations": 30}) == 30 and iterations({"steps": 8}) == 8
    assert iterations({}) == 1
    assert iterations({"iterations": 9, "representation": {"warm": 20}}) == 12
    once = COSTS.case("cg_sense", {"iterations": 1}, (4, 5, 6), 2)
    assert once == 1 + 4 * 5 * 6 * 2
    assert COSTS.case("cg_sense", {"iterations": 7}, (4, 5, 6), 2) == 7 * once
    assert work({"cg_iterations": 8}, (4, 5, 6), 2) == 9 * work({}, (4, 5, 6), 2)
    assert COSTS.memory((10, 10, 10), 4) == 1e8 + 100 * 4000


def test_an_implicit_network_costs_its_weights_at_every_voxel_or_column():
    form = {"width": 8, "layers": 3, "features": 4, "columns": False}
    voxels = work({"representation": form}, (4, 5, 6), 2)
    assert voxels == 4 * 5 * 6 * (8 * 8 + 2 * 8 * 8 + 2 * 8)
    columns = work({"representation": form | {"columns": True}}, (4, 5, 6), 2)
    assert columns == 4 * 5 * (8 * 8 + 2 * 8 * 8 + 6 * 2 * 8)
    slices = [work({"representation": form | {"columns": c}}, (1, 5, 6), 2) for c in (False, True)]
    assert slices[0] == slices[1], "each pixel of a slice is a point of its own"


def test_slices_that_are_denoised():
    """One orientation a step; some slices of each; a sampler every few iterations."""
    assert drawn({"steps": 3}, (4, 5, 6)) == 3 * 120
    assert drawn({"iterations": 2, "slices": 2}, (4, 5, 6)) == 2 * 2 * (5 * 6 + 4 * 6 + 4 * 5)
    assert drawn({"iterations": 2, "slices": 9}, (4, 5, 6)) == 2 * 3 * 120  # no more than there are
    assert drawn({"iterations": 2, "slices": 2, "planes": 1}, (4, 5, 6)) == 2 * 2 * 20
    sampler = {"iterations": 20, "every": 5, "steps": 10, "slices": 1}
    assert drawn(sampler, (1, 5, 6)) == 20 / 5 * 10 * 30
    assert drawn({"iterations": 5}, (4, 5, 6)) == 0


def test_pixels_of_a_prior_count_by_their_area():
    config = load("smoke")
    assert pixel_area(config, "knee", "knee_2x", 1.0) == 1
    assert pixel_area(config, "knee", "knee_2x", 2.0) == 4
    assert pixel_area(config, "knee", "knee_2x", "prior") == 4
    assert pixel_area(config, "knee_2x", "knee", "prior") == 1 / 4
    assert pixel_area(config, "knee_2x", "knee_diverse", "prior") == 1


def test_sizes_follow_the_section_or_the_registry():
    config = load("infusion")
    assert size(config, "knee_2x") == ((32, 40, 40), 8)
    assert size(config, "slices") == ((1, 64, 80), 20)
    assert size(load("paper_7t", listed=False), "ahead_2x")[1] == 12


def test_the_size_of_files_is_read_from_the_first_test_scan(tmp_path):
    """At the voxel size that is asked for; a file that is missing is one line that names it."""
    volume = np.random.default_rng(0).random((12, 16, 20), np.float32)
    nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "a.nii.gz")
    options = {"path": str(tmp_path), "coils": 3, "voxel_factor": 2, "train": [], "validation": []}
    there, gone = (Dataset(kind="folder", label="", test=[s], **options) for s in ("a", "b"))
    assert size(small(datasets={"mine": there}), "mine") == ((6, 8, 10), 3)
    with pytest.raises(ReconError, match=r"size of dataset mine is not known .*: .*b\.\*"):
        size(small(datasets={"mine": gone}), "mine")


def test_a_case_of_two_comparisons_is_computed_once(tmp_path):
    twice = {NAME: Comparison(), "10_again": Comparison()}
    one, two = (planned(tmp_path, small(comparisons=c)) for c in ({NAME: Comparison()}, twice))
    assert two.kinds["cases"].jobs == 2 * one.kinds["cases"].jobs
    more = two.kinds["cases"].seconds - one.kinds["cases"].seconds
    assert more == pytest.approx(2 * COSTS.start)


def test_cores_divide_the_work_but_no_job():
    whole = planned(ROOT / "nowhere")
    total = sum(kind.seconds for kind in whole.kinds.values()) / 3600
    longest = max(kind.longest for kind in whole.kinds.values()) / 3600
    assert whole.hours(1) == pytest.approx(total)
    assert whole.hours(1, speed=4) == pytest.approx(total / 4)
    assert whole.hours(1000) == pytest.approx(longest)


@pytest.mark.parametrize("config", ["demo", "r3dm"])
def test_the_plan_is_within_a_factor_of_two_of_what_the_figures_took(config):
    """Their tables have the seconds of each case, on processors that differ."""
    study, planned, took = Planned(load(config)), 0.0, 0.0
    for name in study.config.comparisons:
        path = ROOT / "figures" / config / f"{name}.csv"
        table = pd.read_csv(path) if path.exists() else pd.DataFrame()
        if "seconds" in table:
            planner = Planner(study, load_costs())
            planned += sum(planner.cases(name, *pair) for pair in study.config.compared(name))
            took += table["seconds"].sum()
    assert took > 600 and 0.5 < planned / took < 2, planned / took


def test_trials_of_tuning_are_counted(tmp_path):
    """One search, repeated where ranges are widened; half of the trials on a second subject."""
    few, many = (
        planned(tmp_path, small(tuning=small().tuning.model_copy(update={"trials": n})))
        for n in (4, 8)
    )
    starts = 2 * COSTS.start  # of two jobs
    case = few.kinds["tune"].seconds - starts
    assert many.kinds["tune"].seconds - starts == pytest.approx(2 * case, rel=0.1)


@pytest.mark.parametrize("text", ["", "[1]", "3", "datasets: {knee: {kind: [a]}}", "datasets: 4"])
def test_a_file_that_is_no_configuration_is_refused_in_one_line(text, tmp_path):
    (tmp_path / "my.yaml").write_text(text)
    with pytest.raises(ReconError, match="my.yaml: "):
        load(tmp_path / "my.yaml", listed=False)


def test_what_nobody_measured_is_said(tmp_path):
    config = small(methods={"zero_filled": {}, "grappa": {}})
    found = planned(tmp_path, config)
    assert any(line.startswith("grappa (") for line in found.unknown)


def test_a_full_size_configuration_needs_no_data():
    """It says what to download, how much memory a case takes, and that no GPU was measured."""
    config = load("paper_7t", listed=False)
    found = plan(Planned(config, root=ROOT / "nowhere"), load_costs())
    assert any(re.match(r"ahead: 77 files, about \d+\.\d GB", line) for line in found.downloads)
    assert found.memory > 1e9 and found.kinds["network"].left == 4
    assert any("no measurement of it" in line for line in said(found, load_costs().machine, 2, 1.0))


def test_an_unknown_configuration_is_refused_in_one_line(capsys):
    assert main(["plan", "nothing"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "no configuration nothing" in said


def test_every_method_is_measured():
    """Every method of a paper has a cost; none is negative."""
    costs = load_costs()
    for name in ("demo", "infusion", "r3dm"):
        assert set(load(name).methods) <= set(costs.methods)
    assert all(cost.data + cost.overhead > 0 for cost in costs.methods.values())
