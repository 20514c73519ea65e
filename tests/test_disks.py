"""A disk that refuses ends in one line: the file and what to do. What was there before stays.

The disks are full, read-only, or allow no large files. Every kind of file that the project writes
is tried on each.
"""

import json
import os
import re
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch

from recon import figures
from recon.download import fetch, registry, transport
from recon.errors import ReconError
from recon.files import alone, copy, write_bytes, write_text
from recon.io.maps import write_maps
from recon.io.nifti import write_volume
from recon.networks.unet import UNet, UNetConfig
from recon.networks.weights import save_weights
from recon.priors.ddpm import DDPM, DDPMTraining
from recon.study.cases import write_magnitude
from recon.study.config import load
from recon.study.study import Study
from recon.training.checkpoints import save_checkpoint
from tests.disks import refusing, small_disk
from tests.download.http_server import Server
from workflow.scripts import run, step

KINDS = ("full", "read-only", "limited")
CURES = {"full": "make room", "read-only": "writable", "limited": "raise the limit"}
NETWORK = UNetConfig(channels=8, multipliers=(1,), attention=())


def checkpoint(folder: Path) -> Path:
    model = UNet(NETWORK)
    optimizer = torch.optim.Adam(model.parameters())
    path = folder / "knee.ckpt"
    save_checkpoint(path, 1, model, UNet(NETWORK), optimizer, torch.Generator())
    return path


def weights(folder: Path) -> Path:
    path = folder / "knee.safetensors"
    save_weights(path, DDPMTraining(network=NETWORK), DDPM(UNet(NETWORK)), {})
    return path


def case(folder: Path) -> Path:
    write_magnitude(folder / "case.h5", torch.rand(32, 32, 32))
    return folder / "case.h5"


def table(folder: Path) -> Path:
    rows = pd.DataFrame({"psnr": torch.rand(1000).tolist()})
    write_text(folder / "table.csv", rows.to_csv())
    return folder / "table.csv"


def picture(folder: Path) -> Path:
    study = Study(load("smoke"), root=folder)
    fig, axis = plt.subplots()
    axis.plot([1, 2, 3])
    figures.save(study, fig, "line")
    return study.figures / "line.png"


def copied(folder: Path) -> Path:
    copy(Path(__file__), folder / "copy.py")
    return folder / "copy.py"


def prepared(folder: Path) -> Path:
    config = load("smoke")
    section = config.datasets["knee"].model_copy(update={"shape": (16, 24, 24), "coils": 2})
    study = Study(config.model_copy(update={"datasets": {"knee": section}}), folder)
    return study.prepare("knee", 200)


def volume(folder: Path) -> Path:
    data = torch.randn(24, 24, 24, dtype=torch.complex64)
    write_volume(folder / "volume.nii.gz", data, (1.0, 1.0, 1.0))
    return folder / "volume.nii.gz"


def maps(folder: Path) -> Path:
    write_maps(folder / "maps.h5", torch.randn(2, 16, 16, 16, dtype=torch.complex64))
    return folder / "maps.h5"


WRITERS = [checkpoint, weights, case, table, picture, copied, prepared, volume, maps]


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("write", WRITERS, ids=lambda function: function.__name__)
def test_what_cannot_be_written_is_one_line_and_leaves_what_was(write, kind, tmp_path, unchecked):
    target = Path()

    def before(disk: Path) -> None:
        nonlocal target
        target = write(disk)

    with refusing(kind, tmp_path, before) as disk:
        there = contents(disk)
        with pytest.raises(ReconError) as refused:
            write(disk)
        assert contents(disk) == there
    line = str(refused.value)
    assert line.startswith(f"{target}: cannot be written") and CURES[kind] in line
    assert "\n" not in line and target.suffix in line


