import json
import re

import h5py
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import PIL.Image
import pytest

from recon import figures
from recon.files import digest
from recon.study.config import load
from recon.study.study import Study


def figure():
    fig, axis = plt.subplots()
    axis.plot([1, 2, 3], marker="o")
    return fig


@pytest.fixture
def study(tmp_path):
    """A study whose prepared volumes are nothing but a hash and whose networks are empty files."""
    study = Study(load("smoke"), root=tmp_path)
    for dataset in study.config.datasets:
        for subject in study.config.datasets[dataset].test:
            path = study.data_path(dataset, subject)
            path.parent.mkdir(parents=True, exist_ok=True)
            with h5py.File(path, "w") as file:
                file.attrs["hash"] = f"hash of {dataset} {subject}"
    for network in study.config.networks:
        study.network_path(network).parent.mkdir(parents=True, exist_ok=True)
        study.network_path(network).write_text(network)
    return study


def read(study, name):
    return json.loads((study.figures / f"{name}.json").read_text())


def test_the_same_figure_gives_the_same_files(tmp_path):
    """Pictures are compared by their bytes, so names inside an .svg must not change."""
    study, written = Study(load("smoke"), root=tmp_path), []
    for _ in range(2):
        figures.save(study, figure(), "line")
        written.append(
            [(study.figures / f"line{suffix}").read_bytes() for suffix in (".png", ".svg")]
        )
    assert written[0] == written[1]


def test_a_figure_is_saved_with_its_table_and_its_sidecar(study):
    """The table has six digits and no keys, which name files of this machine alone."""
    table = pd.DataFrame({"method": ["dds"], "psnr": [31.23456789], "key": ["3f2a"]})
    figures.save(study, figure(), "12_example", table)
    written = sorted(path.name for path in study.figures.iterdir())
    assert written == [f"12_example.{suffix}" for suffix in ("csv", "json", "png", "svg")]
    assert (study.figures / "12_example.csv").read_text() == "method,psnr\ndds,31.2346\n"
    assert (study.figures / "12_example.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (study.figures / "12_example.svg").read_text()
    assert not plt.get_fignums()  # closed, so that a long notebook does not fill the memory
    assert list(table) == ["method", "psnr", "key"]


def test_a_figure_without_a_table_has_no_csv(study):
    figures.save(study, figure(), "12_example")
    assert not (study.figures / "12_example.csv").exists()


def test_the_sidecar_lists_the_inputs_of_the_notebook_with_the_number(study):
    """Notebook 12 of the smoke test reads the tables of two datasets and three priors."""
    figures.save(study, figure(), "12_example")
    made = read(study, "12_example")
    assert made["volumes"] == {
        f"{dataset}/{subject}": f"hash of {dataset} {subject}"
        for dataset in ("knee", "knee_2x")
        for subject in (200, 201)
    }
    networks = ("knee", "knee_2x", "knee_diverse")
    assert made["networks"] == {n: digest(study.network_path(n))[:16] for n in networks}
    figures.save(study, figure(), "00_example")  # one volume as an example
    made = read(study, "00_example")
    assert list(made["volumes"]) == ["knee/200"] and list(made["networks"]) == ["knee"]


def test_the_sidecar_says_what_made_the_figure(study):
    figures.save(study, figure(), "12_example")
    made = read(study, "12_example")
    whole = study.config.model_dump(mode="json")
    assert made["config"]["mask"] == whole["mask"]
    used = {"datasets": ["knee", "knee_2x"], "networks": ["knee", "knee_2x", "knee_diverse"]}
    for section, names in used.items():  # no more than the figure follows from
        assert made["config"][section] == {name: whole[section][name] for name in names}
    assert list(made["code"]) == list(made["config"]["methods"]) == ["variational"]
    assert made["packages"]["torch"] and made["packages"]["python"].startswith("3.")
    assert (made["threads"], made["seeds"]) == (1, {"config": 0, "mask": study.config.mask.seed})
    assert made["device"] and made["wall_time_s"] >= 0
    assert set(made["tuning"]["best"]) == {"knee/variational", "knee_2x/variational"}


def test_a_picture_has_no_svg_and_keeps_its_greys(study):
    """Its pixels are in the .png, whose 256 colours are enough for grey slices."""
    fig, axis = plt.subplots()
    axis.imshow(np.linspace(0, 1, 256)[None].repeat(64, 0), cmap="gray", aspect="auto")
    figures.save(study, fig, "12_slices")
    assert not (study.figures / "12_slices.svg").exists()
    with PIL.Image.open(study.figures / "12_slices.png") as picture:
        row = np.asarray(picture.convert("L"))[picture.height // 2].astype(int)
    assert len(set(row.tolist())) > 60
    inside = row[(row > 0) & (row < 255)]
    assert np.abs(np.diff(inside[5:-5])).max() < 10


@pytest.mark.parametrize("size", [(7.5, 2.7), (3.2, 4.0)])
def test_a_pdf_for_print_is_made_on_request(study, monkeypatch, size):
    """It has the size of the figure in points, and its fonts embedded as outlines (Type 42)."""
    fig, axis = plt.subplots(figsize=size)
    axis.plot([1, 2], label="λ = 0.1, ℓ1")
    axis.set(title="x̂, PSNR [dB]", xlabel=r"$\sigma$")
    monkeypatch.setenv("RECON_PDF", "1")
    figures.save(study, fig, "12_example")
    pdf = (study.figures / "12_example.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and b"/CreationDate" not in pdf
    box = re.search(rb"/MediaBox \[\s*0 0 ([\d.]+) ([\d.]+)\s*\]", pdf)
    assert [float(edge) / 72 for edge in box.groups()] == pytest.approx(size)
    fonts = re.findall(rb"/FontDescriptor", pdf)
    assert fonts and pdf.count(b"/FontFile2") >= len(set(re.findall(rb"/FontName /(\S+)", pdf)))
    assert b"/Type1" not in pdf and b"/CIDFontType2" in pdf


def test_no_pdf_is_made_without_request(study, monkeypatch):
    monkeypatch.delenv("RECON_PDF", raising=False)
    figures.save(study, figure(), "12_example")
    assert not (study.figures / "12_example.pdf").exists()
