"""What a study works on: prepared volumes, trained networks, masks and problems."""

import math
import zlib
from functools import lru_cache
from pathlib import Path

from jaxtyping import Bool
from torch import Tensor, nn

from recon import phantoms
from recon.data import source
from recon.data.opening import open_scan
from recon.data.preparation import load_prepared, prepare
from recon.data.resolution import coarser
from recon.data.section import Dataset
from recon.download import registry
from recon.errors import ReconError
from recon.files import reserve
from recon.mri import masks
from recon.mri.prepared import Prepared
from recon.mri.problem import Problem, undersampled
from recon.networks import used_as
from recon.networks.weights import load_weights
from recon.study.config import Config
from recon.study.provenance import file_hash, made_from, preparation
from recon.study.workspace import ROOT, Workspace

LARGEST_LOOK = 96  # voxels along an axis of a volume that is only looked at


class Inputs(Workspace):
    """Opens what a configuration names; prepares missing volumes, but trains nothing."""

    def __init__(self, config: Config, root: Path = ROOT, source: str | None = None):
        super().__init__(config, root, source)
        self.kept = 1  # how many problems, and twice as many volumes, are kept in memory
        self._volumes: dict[tuple, Prepared] = {}
        self._posed: dict[tuple, Problem] = {}
        self._masks: dict[tuple, Tensor] = {}

    def prepare(self, dataset: str, subject: str | int) -> Path:
        """Prepares one volume; a training volume keeps only what some training asks for."""
        path, section = self.data_path(dataset, subject), self.config.datasets[dataset]
        light = self.config.reference_only(dataset, subject)
        made_of = preparation(section, subject, light)
        scan, split = open_scan(section, subject), section.split_noise
        reserve(path, 8 * math.prod(scan.shape) * (section.virtual_coils or scan.coils) * 2)
        prepare(scan, path, made_of, section.virtual_coils, light, split)
        return path

    def volume(self, dataset: str, subject: str | int, reference_only: bool = False) -> Prepared:
        """A prepared volume; see `recon.data.preparation.load_prepared`.

        One that does not follow from the configuration and its file is prepared anew. That is seen
        when it is read, not again while it is kept in memory.
        """
        path = self.data_path(dataset, subject)
        asked = (path, path.stat().st_mtime_ns if path.exists() else 0, reference_only)
        if asked not in self._volumes:
            light = self.config.reference_only(dataset, subject)
            if not made_from(path, self.config.datasets[dataset], subject, light):
                self.prepare(dataset, subject)
            asked = (path, path.stat().st_mtime_ns, reference_only)
            _forget(self._volumes, 2 * self.kept)
            self._volumes[asked] = load_prepared(path, reference_only)
        return self._volumes[asked]

    def looks(self) -> dict[str, Prepared]:
        """One volume of every dataset that is here.

        Datasets are the configuration's own, the built-in phantoms, and downloads. The latter two
        are made coarser, to at most 96 voxels along an axis. Of datasets that differ in their
        priors or masks alone, the first stands for all: volumes of full size are large.
        """
        sections, found, made = self.config.datasets, {}, []
        for name, section in sections.items():
            if (scan := preparation(section, section.test[0])) not in made:
                made.append(scan)
                found[name] = self.volume(name, section.test[0])
        shapes = [section.shape for section in sections.values() if section.shape]
        shape = shapes[0] if shapes else (64, 80, 80)
        splits = {"train": [], "validation": [100], "test": [200]}
        shown = [section.anatomy for section in sections.values()]
        for anatomy in (a for a in phantoms.ANATOMIES if a not in shown):
            built_in = {"kind": "phantom", "label": anatomy, "anatomy": anatomy, "shape": shape}
            section = Dataset(**built_in, **splits)
            found[f"{anatomy} (built in)"] = self._look(anatomy, section, 200)
        used = [section.kind for section in sections.values()]
        for name in (n for n in source.registered() if n not in used):
            for subject in registry.here(name)[:1]:
                section = Dataset(kind=name, label=name, train=[], validation=[], test=[subject])
                try:
                    found[name] = self._look(name, section, subject)
                except ReconError as error:  # A stray file of a set that nobody asked for.
                    print(f"{name} is left out: {error}")
        return found

    def _look(self, name: str, section: Dataset, subject: str | int) -> Prepared:
        path = self.results / "looks" / f"{name}-{subject}.h5"
        if not made_from(path, section, subject):
            scan = open_scan(section, subject)
            factors = tuple(max(1.0, n / LARGEST_LOOK) for n in scan.shape)
            prepare(coarser(scan, factors), path, preparation(section, subject))
        return load_prepared(path)

    def network(self, name: str) -> nn.Module:
        """A trained network, on the configured device."""
        path = self.network_path(name)
        file_hash(path)  # This refuses a file that is not there.
        loaded = _load_network(path, path.stat().st_mtime_ns)
        return used_as(loaded, self.config.networks[name].network).to(self.config.device)

    def network_hash(self, name: str) -> str:
        """Hash of a network's weights, and of how they are used where that can be chosen."""
        found, use = file_hash(self.network_path(name)), self.config.networks[name].network.use()
        return f"{found} {use}" if use else found

    def trained_at(self, name: str | None) -> str:
        """The voxel factor of a network's training data, or "diverse"; empty without a network."""
        if not name:
            return ""
        section = self.config.networks[name]
        factor = self.config.datasets[section.dataset].voxel_factor
        if getattr(section, "factors", None):
            return "diverse, part held out" if section.held_out else "diverse"
        factors = factor if isinstance(factor, tuple) else (factor,)
        return "×".join(f"{f:g}" for f in factors)

    def mask(self, dataset: str, subject: str | int, acceleration: float) -> Bool[Tensor, "y z"]:
        """The mask of one subject; every subject has its own."""
        section = self.config.mask_of(dataset)
        shape = tuple(self.volume(dataset, subject).mask.shape)
        seed = section.seed + zlib.crc32(str(subject).encode())
        asked = (section.kind, shape, acceleration, section.calibration, seed)
        if asked not in self._masks:
            self._masks[asked] = masks.make(*asked)
        return self._masks[asked]

    def problem(self, dataset: str, subject: str | int, acceleration: float) -> Problem:
        """The undersampled scan of one subject."""
        asked = (dataset, str(subject), float(acceleration))
        if asked not in self._posed:
            _forget(self._posed, self.kept)
            mask = self.mask(dataset, subject, acceleration)
            problem = undersampled(self.volume(dataset, subject), mask, self.config.maps)
            self._posed[asked] = problem.to(self.config.device)
        return self._posed[asked]

    def forget(self) -> None:
        """Frees the problems and volumes that are kept in memory."""
        self._posed.clear()
        self._volumes.clear()


def _forget(cache: dict, size: int) -> None:
    """Makes room for one more in a cache of ``size``: the oldest go first."""
    while len(cache) >= size:
        cache.pop(next(iter(cache)))


@lru_cache(maxsize=2)
def _load_network(path: Path, written: int) -> nn.Module:
    """A trained network; the time at which its file was ``written`` is a key of the cache."""
    return load_weights(path)[0]
