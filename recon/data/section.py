"""The section of a configuration that describes a dataset.

It says which scans are used, how they are measured, and which subjects train and test.
"""

import math
import os
import re
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from recon import phantoms
from recon.data import source
from recon.data.resolution import coarse_shape
from recon.download import registry
from recon.download.entries import SPLITS, overlap
from recon.errors import ReconError
from recon.mri.masks import Mask
from recon.schema import Count, Size, Strict, Subject


class Dataset(Strict):
    """Scans of one kind, with disjoint subjects for training, validation and test.

    For a kind that data/registry.yaml describes, splits and a path that are not given here are
    taken from there.
    """

    kind: str  # a file of this room that ends in a record
    label: str
    options: dict = {}  # what one kind alone understands; its file says what
    shape: tuple[Count, Count, Count] | None = (
        None  # voxels (x, y, z); k-space files have their own
    )
    coils: int = Field(8, ge=1, le=1024)  # how many are simulated
    # Simulated: standard deviation per real component, relative to that of the image at the voxel
    # size of this dataset. 0.05 is a signal-to-noise ratio of about 30 in tissue.
    noise: float = Field(0.05, ge=0)
    # That of the training volumes. Priors learn the noise of their references with the anatomy.
    training_noise: float = Field(0.0, ge=0)
    anatomy: str | None = None  # of a phantom
    path: str | None = None  # may name an environment variable as ${NAME}
    pattern: str = Field("*", min_length=1)  # of file names, for the kinds folder and kspace
    voxel: tuple[Size, Size, Size] | None = None  # mm; volumes are resampled to it
    virtual_coils: int | None = Field(None, ge=1)  # compress the channels to this many
    # Measured scans: adds noise to the data and takes it from the reference, so that the noise of
    # one says nothing of the noise of the other; see `recon.data.preparation.prepare`.
    split_noise: bool = False
    # larger voxels over the same field of view: one factor for all axes, or one for each
    voxel_factor: float | tuple[float, float, float] = 1.0
    # "kspace": as a scanner would measure; "trilinear": as in paper A
    resampling: Literal["kspace", "trilinear"] = "kspace"
    train: list[Subject]
    validation: list[Subject]
    test: list[Subject] = Field(min_length=1)
    mask: Mask | None = None  # null: the configuration's
    accelerations: list[float] | None = Field(None, min_length=1)  # null: the configuration's
    prior: str | None = None  # the matched prior; null: the one trained on this dataset
    # Another dataset, whose trained networks serve where this one has none.
    networks_of: str | None = None
    # Another dataset, whose tuned settings this one takes; it is not tuned itself.
    settings_of: str | None = None
    settings: dict[str, dict] = {}  # of methods, on this dataset alone

    @model_validator(mode="before")
    @classmethod
    def _from_registry(cls, values):
        if not isinstance(values, dict) or values.get("kind") not in source.registered():
            return values
        entry = registry.lookup(values["kind"])
        if entry.dataverse and not entry.listed() and not set(SPLITS) <= set(values):
            kind, count = values["kind"], sum(entry.dataverse.counts.values())
            size = 8 * count * entry.coils * math.prod(entry.shape) / 1e9
            about = f"its {count} volumes (about {size:.0f} GB) are not listed yet"
            raise ReconError(f"dataset {kind}: {about}; run: python -m recon fetch {kind}")
        return {name: list(getattr(entry.splits, name)) for name in SPLITS} | values

    @model_validator(mode="after")
    def _consistent(self):
        splits = {name: list(map(str, getattr(self, name))) for name in SPLITS}
        kind = _kind(self.kind)
        person = registry.lookup(self.kind).person if self.kind in source.registered() else None
        if shared := overlap(splits, person):
            raise ValueError(
                f"a subject is in more than one of train, validation and test: {shared}"
            )
        for key in sorted(set(source.OPTIONAL) - set(kind.takes)):
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"a dataset of kind {self.kind} has no {key}; remove it")
        for key in sorted(set(self.options) - set(kind.options.model_fields)):
            raise ValueError(f"a dataset of kind {self.kind} has no option {key}; remove it")
        kind.options(**self.options)
        factors = self.voxel_factor
        if min(factors if isinstance(factors, tuple) else (factors,)) < 1:
            larger = "expected 1 or more: voxels can only be made larger"
            raise ValueError(f"voxel_factor is {factors}; {larger}")
        if self.anatomy not in (None, *phantoms.ANATOMIES):
            known = ", ".join(phantoms.ANATOMIES)
            raise ValueError(f"anatomy is {self.anatomy!r}; expected one of {known}")
        if self.pattern.startswith(("/", "~")) or ".." in Path(self.pattern).parts:
            raise ValueError(f"pattern is {self.pattern!r}; expected one below the dataset's path")
        simulated = "coils" in kind.takes
        if simulated and self.virtual_coils is not None and self.virtual_coils > self.coils:
            raise ValueError(f"virtual_coils is {self.virtual_coils}, of {self.coils} coils")
        for key in kind.needs:
            if getattr(self, key) is None:
                raise ValueError(f"a dataset of kind {self.kind} needs {key}")
        return self

    @property
    def folder(self) -> Path:
        """The folder of the files."""
        return expand(self.path) if self.path is not None else registry.data_root() / self.kind

    def noise_of(self, subject: str | int, shape: tuple[int, int, int]) -> float:
        """The noise of a subject's simulated scan of ``shape``, relative to the image there.

        Larger voxels keep the noise of a k-space sample, while the image in them is stronger. So
        the scan gets more noise than the dataset says, where its voxels are made larger later.
        """
        noise = self.training_noise if str(subject) in map(str, self.train) else self.noise
        coarse = coarse_shape(shape, self.voxel_factor)
        return noise * math.sqrt(math.prod(shape) / math.prod(coarse))


def _kind(name: str) -> source.Source:
    """The record of a kind; raises ``ValueError``, which pydantic reports, for an unknown one."""
    try:
        return source.lookup(name)
    except ReconError as error:
        raise ValueError(str(error)) from error


def expand(path: str) -> Path:
    """A path with every ``${NAME}`` replaced by that environment variable.

    Raises `ReconError` for a variable that is not set.
    """
    for variable in re.findall(r"\$\{?(\w+)\}?", path):
        if not os.environ.get(variable):
            raise ReconError(
                f"environment variable {variable} is not set; "
                f"set it to the folder that holds the data ({path})"
            )
    return Path(os.path.expandvars(path)).expanduser()
