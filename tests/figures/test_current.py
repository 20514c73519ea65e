"""A figure is current until something that it follows from changes; the change is named."""

import json
import subprocess
from pathlib import Path
from shutil import copytree

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from recon import figures
from recon.__main__ import main
from recon.figures import sidecar
from recon.figures.current import verdicts
from recon.study.config import Comparison, load
from recon.study.study import Study

NAME = "10_methods_without_shift"
WEIGHTS, TUNING = "data/priors/tiny.safetensors", "data/tuning/tiny.json"


def config(**changes):
    """The smoke configuration with one dataset, two methods, and shipped weights and tuning."""
    whole = load("smoke")
    parts = {
        "datasets": {"knee": whole.datasets["knee"]},
        "networks": {"knee": whole.networks["knee"].model_copy(update={"shipped": WEIGHTS})},
        "methods": {"zero_filled": {}, "annealed": {"steps": 6}},
        "tuning": whole.tuning.model_copy(update={"shipped": TUNING}),
        "comparisons": {NAME: Comparison()},
        "notebooks": [NAME],
    }
    return whole.model_copy(update=parts | changes)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with one figure, one table, and the files that they follow from."""
    study = Study(config(), root=tmp_path_factory.mktemp("made"))
    for path in (WEIGHTS, TUNING):
        (study.root / path).parent.mkdir(parents=True)
    (study.root / WEIGHTS).write_text("weights")
    tune(study.root, 0.1)
    fig, axis = plt.subplots()
    axis.plot([1, 2, 3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sidecar, "volume_hash", lambda study, *names: f"hash of {names}")
        figures.save(study, fig, NAME, pd.DataFrame({"method": ["annealed"], "psnr": [30.0]}))
    return study.root


@pytest.fixture
def study(made, tmp_path) -> Study:
    """A study that a test may change."""
    copytree(made, tmp_path, dirs_exist_ok=True)
    return Study(config(), root=tmp_path)


def tune(root: Path, weight: float) -> None:
    records = {"knee": {"annealed": {"best": {"4": {"weight": weight}}}}}
    (root / TUNING).write_text(json.dumps(records))


def only(study: Study):
    """The verdict on the one figure there is."""
    [found] = verdicts(study, study.figures)
    return found


def edit(path: Path, change) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_an_untouched_figure_is_current(study):
    found = only(study)
    assert (found.name, found.state, found.changed) == (NAME, "current", [])
    assert found.not_recorded == [] and found.command == ""
    assert found.not_here == ["data of knee/200", "data of knee/201"]  # prepared volumes


CHANGES = {
    "weights": (lambda s: (s.root / WEIGHTS).write_text("others"), "weights of knee"),
    "no weights": (lambda s: (s.root / WEIGHTS).unlink(), "weights of knee is missing"),
    "tuning": (lambda s: tune(s.root, 0.2), "tuning of knee/annealed"),
    "no record": (lambda s: (s.root / TUNING).write_text("{}"), "tuning of knee/annealed"),
    "picture": (
        lambda s: (s.figures / f"{NAME}.png").write_bytes(b"drawn by hand"),
        f"{NAME}.png is not the file that was written",
    ),
    "table": (
        lambda s: (s.figures / f"{NAME}.csv").write_text("method,psnr\nannealed,99\n"),
        f"{NAME}.csv is not the file that was written",
    ),
    "no picture": (lambda s: (s.figures / f"{NAME}.png").unlink(), f"{NAME}.png is missing"),
    "no table": (lambda s: (s.figures / f"{NAME}.csv").unlink(), f"{NAME}.csv is missing"),
    "no sidecar": (
        lambda s: (s.figures / f"{NAME}.json").unlink(),
        f"there is no sidecar {NAME}.json",
    ),
    "no JSON": (
        lambda s: (s.figures / f"{NAME}.json").write_bytes(b"\xff{"),
        f"the sidecar {NAME}.json is not JSON",
    ),
    "a list": (lambda s: (s.figures / f"{NAME}.json").write_text("[]"), f"{NAME}.json: file: "),
    "another JSON": (
        lambda s: (s.figures / f"{NAME}.json").write_text('{"config": {"datasets": 3}}'),
        f"{NAME}.json: config.datasets: ",
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_change_of_a_file_is_named_with_the_command_that_makes_the_figure_anew(study, kind):
    change, said = CHANGES[kind]
    change(study)
    found = only(study)
    missing = kind in ("no picture", "no table", "no sidecar", "no JSON", "a list", "another JSON")
    assert found.state == ("missing" if missing else "stale")
    [changed] = found.changed
    assert changed.startswith(said)
    target = f"results/smoke/notebooks/{NAME}.ipynb"
    assert found.command == f"make figures CONFIG=smoke TARGET={target}"
    assert str(found).count("\n") == 0 and str(found).endswith(found.command)


def test_pictures_that_git_leaves_out_are_not_missing(study):
    """Those for print are large, and some are of data that is not ours to publish."""
    subprocess.run(["git", "init", "-q", str(study.root)], check=True)
    (study.root / ".gitignore").write_text("*.svg\n*.png\n")
    for suffix in (".svg", ".png"):
        (study.figures / f"{NAME}{suffix}").unlink()
    found = only(study)
    assert found.state == "current"
    assert found.not_here[-2:] == [f"{NAME}.png", f"{NAME}.svg"]
    (study.figures / f"{NAME}.csv").unlink()
    assert only(study).changed == [f"{NAME}.csv is missing"]


def test_what_snakemake_does_not_watch_is_made_again_by_deleting_the_notebook(study):
    executed = study.results / "notebooks" / f"{NAME}.ipynb"
    executed.parent.mkdir(parents=True)
    executed.touch()
    tune(study.root, 0.2)
    assert not only(study).command.startswith("rm ")
    (study.figures / f"{NAME}.png").unlink()
    assert only(study).command.startswith(f"rm results/smoke/notebooks/{NAME}.ipynb && make")


def dataset(**changes):
    return {"datasets": {"knee": config().datasets["knee"].model_copy(update=changes)}}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (dataset(noise=0.1), "datasets.knee.noise 0.05 → 0.1"),
        (dataset(test=[200]), "datasets.knee.test [200, 201] → [200]"),
        (dataset(accelerations=[3.0]), "datasets.knee.accelerations null → [3.0]"),
        ({"accelerations": [4.0]}, "accelerations [4.0, 8.0] → [4.0]"),
        ({"maps": "full"}, 'maps "calibration" → "full"'),
        (
            {"methods": {"zero_filled": {}, "annealed": {"steps": 7}}},
            "methods.annealed.steps 6 → 7",
        ),
        ({"methods": {"zero_filled": {}, "annealed": {}}}, "methods.annealed.steps 6 → null"),
        (
            {"comparisons": {NAME: Comparison(methods=["annealed"])}},
            f'comparisons.{NAME}.methods null → ["annealed"]',
        ),
    ],
)
def test_a_changed_value_of_the_configuration_is_named(study, changes, said):
    found = only(Study(config(**changes), root=study.root))
    assert (found.state, found.changed) == ("stale", [said])


def test_labels_and_subjects_of_training_change_no_figure(study):
    changes = dataset(label="Knees", train=[0, 1, 2])
    assert only(Study(config(**changes), root=study.root)).state == "current"


def test_changed_code_is_named(study, monkeypatch):
    monkeypatch.setattr("recon.study.provenance.method_code", lambda config, method: method)
    monkeypatch.setattr("recon.study.provenance.figure_code", lambda: "others")
    found = only(study)
    assert found.changed == ["code of zero_filled", "code of annealed", "code of figures"]
    assert "stale   10_methods_without_shift: code of zero_filled, annealed, figures; make" in str(
        found
    )


def test_an_old_sidecar_without_hashes_of_its_files_is_not_wrong(study):
    path = study.figures / f"{NAME}.json"
    edit(path, lambda values: [values.pop(key) for key in ("files", "steps", "notebook")])
    found = only(study)
    assert found.state == "current"
    assert found.not_recorded[:3] == [f"{NAME}{suffix}" for suffix in (".png", ".svg", ".csv")]
    assert "the notebook" in found.not_recorded


def test_a_figure_whose_notebook_is_gone_can_only_be_deleted(study):
    found = only(Study(config(notebooks=[]), root=study.root))
    assert found.state == "stale" and found.changed == ["configuration smoke has no notebook 10"]
    assert found.command.startswith("rm ")


def test_the_exit_status_says_what_was_found(study, capsys, monkeypatch):
    folder = str(study.figures)
    monkeypatch.setattr("recon.study.open_study", lambda name: study)
    assert main(["verify", folder]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == f"{folder}: 1 current, 0 stale, 0 missing"
    assert "data: not here to compare for 1 figures" in said
    (study.figures / f"{NAME}.json").unlink()
    assert main(["verify", folder]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"missing {NAME}: there is no sidecar")
    assert said[-1] == f"{folder}: 0 current, 0 stale, 1 missing"
    assert main(["verify", folder, "--json"]) == 1
    [found] = json.loads(capsys.readouterr().out)[folder]
    assert found["state"] == "missing" and found["command"].startswith("make figures")
    assert main(["verify", str(study.figures.parent)]) == 1  # the folder of all configurations


@pytest.mark.parametrize("name", ["nothing", "empty", "others"])
def test_a_folder_that_is_none_of_figures_is_refused_in_one_line(name, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "10_example.txt").touch()
    assert main(["verify", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "no folder of figures" in said


def test_figures_of_an_unknown_configuration_are_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "10_example.png").touch()
    assert main(["verify", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "no configuration" in said
