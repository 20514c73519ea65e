"""What is said of the priors that are here."""

import json

import pytest
import torch

from recon.__main__ import main
from recon.mri.prepared import Prepared
from recon.networks.pixels import as_trained, pixels
from recon.networks.shelf import card, shelf
from recon.schema import ROOT


def test_every_shipped_network_has_a_card_with_licence_and_attribution():
    """Those that denoise stand on the shelf of priors; the others reconstruct."""
    files = sorted((ROOT / "data" / "priors").glob("*.safetensors"))
    assert files
    for found in map(card, files):
        assert "unknown" not in (found.licence, found.attribution, found.anatomy)
        assert len(found.sha256) == 64 and 0 < found.matrix[0] <= found.matrix[1]
    listed = {found.path for found in shelf() if found.path.startswith("data/priors")}
    others = {str(f.relative_to(ROOT)) for f in files} - listed
    assert {card(ROOT / path).kind for path in others} == {"fastmri_unet", "modl"}


def test_the_prior_of_heads_fits_pixels_that_it_was_trained_on():
    head = card(ROOT / "data" / "priors" / "head.safetensors")
    assert head.measured and head.pixels == (0.7, 2.0) and "Lesjak" in head.attribution
    assert head.fits((0.9, 1.2)) and head.fits((0.6, 2.4))
    assert not head.fits((0.2, 0.9)) and not head.fits((1.0, 4.0))
    knee = card(ROOT / "data" / "priors" / "demo_knee.safetensors")
    assert not knee.measured and not knee.fits((1.0, 1.0))


def prepared(shape: tuple[int, int, int], voxel: tuple[float, float, float]) -> Prepared:
    volume = torch.ones(shape, dtype=torch.complex64)
    lines, inside = torch.ones(shape[1:], dtype=torch.bool), torch.ones(shape, dtype=torch.bool)
    return Prepared(None, lines, None, volume, inside, 0.1, voxel, "", "measured", "")


def test_a_prior_of_files_is_trained_at_their_voxels():
    """The configuration does not say them. Slices of one orientation have two of three sides."""
    knees = [prepared((8, 6, 4), (1.0, 0.8, 3.0)), prepared((8, 6, 4), (0.9, 0.9, 3.0))]
    data = {"kind": "fastmri_knee", "voxel": None, "shape": None, "voxel_factor": [2.0, 2.0, 1.0]}
    found = as_trained(data, knees, axes=(2,))
    assert pixels(found, {}) == pytest.approx((0.8, 1.0)) and found["shape"] == [12, 16]
    assert pixels(found, {"factors": [0.5, 1.0]}) == pytest.approx((0.8, 2.0))
    assert pixels(as_trained(data, knees), {}) == pytest.approx((0.8, 3.0))
    slices = [prepared((1, 6, 4), (5.0, 0.7, 0.7))]
    assert pixels(as_trained(data, slices), {}) == pytest.approx((0.7, 0.7))


def test_what_a_configuration_says_of_voxels_stays():
    said = {"kind": "folder", "voxel": [2.0, 2.0, 2.0], "shape": [8, 6, 4], "voxel_factor": 1.0}
    assert as_trained(said, [prepared((8, 6, 4), (1.0, 1.0, 1.0))]) == said


def test_other_files_are_left_out(tmp_path):
    for name, content in (("a", b""), ("b", b"\0" * 100), ("c", b'{"x": 1}')):
        (tmp_path / f"{name}.safetensors").write_bytes(content)
        assert card(tmp_path / f"{name}.safetensors", tmp_path) is None
    assert card(tmp_path / "absent.safetensors", tmp_path) is None


def test_the_command_lists_them(capsys):
    assert main(["priors"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("data/priors/head.safetensors") for line in lines)
    assert main(["priors", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert {"name", "anatomy", "contrasts", "pixels", "matrix", "licence", "sha256"} <= set(
        facts[0]
    )
