"""The picture beside a volume: planes, proportions and sides."""

import nibabel
import numpy as np
from PIL import Image

from recon.io.preview import HEIGHT, write_preview


def picture(tmp_path, *arguments) -> np.ndarray:
    write_preview(tmp_path / "a.png", *arguments)
    return np.asarray(Image.open(tmp_path / "a.png")).astype(float)


def test_three_planes_stand_side_by_side_with_square_pixels(tmp_path):
    found = picture(tmp_path, np.ones((20, 30, 40), np.float32), (2.0, 1.0, 1.0))
    assert found.shape == (HEIGHT, round(HEIGHT * 0.75) + HEIGHT + round(HEIGHT * 40 / 30))
    flat = picture(tmp_path, np.ones((20, 30, 1), np.float32), (1.0, 1.0, 5.0))
    assert flat.shape == (HEIGHT, round(HEIGHT * 20 / 30))
    assert (flat == 255).all()


def test_the_head_is_up_and_left_is_on_the_right_whatever_the_array(tmp_path):
    """A bright block in the upper left front of the patient, in three orientations of the array."""
    block = np.zeros((16, 20, 24), np.float32)
    block[2:5, 14:18, 18:22] = 1  # RAS: small x is left, large y the front, large z up
    canonical = nibabel.Nifti1Image(block, np.eye(4))
    pictures = []
    for axes in ("RAS", "LPS", "SRA"):
        turned = nibabel.orientations.axcodes2ornt(axes)
        image = canonical.as_reoriented(
            nibabel.orientations.ornt_transform(
                nibabel.orientations.io_orientation(canonical.affine), turned
            )
        )
        data = np.asarray(image.dataobj)
        voxel = tuple(map(float, image.header.get_zooms()))
        pictures.append(picture(tmp_path, data, voxel, image.affine))
    for one in pictures[1:]:
        assert np.array_equal(one, pictures[0])
    whole = np.zeros_like(block)
    whole[:8] = 1  # the left half of the patient
    found = picture(tmp_path, whole, (1.0, 1.0, 1.0), np.eye(4))
    axial = found[:, -round(HEIGHT * 16 / 20) :]
    assert axial[:, -20:].mean() > 250 and axial[:, :20].mean() < 5
    front = np.zeros_like(block)
    front[:, 10:, 12:] = 1  # the upper half in front
    sagittal = picture(tmp_path, front, (1.0, 1.0, 1.0), np.eye(4))[:, : round(HEIGHT * 20 / 24)]
    assert sagittal[:20, -20:].mean() > 250 and sagittal[-20:].mean() < 5
    assert sagittal[:, :20].mean() < 5


def test_a_dark_volume_gives_a_dark_picture(tmp_path):
    assert not picture(tmp_path, np.zeros((8, 8, 8), np.float32), (1.0, 1.0, 1.0)).any()
