"""What a result follows from: code, libraries, settings, inputs. The one module that says when
something is stale.

Staleness follows use. From the function that computes a result, all definitions of `recon` that it
can reach are found in the source: functions and classes by name, methods of a reached class by the
attributes that reached code asks for. Their syntax without comments and docstrings is hashed. So a
new function beside the old ones, or a moved file, stales nothing.
"""

import ast
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py

from recon import methods, networks, representations, training
from recon.data import source
from recon.data.opening import fingerprint
from recon.data.section import Dataset
from recon.download import registry
from recon.errors import ReconError
from recon.files import digest
from recon.networks import trained
from recon.schema import ROOT
from recon.study.config import Config

# Keys of a dataset on which its cases depend, but not its prepared volumes; and all on which its
# volumes do not depend.
ASKED = {"mask", "accelerations", "prior"}
CHOICES = {"label", *registry.SPLITS, *ASKED}
SILENT = {"recon.errors", "recon.progress", "recon.rooms", "recon.files"}  # they compute nothing
LIBRARIES = {
    "numpy": "numpy",
    "pywt": "PyWavelets",
    "scipy": "scipy",
    "sigpy": "sigpy",
    "skimage": "scikit-image",
    "torch": "torch",
}
IMPLICIT = {"forward", "backward", "setup_context"}  # methods that torch calls

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


@dataclass
class Module:
    """The definitions of a file of `recon`, and what it imports: local name to (module, name there
    or None).
    """

    definitions: dict[str, Definition] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)


@cache
def parse(name: str) -> Module | None:
    """The module called ``name``; None where `recon` has no file of that name."""
    path = ROOT.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not path.is_file():
        return None
    module, tree = Module(), ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            module.definitions[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            module.definitions |= {
                n.id: node for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)
            }
    for node in ast.walk(tree):  # those inside functions, too
        if isinstance(node, ast.ImportFrom):
            module.imports |= {a.asname or a.name: (node.module or "", a.name) for a in node.names}
        elif isinstance(node, ast.Import):
            module.imports |= {a.asname or a.name.split(".")[0]: (a.name, None) for a in node.names}
    return module


class Use:
    """All that some functions can reach: pieces of source by their name, and the libraries that
    they call.
    """

    def __init__(self, *roots: str):
        self.pieces: dict[tuple[str, str], ast.AST] = {}
        self.libraries: set[str] = set()
        self.attributes: set[str] = set()
        # of reached classes, not asked for so far
        self.methods: dict[str, tuple[str, ast.FunctionDef]] = {}
        self.seen: set[tuple[str, str]] = set()
        self.waiting = [tuple(root.split(":")) for root in roots]
        while self.waiting or self._asked():
            while self.waiting:
                self._reach(*self.waiting.pop())

    def _reach(self, module: str, name: str) -> None:
        """Takes in what ``name`` means in ``module``."""
        if (module, name) in self.seen or module in SILENT:
            return
        self.seen.add((module, name))
        found = parse(module)
        if module.split(".")[0] in LIBRARIES:
            self.libraries.add(module.split(".")[0])
        elif found is None:
            return
        elif name in found.definitions:
            self._take(module, name, found.definitions[name])
        elif name in found.imports:
            self._follow(*found.imports[name])

    def _take(self, module: str, name: str, node: Definition) -> None:
        """A definition; of a class the methods wait until something asks for them."""
        if isinstance(node, ast.ClassDef):
            later = [
                item for item in node.body if isinstance(item, ast.FunctionDef) and _optional(item)
            ]
            self.methods |= {f"{name}.{item.name}": (module, item) for item in later}
            kept = [item for item in node.body if item not in later]
            node = ast.ClassDef(
                node.name, node.bases, node.keywords, kept or [ast.Pass()], node.decorator_list
            )
        self._add(module, name, node)

    def _add(self, module: str, name: str, node: ast.AST) -> None:
        self.pieces[module, name] = node
        for module_name, attribute in _references(node):
            self._name(module, module_name, attribute)
        self.attributes |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}

    def _name(self, module: str, name: str, attribute: str | None) -> None:
        """A name, or the attribute of a name, that stands in the code of ``module``."""
        found = parse(module)
        if name in found.definitions:
            self.waiting.append((module, name))
        elif name in found.imports:
            where, what = found.imports[name]
            inner = where if what is None else f"{where}.{what}"
            if attribute is not None and parse(inner) is not None:
                self.waiting.append((inner, attribute))
            else:
                self._follow(where, what)

    def _follow(self, module: str, name: str | None) -> None:
        """An imported name; a module that is passed on as a whole counts with all of its
        definitions.
        """
        inner = module if name is None else f"{module}.{name}"
        whole = parse(inner)
        if whole is not None and inner.startswith("recon"):
            self.waiting += [(inner, definition) for definition in whole.definitions]
        else:
            self.waiting.append((module, name or ""))

    def _asked(self) -> bool:
        """Takes in the methods whose name some reached code asks for; False when there are none."""
        asked = [name for name in self.methods if name.rpartition(".")[2] in self.attributes]
        for name in asked:
            module, node = self.methods.pop(name)
            self._add(module, name, node)
        return bool(asked)


