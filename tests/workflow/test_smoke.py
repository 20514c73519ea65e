"""The whole workflow from scratch, in a copy of the repository: every rule, every notebook."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest

from recon.study.config import load
from tests.workflow.repository import call, copied, run, started, workflow

COLUMNS = {
    "dataset",
    "volume",
    "method",
    "prior",
    "voxel_factor",
    "R",
    "psnr",
    "ssim",
    "nrmse",
    "seconds",
    "peak_memory_mb",
}


def step(copy: Path, *arguments: str) -> subprocess.CompletedProcess:
    return run(copy, "workflow.scripts.step", "--config", "smoke", *arguments)


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """The repository's files, with the smoke workflow run once."""
    target = copied(tmp_path_factory.mktemp("repository"))
    done = workflow(target)
    assert done.returncode == 0, done.stderr[-6000:]
    return target


def test_pictures_tables_sidecars_and_gallery(copy):
    figures = copy / "figures" / "smoke"
    made = (
        "00_start_here",
        "01_data",
        "02_phantoms",
        "10_slices_knee_R8",
        "10_convergence",
        "12_losses",
        "14_masks_knee_2x_gaussian",
    )
    # The three comparisons of bounds are one picture, 43_bounds.
    compared = [name for name in load("smoke").comparisons if not name.startswith("43_bounds_")]
    for name in (*made, *compared):
        for suffix in (".png", ".json"):
            assert (figures / f"{name}{suffix}").stat().st_size > 0
        assert name in (figures / "index.html").read_text()
    page = (figures / "10_methods_without_shift.html").read_text()
    assert 'src="10_slices_knee_R8.png"' in page and "data:image/png" not in page, (
        "pages link to the pictures beside them"
    )
    made = json.loads((figures / "10_methods_without_shift.json").read_text())
    assert {
        "git",
        "dirty",
        "config",
        "seeds",
        "packages",
        "device",
        "volumes",
        "networks",
        "tuning",
        "wall_time_s",
    } <= set(made)
    assert set(made["volumes"]) == {"knee/200", "knee/201"} and set(made["networks"]) == {"knee"}
    assert made["tuning"]["best"]["knee/l1_wavelet"], (
        "the figure cites the parameters that tuning chose"
    )


def test_table_has_one_row_per_case(copy):
    table = pd.read_csv(copy / "figures/smoke/10_methods_without_shift.csv")
    assert COLUMNS <= set(table.columns)
    assert len(table) == len(table.drop_duplicates(["volume", "method", "R"])) == 2 * 5 * 2
    assert (table["origin"] == "phantom").all() and table["psnr"].between(5, 60).all()


def test_tuning_saw_validation_volumes_only_with_one_budget(copy):
    for method in ("cg_sense", "l1_wavelet", "variational", "annealed"):
        record = json.loads((copy / f"results/smoke/tuning/knee/{method}.json").read_text())
        assert record["subjects"] == [100]
        assert [len(trials) for trials in record["trials"].values()] == [2]
        assert set(record["best"]) == {"4"}


def test_scorecard_is_computed(copy):
    card = json.loads((copy / "figures/smoke/scorecard.json").read_text())
    assert card and all(
        {"id", "paper", "figure", "statement", "measured", "threshold", "holds"} <= set(claim)
        for claim in card
    )


def test_a_second_call_does_nothing(copy):
    again = workflow(copy)
    assert again.returncode == 0 and "Nothing to be done" in again.stderr


def test_a_killed_run_is_called_again_as_it_was(copy):
    """Kill the whole run in the middle of a job; the same call then finishes, and a second run at
    the same time is refused.
    """
    table = copy / "results/smoke/tables/10_methods_without_shift/knee/201.csv"
    log = copy / "logs/smoke/cases/10_methods_without_shift/knee/201.log"
    later = (
        copy / "results/smoke/notebooks/10_methods_without_shift.ipynb",
        copy / "figures/smoke/index.html",
    )
    # Snakemake makes a missing file again only where something missing needs it
    for lost in (table, log, *later):
        lost.unlink()
    victim = started(copy, *call(), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert log.exists() and not table.exists()
    second = workflow(copy)
    assert second.returncode == 2 and "another run is at work" in second.stderr
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    again = workflow(copy)
    assert again.returncode == 0 and table.exists(), again.stderr[-3000:]


def test_the_slurm_profile_is_valid(copy):
    """Snakemake and its plugin for SLURM understand all of it, without a cluster."""
    done = run(copy, *call("smoke", "--dry-run", profile="slurm"))
    assert done.returncode == 0, done.stderr[-3000:]


def test_cases_resume_and_repeat_bit_for_bit(copy):
    """A lost case is computed again to the same numbers; the others are left alone."""
    cases = sorted((copy / "results/smoke/cases").glob("*.h5"))
    path = copy / "results/smoke/tables/10_methods_without_shift/knee/200.csv"
    before = pd.read_csv(path)
    key = before[before["method"] == "annealed"]["key"].iloc[0]
    lost = copy / f"results/smoke/cases/{key}.h5"
    stamps = {case: case.stat().st_mtime_ns for case in cases}
    for file in (lost, *(copy / "results/smoke/scores").glob(f"{key}-*.json")):
        file.unlink()
    assert step(copy, "cases", "10_methods_without_shift", "knee", "200").returncode == 0
    after = pd.read_csv(path)
    measured = ["key", "psnr", "ssim", "ssim_3d", "nrmse", "psnr_volume", "psnr_reference"]
    pd.testing.assert_frame_equal(after[measured], before[measured], check_exact=True)
    assert [c for c in cases if c.stat().st_mtime_ns != stamps[c]] == [lost]


def test_a_failed_notebook_keeps_its_traceback(copy):
    notebook = json.loads((copy / "notebooks/00_start_here.ipynb").read_text())
    notebook["cells"][-1] = {
        "cell_type": "code",
        "id": "boom",
        "source": "1 / 0",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
    }
    notebook["cells"][3:-1] = []
    (copy / "notebooks/99_broken.ipynb").write_text(json.dumps(notebook))
    done = step(copy, "notebook", "99_broken", "logs/99_broken.ipynb")
    assert done.returncode != 0
    assert "ZeroDivisionError" in (copy / "logs/99_broken.ipynb").read_text()
    assert not (copy / "results/smoke/notebooks/99_broken.ipynb").exists()


@pytest.mark.parametrize(
    ("config", "words"),
    [("nowhere", "no configuration nowhere"), ("bad.yaml", "datasets.knee.shap")],
)
def test_a_bad_configuration_is_one_line_before_any_work(copy, config, words):
    (copy / "bad.yaml").write_text(
        (copy / "workflow/config/smoke.yaml").read_text().replace("shape:", "shap:")
    )
    done = workflow(copy, config)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and words in errors[0] and "Traceback" not in done.stderr
