"""Every dataset of the registry is found where `recon fetch` puts it, is read and is prepared."""

import numpy as np
import pytest
import torch

from recon import ReconError
from recon.data import source
from recon.data.opening import open_scan
from recon.data.preparation import load_prepared, prepare
from recon.data.section import Dataset
from recon.download import registry
from recon.study.config import Config, load
from recon.study.preflight import check, check_downloads
from tests.data import writers, writers_gated
from tests.io import io_files

CALGARY = "e14089s3_P53248"
STANFORD = "cc70c22f-1ddc-4a53-9503-e33d613de321"

SIMULATED = ("brats", "roots")  # volumes, which are measured by simulated coils


def write(kind: str, folder, images: np.ndarray, object_: np.ndarray) -> str:
    """Writes one subject of a dataset in its published layout; returns the subject."""
    folder.mkdir(parents=True, exist_ok=True)
    if kind == "stanford":
        writers.write_stanford(folder, STANFORD, images)
        return STANFORD
    if kind == "calgary":
        writers.write_calgary(folder, CALGARY, writers.hybrid(images, images.shape[3]))
        return CALGARY
    if kind == "ahead":
        writers.write_ahead(folder, "mp2rageme_001_inv1", images)
        return "001"
    if kind in ("fastmri_knee", "fastmri_brain"):
        writers_gated.write_fastmri(folder, "multicoil_val", "file1000001", images)
        return "file1000001"
    if kind == "skm_tea":
        writers_gated.write_skm_tea(folder, "MTR_001", [images, images])
        return "MTR_001"
    if kind == "brats":
        writers_gated.write_brats(
            folder,
            "BraTS20_Training_001",
            dict.fromkeys(("_t1", "_t1ce", "_t2", "_flair"), object_),
        )
        return "BraTS20_Training_001"
    writers_gated.write_roots(folder / "pot1.npz", object_.astype(np.float32), (0.4, 0.4, 1.0))
    return "pot1"


def test_every_dataset_of_the_registry_has_a_reader():
    assert set(source.registered()) == set(registry.datasets())


@pytest.mark.parametrize("kind", source.registered())
def test_from_the_published_file_to_the_prepared_volume(kind, tmp_path, monkeypatch):
    """In the object, the reference's magnitude is the root sum of squares of the coil images."""
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "root"))
    images = writers.coil_images((24, 20, 18), 4)
    object_ = (1000 * np.sqrt((np.abs(images) ** 2).sum(0)) / np.abs(images).max()).astype(np.int16)
    subject = write(kind, tmp_path / "root" / kind, images, object_)
    simulated = {"coils": 4, "noise": 0.001} if kind in SIMULATED else {}
    section = Dataset(kind=kind, label=kind, train=[], validation=[], test=[subject], **simulated)
    assert registry.here(kind) == [subject]
    scan = open_scan(section, subject)
    assert scan.origin == ("semi-synthetic" if kind in SIMULATED else "measured")
    prepare(scan, tmp_path / "v.h5", {}, virtual_coils=3)
    found = load_prepared(tmp_path / "v.h5")
    assert len(found.maps) == 3 and found.origin == scan.origin
    if kind not in SIMULATED:
        truth = torch.from_numpy(np.sqrt((np.abs(images) ** 2).sum(0)))
        inside = found.support & (found.reference.abs() > 0)
        ratio = found.reference.abs()[inside] / truth[inside]
        assert float((ratio / ratio.median() - 1).abs().median()) < 0.05


def test_paper_on_an_empty_machine_says_what_is_missing_how_large_it_is_and_how_to_get_it(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    with pytest.raises(ReconError) as error:
        check(load("paper"))
    message = str(error.value)
    assert (
        "19 of 19 files missing" in message
        and "about 31.9 GB" in message
        and "python -m recon fetch stanford" in message
    )
    assert not list(tmp_path.iterdir()), "the check comes before any work"


def test_every_missing_dataset_has_its_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    sets = {
        kind: Dataset(kind=kind, label=kind, train=[], validation=["a1"], test=["a2"])
        for kind in ("brats", "roots")
    }
    config = Config(name="mine", title="", datasets=sets)
    with pytest.raises(ReconError) as error:
        check_downloads(config)
    first, second = str(error.value).splitlines()
    assert (
        "dataset brats: 2 of 2" in first
        and "dataset roots: 2 of 2" in second
        and "fetch roots" in second
    )


def test_skm_tea_is_cut_to_the_matrix_asked_for(tmp_path):
    images = io_files.coil_images()
    writers_gated.write_skm_tea(tmp_path, "MTR_001", [images, images])
    section = Dataset(
        kind="skm_tea",
        label="",
        path=str(tmp_path),
        shape=(8, 6, 5),
        train=[],
        validation=["x"],
        test=["MTR_001"],
    )
    assert open_scan(section, "MTR_001").shape == (8, 6, 5)
