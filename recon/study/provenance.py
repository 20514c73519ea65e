"""What a result follows from, and so when it is stale: code, libraries, settings and inputs.

Staleness follows use (see `recon.study.use`). A new function beside the old ones, or a moved file,
stales nothing.
"""

import ast
import json
from functools import cache, lru_cache
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
from recon.study.config import Config, notebook_file
from recon.study.use import code_hash, hashed, instructions, parse, root

# A dataset's cases depend on the keys in ASKED; its prepared volumes do not. No prepared volume
# depends on a key in CHOICES.
ASKED = {"mask", "accelerations", "prior", "networks_of", "settings_of", "settings"}
CHOICES = {"label", *SPLITS, *ASKED}
SHOWING = ("recon.study.", "recon.figures.")  # what every notebook is made anew for


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
    return reconstruction_code(method, configured(config, method, dataset), used)


def configured(config: Config, method: str, dataset: str | None = None) -> dict:
    """The settings of a method as a configuration has them, without what is tuned."""
    given = config.given(dataset, method) if dataset else config.methods[method]
    return vars(methods.settings_of(method, **given))


@cache
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


def shipped_hash(path: str | None) -> str | None:
    """The hash of a shipped file, below the repository: its date says nothing of what is in it."""
    return file_hash(ROOT / path) if path else None


def begun_with(config: Config, network: str) -> str | None:
    """The hash of the file that training goes on from; None where it is made by this run."""
    start = config.networks[network].starts_from
    return None if start in config.networks else shipped_hash(start)


def networks_used(config: Config, names: list[str]) -> dict[str, list]:
    """How each network is used, and the hash of its shipped weights.

    The workflow sees the rest: weights that are trained by a configuration are made by a job.
    """
    sections = {name: config.networks[name] for name in names}
    return {n: [s.network.use(), shipped_hash(s.shipped)] for n, s in sections.items()}


def chosen_from(config: Config, comparison: str, dataset: str) -> list:
    """What the settings of a comparison come from, beside the records of this run's tuning."""
    grid = config.comparisons[comparison].choose
    return [shipped_hash(config.tuning.shipped), config.chosen_on(dataset) if grid else None]


def notebook_code(notebook: str, config: Config) -> str:
    """Hash of a notebook, and of what it follows from beside tables, figures and the study.

    It may compute for itself: with what it imports, and with the methods and representations that
    it names. Then the configuration's datasets count, too.
    """
    path = notebook_file(notebook)
    tree = ast.parse("\n".join(code_cells(notebook)))
    roots = sorted(set(_imported(tree) | _named(tree)))
    data = {name: s.model_dump_json() for name, s in config.datasets.items()} if roots else {}
    return hashed([file_hash(path), code_hash(*roots), data, config.accelerations])


def code_cells(notebook: str) -> list[str]:
    """The code of a notebook; its text changes no figure."""
    content = json.loads(notebook_file(notebook).read_text())
    return ["".join(c["source"]) for c in content["cells"] if c["cell_type"] == "code"]


def _imported(tree: ast.AST) -> set[str]:
    """The definitions of `recon`, but for its study and figures, that code imports."""
    asked = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found = set()
    for module, name in ((n.module or "", a.name) for n in asked for a in n.names):
        inner = f"{module}.{name}"
        if not module.startswith("recon") or f"{inner}.".startswith(SHOWING):
            continue
        whole = parse(inner)
        names = whole.definitions if whole else [name]
        found |= {f"{inner if whole else module}:{each}" for each in names}
    return found


def _named(tree: ast.AST) -> set[str]:
    """The methods and representations whose names stand in code."""
    words = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)}
    runs = {root(methods.lookup(n).run) for n in methods.names() if n in words}
    known = representations.names()
    return runs | {root(representations.lookup(n).make) for n in known if n in words}


def cases_code(config: Config, comparison: str, dataset: str) -> list[str]:
    """Hashes of all code that the table of a comparison on a dataset follows from."""
    networks, hashes = config.networks_in(comparison, dataset), []
    for method in config.methods_in(comparison, dataset):
        used = [config.networks[name] for name in networks] if methods.lookup(method).needs else []
        vary = config.comparisons[comparison].vary
        for settings in _varied(configured(config, method, dataset), method, vary):
            hashes.append(reconstruction_code(method, settings, used))
    if config.comparisons[comparison].settings == "scan":
        hashes.append(choice_code())
    return [*hashes, scoring_code(), trial_code(), table_code()]


def _varied(settings: dict, method: str, vary: dict[str, list]) -> list[dict]:
    """The settings of a method, once for each representation that a comparison varies."""
    if "representation" not in settings or "representation" not in vary:
        return [settings]
    names = vary["representation"]
    return [
        settings | {"representation": methods.varied(method, "representation", n, settings)}
        for n in names
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
    parts = [kind.draw, kind.loss, kind.check, drawn.source, drawn.validation]
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
