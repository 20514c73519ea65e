"""What a result follows from, and so when it is stale: code, libraries, settings and inputs.

Staleness follows use (see `recon.study.use`). A new function beside the old ones, or a moved file,
stales nothing.
"""

import ast
import json
from functools import lru_cache
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
ASKED = {"mask", "accelerations", "prior", "networks_of", "settings_of"}
CHOICES = {"label", *SPLITS, *ASKED}


def network_roots(settings: trained.Training) -> list[str]:
    """The code of a trained network: its kind and its architecture."""
    kind, architecture = trained.lookup(settings.kind), networks.lookup(settings.network.kind)
    return [root(kind.model), root(architecture.build)]


def reconstruction_code(method: str, settings: dict, used: list[trained.Training]) -> str:
    """Hash of the code of one reconstruction.

    It covers the method, its networks and their weights' format, its representation, and the way
    from a prepared volume to the problem.
    """
    roots = ["recon.study.cases:magnitude_of", "recon.mri.problem:undersampled"]
    roots.append(root(methods.lookup(method).run))
    if "representation" in settings:
        roots.append(root(representations.lookup(settings["representation"]["kind"]).make))
    if used:
        roots.append("recon.networks.weights:load_weights")
    for network in used:
        roots += network_roots(network)
    return code_hash(*sorted(set(roots)))


def method_code(config: Config, method: str, dataset: str | None = None) -> str:
    """Hash of the code of a method as a configuration sets it, with its matched networks.

    They are those of ``dataset``, or of the first dataset that has the method.
    """
    if dataset is None:
        dataset = next((d for d in config.datasets if method in config.methods_on(d)), None)
    used = [config.networks[n] for n in config.serving(method, dataset)] if dataset else []
    return reconstruction_code(method, configured(config, method), used)


def configured(config: Config, method: str) -> dict:
    """The settings of a method as a configuration has them, without what is tuned."""
    return vars(methods.settings_of(method, **config.methods[method]))


def file_code(*paths: Path) -> list[str]:
    """The syntax of whole files, where every definition of theirs counts."""
    return [instructions(ast.parse(path.read_text())) for path in paths]


def scoring_code() -> str:
    """Hash of the code that turns a volume into scores."""
    return code_hash("recon.study.cases:scores_of")


def trial_code() -> str:
    """Hash of the code that scores a trial of tuning."""
    return code_hash("recon.study.cases:psnr_of")


def table_code() -> str:
    """Hash of the code that poses problems and puts rows together."""
    folder = ROOT / "recon" / "study"
    files = file_code(folder / "inputs.py", folder / "study.py")
    return hashed([code_hash("recon.mri.masks:make"), files])


def cases_code(config: Config, comparison: str, dataset: str) -> list[str]:
    """Hashes of all code that the table of a comparison on a dataset follows from."""
    networks, hashes = config.networks_in(comparison, dataset), []
    for method in config.methods_in(comparison, dataset):
        used = [config.networks[name] for name in networks] if methods.lookup(method).needs else []
        for settings in _varied(config, method, config.comparisons[comparison].vary):
            hashes.append(reconstruction_code(method, settings, used))
    return [*hashes, scoring_code(), trial_code(), table_code()]


def _varied(config: Config, method: str, vary: dict[str, list]) -> list[dict]:
    """The settings of a method, once for each representation that a comparison varies."""
    settings = configured(config, method)
    if "representation" not in settings or "representation" not in vary:
        return [settings]
    names = vary["representation"]
    return [
        settings | {"representation": methods.varied(method, "representation", n)} for n in names
    ]


def tuning_code(config: Config, method: str, dataset: str) -> list:
    """All that the tuning of a method on a dataset follows from beside its inputs and sections."""
    code = [method_code(config, method, dataset), trial_code(), table_code()]
    code += file_code(ROOT / "recon" / "study" / "tuning.py")
    code.append(code_hash("recon.methods.search:search"))
    return [hashed(code), str(methods.lookup(method).space)]


def choice_code() -> str:
    """Hash of the code that chooses settings on a scan itself."""
    return code_hash("recon.methods.prediction:choose")


def training_code(settings: trained.Training) -> str:
    """Hash of the code that trains a network."""
    kind = trained.lookup(settings.kind)
    drawn = training.batches(kind.batches)
    parts = [kind.loss, kind.check, drawn.source, drawn.validation]
    roots = ["recon.training.loop:train_network", *map(root, parts), *network_roots(settings)]
    if settings.starts_from:
        roots.append("recon.networks.weights:load_weights")
    return code_hash(*sorted(set(roots)))


def preparation_code(section: Dataset) -> str:
    """Hash of the code that reads and prepares a scan of one kind."""
    scan = root(source.lookup(section.kind).scan)
    return code_hash("recon.data.opening:open_scan", "recon.data.preparation:prepare", scan)


def figure_code() -> str:
    """Hash of the code and the templates that draw figures and decide claims."""
    folder = ROOT / "recon" / "figures"
    # Notebooks compute with modules of the study, too.
    study = ROOT / "recon" / "study"
    code = file_code(*sorted(folder.rglob("*.py")), *sorted(study.glob("*.py")))
    templates = [f.read_text() for f in sorted((folder / "templates").iterdir())]
    records = {name: methods.lookup(name) for name in methods.names()}
    looks = {name: (found.label, found.color, found.marker) for name, found in records.items()}
    return hashed([code, templates, looks])


def preparation(section: Dataset, subject: str | int, reference_only: bool = False) -> dict:
    """What a prepared volume follows from: the settings of its dataset, its file, and the code."""
    settings = section.model_dump(mode="json", exclude=CHOICES)
    inputs = {"dataset": settings, "subject": str(subject), "source": fingerprint(section, subject)}
    # Training volumes are simulated with another noise.
    simulated = "training_noise" in source.lookup(section.kind).takes
    inputs["trains"] = simulated and str(subject) in map(str, section.train)
    return inputs | {"reference_only": reference_only, "code": preparation_code(section)}


def made_from(
    path: Path, section: Dataset, subject: str | int, reference_only: bool = False
) -> bool:
    """Whether a prepared volume follows from these settings and this file, and holds enough.

    Code does not count here. The workflow sees what was edited.
    """
    try:
        with h5py.File(path) as file:
            stored = json.loads(file.attrs["provenance"])
    except (OSError, KeyError, ValueError):
        return False
    expected = preparation(section, subject)
    same = all(
        stored.get(key) == expected[key] for key in ("dataset", "subject", "source", "trains")
    )
    return same and (reference_only or not stored.get("reference_only", False))


def file_hash(path: Path) -> str:
    """SHA-256 of a file, shortened; a missing file raises `ReconError`."""
    if not path.exists():
        cure = "run the workflow (make figures) or train the network first"
        raise ReconError(f"{path}: no such file; {cure}")
    return _digest(path, path.stat().st_mtime_ns)


@lru_cache
def _digest(path: Path, written: int) -> str:
    """The hash of a file as it was ``written``; every case of a study asks for its networks'."""
    return digest(path)[:16]
