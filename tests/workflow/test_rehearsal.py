"""The papers' configurations on stand-ins for their datasets: planned, prepared and run.

``make rehearsal`` runs `paper`, `paper_brain` and `paper_7t` with all of their subjects.
"""

import json
import re

import pandas as pd
import pytest
import torch
import yaml

from recon.data.resolution import coarse_shape
from recon.mri.resample import crop_kspace
from recon.networks.weights import load_weights
from recon.study.config import load
from recon.study.study import Study
from tests.data import standins
from tests.workflow.rehearsal import asked, copied, rehearse, small, workflow

ALL = ("paper", "paper_brain", "paper_7t", "paper_infusion", "paper_r3dm")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("repository"))


@pytest.mark.parametrize("name", ALL)
def test_the_unchanged_configuration_can_be_planned(copy, tmp_path, monkeypatch, name):
    """Every input of every job is there or is made by another job, also without a GPU."""
    standins.sketch(tmp_path, standins.contents(name))
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    done = workflow(copy, tmp_path, name, "-n", "-q", "rules")
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]
    said = re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    planned = {rule: int(count) for rule, count in said}
    print(name, planned)
    config = load(name)
    assert planned["notebook"] == len(config.notebooks)
    assert planned["network"] == sum(n.weights_of is None for n in config.networks.values())
    assert planned["cases"] == sum(len(config.compared(c)) for c in config.comparisons)
    assert planned["tune"] == sum(len(config.tuned_on(d)) for d in config.datasets)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_run_without_its_gpu_is_refused_in_one_line(copy, tmp_path):
    standins.sketch(tmp_path, standins.contents("paper_7t"))
    done = workflow(copy, tmp_path, "paper_7t")
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.returncode == 1 and len(errors) == 1 and "no GPU" in errors[0]
    assert not (copy / "results/paper_7t").exists()


def test_subjects_that_are_to_be_named_are_asked_for(copy, tmp_path):
    standins.sketch(tmp_path, standins.contents("paper_r3dm"))
    done = workflow(copy, tmp_path, "paper_r3dm")
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.returncode == 1 and len(errors) == 1 and "no training subjects" in errors[0]


@pytest.mark.parametrize("name", ALL)
def test_one_subject_of_every_split_is_prepared(tmp_path, monkeypatch, name):
    """The reference is what the stand-in shows, on the grid of the dataset and in its own place."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    images = standins.make(tmp_path / "data", asked(name, 1), different=1)
    file = tmp_path / "rehearsal.yaml"
    file.write_text(yaml.safe_dump(small(name, 1)))
    study, seen = Study(load(file), tmp_path), set()
    for dataset, section in study.config.datasets.items():
        for subject in map(str, (*section.train, *section.validation, *section.test)):
            made = section.kind, str(section.voxel_factor), section.virtual_coils, subject
            if (*made, section.shape) in seen:
                continue
            seen.add((*made, section.shape))
            volume = study.volume(dataset, subject, reference_only=True)
            path = standins.STANDINS[section.kind].file(section.folder, subject.split(":")[0])
            agrees(volume, section, subject, *images[path])


def agrees(volume, section, subject: str, kind: str, number: int) -> None:
    """Compares a prepared volume with the coil images of its file."""
    standin, made = standins.STANDINS[kind], torch.from_numpy(standins.coil_images(kind, number))
    voxel = standin.voxel
    if section.options.get("two_phase_encodes"):
        place = int(subject.split(":")[1])
        made, voxel = made[..., place][:, None], (voxel[2], *voxel[:2])
    shape = section.shape or coarse_shape(tuple(made.shape[1:]), section.voxel_factor)
    assert tuple(volume.reference.shape) == tuple(shape)
    for found, n, full, v in zip(volume.voxel, shape, made.shape[1:], voxel, strict=True):
        assert found * n == pytest.approx(full * v, rel=1e-3)
    assert 0.05 < volume.support.float().mean() < 0.95
    if volume.origin == "measured":
        seen = sum(crop_kspace(coil, shape).abs().square() for coil in made).sqrt()
        both = torch.stack([seen.flatten(), volume.reference.abs().flatten()])
        least = 0.4 if section.virtual_coils == 1 else 0.9  # one coil does not see everything
        assert torch.corrcoef(both)[0, 1] > least, (kind, subject)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The whole graph of `paper_7t`, with one subject of each split."""
    folder = tmp_path_factory.mktemp("rehearsal")
    done = rehearse("paper_7t", folder, subjects=1)
    assert done.returncode == 0, done.stderr[-6000:]
    return folder / "repository"


def test_the_whole_graph_runs_through_the_gallery(run):
    figures = run / "figures/rehearsal_paper_7t"
    table = pd.read_csv(figures / "14_gaussian_mask.csv")
    assert len(table) == 4 * 6 and set(table["R"]) == {4, 8, 12, 16, 24, 36}
    assert (table["origin"] == "measured").all() and table["psnr"].between(0, 80).all()
    assert set(table["trained_at"]) == {"1", "2", "4", "diverse"}
    assert "14_gaussian_mask" in (figures / "index.html").read_text()


def test_a_prior_knows_the_pixels_of_the_files_that_it_was_trained_on(run):
    networks = run / "results/rehearsal_paper_7t/networks"
    found = {
        n: load_weights(networks / f"{n}.safetensors")[0].pixels for n in ("ahead", "ahead_4x")
    }
    assert found["ahead"] == pytest.approx((0.7, 0.7))
    assert found["ahead_4x"] == pytest.approx((2.8, 2.8))
    diverse = load_weights(networks / "ahead_diverse.safetensors")[0].pixels
    assert diverse == pytest.approx((0.7, 7.0))


def test_claims_of_one_subject_are_undecided(run):
    card = json.loads((run / "figures/rehearsal_paper_7t/scorecard.json").read_text())
    assert card and all(claim["holds"] is None for claim in card)
