"""Phantom scans: slices of a subject, and coils that vary from subject to subject."""

import pytest
import torch

from recon.data.opening import open_scan
from recon.data.phantom import coils_of
from recon.data.section import Dataset
from recon.data.simulate import maps_around
from recon.data.sliced import Place
from recon.errors import ReconError
from recon.phantoms import coil_maps


def section(**changes) -> Dataset:
    given = {"kind": "phantom", "anatomy": "knee", "label": "", "shape": (16, 20, 12), "coils": 2}
    splits = {"train": [], "validation": [], "test": ["200"]}
    return Dataset(**given | splits | changes)


def test_a_slice_shows_what_the_volume_shows_there():
    """Its coils are those around the volume. The rest is what the volume's band limit smooths."""
    whole, one = (open_scan(section(noise=0.0), name) for name in ("200", "200@6"))
    assert one.shape == (1, 16, 20)
    assert one.voxel == pytest.approx((whole.voxel[2], *whole.voxel[:2]))
    a, images = one.truth[0].abs().flatten(), whole.truth.abs().flatten(0, 1)
    alike = [float(torch.corrcoef(torch.stack([a, images[:, k]]))[0, 1]) for k in (4, 6, 8)]
    assert alike[1] > 0.95 and alike[1] == max(alike)


@pytest.mark.parametrize("name", ["200@12", "200@x"])
def test_slices_that_are_not_there_are_refused(name):
    with pytest.raises(ReconError, match="choose from 0 to 11"):
        open_scan(section(), name)


def test_coils_vary_from_subject_to_subject():
    varied = section(options={"coils_between": (4, 20)})
    counts = {coils_of(varied, f"{n}@40") for n in range(200, 240)}
    assert min(counts) >= 4 and max(counts) <= 20 and len(counts) > 8
    assert coils_of(section(), "200@40") == 2
    with pytest.raises(ValueError, match="give the smaller one first"):
        section(options={"coils_between": (20, 4)})


def test_a_slice_of_a_subject_is_in_one_split_only():
    with pytest.raises(ValueError, match="more than one of train, validation and test"):
        section(validation=["200@3"], test=["200@6"])


def test_the_coils_of_a_slice_are_those_of_its_volume():
    """They lie around the volume, not around the thin slice."""
    shape, fov = (16, 20, 12), (128.0, 160.0, 192.0)
    whole = coil_maps(8, shape, fov, 3)
    one = maps_around(8, (1, 16, 20), (16.0, 128.0, 160.0), 3, Place(5, 12))
    assert one.shape == (8, 1, 16, 20)
    there, here = whole[..., 5].flatten(), one[:, 0].flatten()  # each of mean 1 in its own field
    assert torch.allclose(there / there.norm(), here / here.norm(), atol=1e-4)


def test_slices_of_one_subject_have_noise_of_their_own():
    near, far = (open_scan(section(noise=0.5), name).noise for name in ("200@5", "200@6"))
    assert abs(torch.vdot(near.flatten(), far.flatten())) < 0.1 * near.norm() * far.norm()