def _optional(method: ast.FunctionDef) -> bool:
    """Whether a method acts only where it is asked for by name, unlike ``__init__``, ``forward``
    and validators.
    """
    plain = {"property", "cached_property", "staticmethod", "classmethod"}
    decorators = {d.id if isinstance(d, ast.Name) else "" for d in method.decorator_list}
    implicit = method.name.startswith("__") or method.name in IMPLICIT
    return not implicit and decorators <= plain


def _references(node: ast.AST) -> set[tuple[str, str | None]]:
    """The names in some code, each with the attribute that is taken of it, or None."""
    owned = {id(n.value): n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    return {(n.id, owned.get(id(n))) for n in ast.walk(node) if isinstance(n, ast.Name)}


def instructions(node: ast.AST) -> str:
    """The syntax of some code without docstrings; comments and layout are no part of it."""
    node = ast.parse(ast.unparse(node))
    for part in ast.walk(node):
        if (
            isinstance(part, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(part) is not None
        ):
            part.body = part.body[1:] or [ast.Pass()]
    return ast.dump(node)


@cache
def use(*roots: str) -> Use:
    """What some functions, as ``module:name``, can reach."""
    return Use(*roots)


@cache
def code_hash(*roots: str) -> str:
    """Hash of all that some functions can reach, and of the versions of the libraries that it
    calls.
    """
    reached = use(*roots)
    code = sorted(f"{name}: {instructions(node)}" for (_, name), node in reached.pieces.items())
    libraries = {name: version(LIBRARIES[name]).split("+")[0] for name in sorted(reached.libraries)}
    return _hash([code, libraries])


def root(thing: Callable) -> str:
    """A function or class as a root."""
    return f"{thing.__module__}:{thing.__qualname__}"


def _hash(parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def network_roots(settings: trained.Training) -> list[str]:
    """The code of a trained network: its kind and its architecture."""
    kind, architecture = trained.lookup(settings.kind), networks.lookup(settings.network.kind)
    return [root(kind.model), root(architecture.build)]


def reconstruction_code(method: str, settings: dict, used: list[trained.Training]) -> str:
    """Hash of the code of one reconstruction: method, networks, representation, and the way from
    volume to problem.
    """
    roots = [
        "recon.study.cases:magnitude_of",
        "recon.mri.problem:pose",
        root(methods.lookup(method).run),
    ]
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
    """Hashes of the code of some methods on a dataset, and of the scores: what a table of cases
    follows from.
    """
    hashes = []
    for method in wanted:
        used = [config.networks[name] for name in config.serving(method, dataset)]
        settings = vars(methods.settings_of(method, **config.methods[method]))
        for name in (vary or {}).get("representation", [settings.get("representation")]):
            varied = settings | ({"representation": name} if "representation" in settings else {})
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
    """Hash of the code that draws figures and decides claims."""
    files = sorted((ROOT / "recon" / "figures").rglob("*.py"))
    return _hash([instructions(ast.parse(path.read_text())) for path in files])


def preparation(section: Dataset, subject: str | int) -> dict:
    """What a prepared volume follows from: the settings of its dataset, the file it was read from,
    and the code.
    """
    settings = section.model_dump(mode="json", exclude=CHOICES)
    inputs = {"dataset": settings, "subject": str(subject), "source": fingerprint(section, subject)}
    return inputs | {"code": preparation_code(section)}


def made_from(path: Path, section: Dataset, subject: str | int) -> bool:
    """Whether a prepared volume follows from these settings and this file.

    Code is left to the workflow, which sees what was edited.
    """
    try:
        with h5py.File(path) as file:
            stored = json.loads(file.attrs["provenance"])
    except (OSError, KeyError, ValueError):
        return False
    return all(
        stored.get(key) == value
        for key, value in preparation(section, subject).items()
        if key != "code"
    )


def file_hash(path: Path) -> str:
    """SHA-256 of a file, shortened; a missing file is named."""
    if not path.exists():
        raise ReconError(
            f"{path}: no such file; run the workflow (make figures) or train the network first"
        )
    return digest(path)[:16]
