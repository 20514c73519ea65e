"""What a result follows from, and so when it is stale: code, libraries, settings and inputs.

Staleness follows use (see `recon.study.use`). A new function beside the old ones, or a moved file,
stales nothing.
"""

import ast
import json
from pathlib import Path

import h5py

from recon import methods, networks, representations, training
from recon.data import source
from recon.data.opening import fingerprint
from recon.data.section import Dataset
from recon.download.entries import SPLITS
from recon.errors import ReconError
from recon.files import digest
from recon.networks import trained
from recon.schema import ROOT
from recon.study.config import Config
from recon.study.use import code_hash, hashed, instructions, root

# A dataset's cases depend on the keys in ASKED; its prepared volumes do not. No prepared volume
# depends on a key in CHOICES.
ASKED = {"mask", "accelerations", "prior"}
CHOICES = {"label", *SPLITS, *ASKED}


def network_roots(settings: trained.Training) -> list[str]:
    """The code of a trained network: its kind and its architecture."""
    kind, architecture = trained.lookup(settings.kind), networks.lookup(settings.network.kind)
    return [root(kind.model), root(architecture.build)]


def reconstruction_code(method: str, settings: dict, used: list[trained.Training]) -> str:
    """Hash of the code of one reconstruction.

    It covers the method, its networks, its representation, and the way from volume to problem.
    """
    roots = ["recon.study.cases:magnitude_of", "recon.mri.problem:pose"]
    roots.append(root(methods.lookup(method).run))
    if "representation" in settings:
        roots.append(root(representations.lookup(settings["representation"])))
    for network in used:
        roots += network_roots(network)
    return code_hash(*sorted(set(roots)))


def scoring_code() -> str:
    """Hash of the code that turns a volume into scores."""
    return code_hash("recon.study.cases:scores_of")


def cases_code(
    config: Config, wanted: list[str], dataset: str, vary: dict[str, list] | None = None
) -> list[str]:
    """Hashes of the code that a table of cases follows from: some methods on a dataset, scores."""
    hashes = []
    for method in wanted:
        used = [config.networks[name] for name in config.serving(method, dataset)]
        settings = vars(methods.settings_of(method, **config.methods[method]))
        takes = "representation" in settings
        for name in (vary or {}).get("representation", [settings.get("representation")]):
            varied = settings | ({"representation": name} if takes else {})
            hashes.append(reconstruction_code(method, varied, used))
    return [*hashes, scoring_code()]


def tuning_code() -> str:
    """Hash of the code that searches for settings."""
    return code_hash("recon.study.tuning:search")


def training_code(settings: trained.Training) -> str:
    """Hash of the code that trains a network."""
    kind = trained.lookup(settings.kind)
    parts = [kind.loss, kind.check, training.batches(kind.batches).source]
    roots = ["recon.training.loop:train_network", *map(root, parts), *network_roots(settings)]
    return code_hash(*sorted(set(roots)))


def preparation_code(section: Dataset) -> str:
    """Hash of the code that reads and prepares a scan of one kind."""
    scan = root(source.lookup(section.kind).scan)
    return code_hash("recon.data.opening:open_scan", "recon.data.preparation:prepare", scan)


def figure_code() -> str:
    """Hash of the code and the templates that draw figures and decide claims."""
    folder = ROOT / "recon" / "figures"
    code = [instructions(ast.parse(f.read_text())) for f in sorted(folder.rglob("*.py"))]
    return hashed([code, [f.read_text() for f in sorted(folder.rglob("*.j2"))]])


def preparation(section: Dataset, subject: str | int) -> dict:
    """What a prepared volume follows from: the settings of its dataset, its file, and the code."""
    settings = section.model_dump(mode="json", exclude=CHOICES)
    inputs = {"dataset": settings, "subject": str(subject), "source": fingerprint(section, subject)}
    return inputs | {"code": preparation_code(section)}


def made_from(path: Path, section: Dataset, subject: str | int) -> bool:
    """Whether a prepared volume follows from these settings and this file.

    Code does not count here. The workflow sees what was edited.
    """
    try:
        with h5py.File(path) as file:
            stored = json.loads(file.attrs["provenance"])
    except (OSError, KeyError, ValueError):
        return False
    expected = preparation(section, subject).items()
    return all(stored.get(key) == value for key, value in expected if key != "code")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, shortened; a missing file raises `ReconError`."""
    if not path.exists():
        cure = "run the workflow (make figures) or train the network first"
        raise ReconError(f"{path}: no such file; {cure}")
    return digest(path)[:16]