@pytest.mark.parametrize("kind", ("full", "read-only"))
def test_a_lock_on_a_disk_that_refuses_is_one_line_or_held(kind, tmp_path):
    with refusing(kind, tmp_path, lambda disk: None) as disk:
        try:
            with alone(disk / "deep" / "x.lock"):
                assert kind == "full"  # an empty file has room
        except ReconError as error:
            assert re.match(rf"{disk}/deep: cannot be written \(.*\); ", str(error))


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_ends_with_status_2_and_its_table_stays(kind, tmp_path, monkeypatch, capsys):
    """The whole way of a step of the workflow, from the command line to the exit status."""
    arguments = ["--config", "smoke", "cases", "10_methods_without_shift", "knee", "200"]
    config = load("smoke")
    knee = config.datasets["knee"].model_copy(update={"shape": (16, 24, 24), "coils": 2})
    changes = {"datasets": {"knee": knee}, "methods": {"zero_filled": {}}, "accelerations": [2.0]}
    changes["mask"] = config.mask.model_copy(update={"calibration": (8, 8)})
    changes["comparisons"] = {
        "10_methods_without_shift": config.comparisons["10_methods_without_shift"].model_copy(
            update={"methods": ["zero_filled"]}
        )
    }
    config = config.model_copy(update=changes)

    def before(disk: Path) -> None:
        study = Study(config, root=disk)
        study.prepare("knee", 200)
        write_text(study.table_path("10_methods_without_shift", "knee", "200"), "earlier")

    with refusing(kind, tmp_path, before) as disk:
        monkeypatch.setattr("recon.study.open_study", lambda _: Study(config, root=disk))
        there = contents(disk)
        assert step.main(arguments) == 2
        left = contents(disk)
        assert {path: left[path] for path in there} == there
        assert not [path for path in left if path.suffix == ".part"]
    *_, said = capsys.readouterr().err.splitlines()  # before it, how long the table takes
    assert said.startswith("Error: ") and CURES[kind] in said


def test_a_run_in_a_read_only_folder_is_one_line(tmp_path, monkeypatch, capsys):
    with refusing("read-only", tmp_path, lambda disk: None) as disk:
        monkeypatch.setattr(run, "ROOT", disk)
        assert run.main([]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"Error: {disk}/results: ") and said.count("\n") == 1


def test_a_download_onto_a_full_disk_keeps_its_part_and_goes_on(tmp_path, monkeypatch, capsys):
    body = os.urandom(3 << 19)  # one and a half times the disk
    with small_disk(tmp_path / "disk") as disk, Server() as server:
        entry = {"title": "K", "papers": ["A"], "about": "k", "source": "http://k.org"}
        entry |= {"licence": "CC BY", "access": "open", "path": "{subject}.bin"}
        entry |= {"splits": {"test": ["a"]}, "files": {"a": {"urls": [server.put("a", body)]}}}
        listed = tmp_path / "registry.yaml"
        listed.write_text(json.dumps({"knees": entry}))
        monkeypatch.setattr(registry, "REGISTRY", listed)
        monkeypatch.setenv("DATA_ROOT", str(disk / "data"))
        with pytest.raises(ReconError, match="MB needed, .* make room"):
            fetch.fetch("knees", ["a"])  # the size is known before
        monkeypatch.setattr(transport, "ensure_space", lambda *_: None)
        with pytest.raises(ReconError, match="No space left.*the part is kept") as refused:
            fetch.fetch("knees", ["a"])
        assert "\n" not in str(refused.value)
        assert not (disk / "data/knees/a.bin").exists()
        arrived = (disk / "data/knees/a.bin.part").stat().st_size
        monkeypatch.setenv("DATA_ROOT", str(tmp_path / "larger"))
        (disk / "data").rename(disk / "moved")
        copied = tmp_path / "larger" / "knees"
        copied.mkdir(parents=True)
        for path in (disk / "moved/knees").iterdir():
            write_bytes(copied / path.name, path.read_bytes())
        fetch.fetch("knees", ["a"])
        assert (copied / "a.bin").read_bytes() == body and arrived > 0
        assert server.ranges()[-1] == f"bytes={arrived}-"
        server.shutdown()
