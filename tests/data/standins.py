"""Stand-ins for the published datasets: whole folders in their layouts, under their names.

The files hold phantoms. Their matrices are as small as the masks of the configurations allow, and
their coils are as many as the coil compression needs. A few files of every split differ. The others
are links to these.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml

from recon import phantoms
from recon.download import registry
from recon.download.entries import SPLITS, bare
from recon.schema import ROOT
from tests.data import writers, writers_gated

DIFFERENT = 2  # files of a split that are no links


@dataclass(frozen=True)
class Standin:
    """How the files of one kind of dataset are made."""

    path: str  # below the dataset's folder
    write: Callable[[Path, str, np.ndarray], Path]  # (folder, subject, coil images) -> file
    anatomy: str
    shapes: tuple[tuple[int, int, int], ...]  # of the different files in turn
    voxel: tuple[float, float, float]  # mm
    coils: tuple[int, ...] = (1,)  # likewise
    scale: float = 1.0  # of the amplitudes

    def file(self, folder: Path, subject: str) -> Path:
        """Where the file of a subject lies."""
        return folder / self.path.format(subject=subject)


def _calgary(folder: Path, subject: str, images: np.ndarray) -> Path:
    sampled = round(0.85 * images.shape[3])
    return writers.write_calgary(folder, subject, writers.hybrid(images, sampled))


def _ahead(folder: Path, subject: str, images: np.ndarray) -> Path:
    y, z = (np.linspace(-1, 1, n) for n in images.shape[2:])
    ellipse = y[:, None] ** 2 + z**2 <= 1.9  # the corners hold zeros
    return writers.write_ahead(folder, f"mp2rageme_{subject}_inv1", images, ellipse)


def _fastmri(folder: Path, subject: str, images: np.ndarray) -> Path:
    return writers_gated.write_fastmri(folder, "multicoil_val", subject, images, padding=3)


def _skm_tea(folder: Path, subject: str, images: np.ndarray) -> Path:
    y, z = (np.linspace(-1, 1, n) for n in images.shape[2:])
    # The scanner fills the rim of ky and half of kz with zeros; the corners are empty.
    ellipse = (y[:, None] / 0.81) ** 2 + (z / 0.5) ** 2 <= 1
    return writers_gated.write_skm_tea(folder, subject, [images, 0.5 * images], ellipse)


def _brats(folder: Path, subject: str, images: np.ndarray) -> Path:
    release = folder / "MICCAI_BraTS2020_TrainingData"
    return writers_gated.write_brats(release, subject, {"_t2": abs(images[0])})


def _roots(folder: Path, subject: str, images: np.ndarray) -> Path:
    file, voxel = folder / f"{subject}.npz", STANDINS["roots"].voxel
    return writers_gated.write_roots(file, abs(images[0]), voxel)


BRATS = "MICCAI_BraTS2020_TrainingData/{subject}/{subject}_t2.nii.gz"
TRACK, VOXEL = "multicoil_val/{subject}.h5", (0.4, 0.5, 3.0)
STANDINS = {
    "stanford": Standin(
        "{subject}.h5",
        writers.write_stanford,
        "knee",
        ((32, 100, 96),),
        (0.5, 0.5, 0.6),
        (8,),
        1e7,
    ),
    "calgary": Standin(
        "{subject}.7.h5",
        _calgary,
        "brain",
        ((40, 60, 52), (40, 60, 56)),
        (1.0, 1.0, 1.0),
        (12,),
        1e3,
    ),
    "ahead": Standin(
        "mp2rageme_{subject}_inv1.h5",
        _ahead,
        "brain",
        ((32, 76, 72),),
        (0.7, 0.7, 0.7),
        (16,),
        1e-2,
    ),
    "fastmri_brain": Standin(
        TRACK, _fastmri, "brain", ((80, 76, 12), (80, 80, 12)), VOXEL, (20, 4, 12), 1e-4
    ),
    "fastmri_knee": Standin(
        TRACK, _fastmri, "knee", ((64, 104, 16), (64, 108, 14)), VOXEL, (15,), 1e-4
    ),
    "skm_tea": Standin(
        "files_recon_calib-24/{subject}.h5",
        _skm_tea,
        "knee",
        ((64, 64, 24),),
        (0.3125, 0.3125, 0.8),
        (8, 16),
        1e-2,
    ),
    "brats": Standin(BRATS, _brats, "brain", ((112, 112, 40),), (1.0, 1.0, 1.0), scale=800),
    "roots": Standin("{subject}.npz", _roots, "roots", ((64, 104, 40),), (0.39, 0.39, 1.1)),
}


def coil_images(kind: str, number: int) -> np.ndarray:
    """The coil images (coil, x, y, z) in the ``number``-th different file of a kind of dataset."""
    found = STANDINS[kind]
    coils, shape = (each[number % len(each)] for each in (found.coils, found.shapes))
    fov = tuple(n * v for n, v in zip(shape, found.voxel, strict=True))
    image = found.scale * phantoms.subject(found.anatomy, number).render(shape, 1)
    if found.coils == (1,):
        return image[None].numpy()
    generator = torch.Generator().manual_seed(number)
    out = phantoms.coil_maps(coils, shape, fov, number).mul_(image)
    for coil in out:
        coil += phantoms.complex_noise(shape, 0.02 * found.scale, generator)
    return out.numpy()


def subjects_of(values: dict) -> dict[str, dict[str, list[str]]]:
    """The subjects that the sections of a configuration ask for, by kind and split.

    They are those that it names, else those of the registry. The list of a Dataverse is not
    published, so its subjects are numbers.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for section in values["datasets"].values():
        if section.get("kind") in STANDINS:
            entry = registry.load(registry.REGISTRY)[section["kind"]]
            every = entry.splits
            if entry.dataverse:
                total = sum(entry.dataverse.counts.values())
                numbers = [f"{n:03}" for n in range(1, total + 1)]
                every = entry.dataverse.splits(numbers, "stand-ins")
            mine = found.setdefault(section["kind"], {split: [] for split in SPLITS})
            for split in SPLITS:
                named = section.get(split, getattr(every, split))
                mine[split] = list(dict.fromkeys([*mine[split], *map(str, named)]))
    return found


def make(root: Path, values: dict, different: int = DIFFERENT) -> dict[Path, tuple[str, int]]:
    """Makes all files below ``root`` that a configuration reads; those that are there stay.

    ``values`` are what its YAML file says. Of each split ``different`` files are written, and the
    others are links to them. Returns kind and number of the images in every file; see
    `coil_images`.
    """
    images: dict[Path, tuple[str, int]] = {}
    for kind, splits in subjects_of(values).items():
        standin = STANDINS[kind]
        for index, split in enumerate(SPLITS):
            files = bare(splits[split])
            for count, subject in enumerate(files):
                path = standin.file(root / kind, subject)
                number = 10 * index + count % different
                images[path] = kind, number
                if not path.exists() and count < different:
                    standin.write(root / kind, subject, coil_images(kind, number))
                elif not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    os.link(standin.file(root / kind, files[count % different]), path)
    return images


def sketch(root: Path, values: dict) -> None:
    """Puts something where every file that a configuration reads lies: enough for a plan."""
    for kind, splits in subjects_of(values).items():
        for subject in bare([s for subjects in splits.values() for s in subjects]):
            path = STANDINS[kind].file(root / kind, subject)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("a stand-in")


def contents(config: str) -> dict:
    """What the file of a configuration says, before anything is looked up."""
    return yaml.safe_load((ROOT / "workflow" / "config" / f"{config}.yaml").read_text())
