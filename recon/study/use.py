"""What code a function can reach, found in the source of `recon`.

Functions and classes are found by name. Methods of a reached class are found by the attributes that
reached code asks for. The hash covers the syntax of all that was found, without comments,
docstrings and annotations of functions, and the versions of the libraries that it calls.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from typing import Any

from recon.schema import ROOT

# These modules compute nothing that ends in a result.
SILENT = (
    "recon.errors",
    "recon.files",
    "recon.progress",
    "recon.rooms",
    "recon.schema",
    "recon.download",
    "recon.data.section",
    "recon.data.source",
    "recon.training.checkpoints",
)
# Nor do these classes: what they hold is part of the keys, or says how something is found.
RECORDS = {"Method", "Kind", "Batches", "Architecture", "RepresentationKind", "Training"}
# Nor do these libraries.
FORMAL = {"beartype", "jaxtyping", "pydantic", "pydantic_core", "tqdm", "typing_extensions"}
IMPLICIT = {"forward", "backward", "setup_context"}  # methods that torch calls

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign | ast.Module


@dataclass
class Module:
    """The definitions of a file of `recon`, and its imports.

    An import maps its local name to the module and the name there, which is None for a module.
    """

    definitions: dict[str, Definition] = field(default_factory=dict)
    # Of each class the methods that act only where some code asks for them by name.
    methods: dict[str, list[ast.FunctionDef]] = field(default_factory=dict)
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
        if isinstance(node, ast.ClassDef):
            module.definitions[node.name], module.methods[node.name] = _parted(node)
        elif isinstance(node, ast.FunctionDef):
            module.definitions[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            module.definitions |= dict.fromkeys(names, node)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            begun = module.definitions[node.target.id]
            module.definitions[node.target.id] = ast.Module([begun, node], [])
    for node in ast.walk(tree):  # Imports inside functions count, too.
        if isinstance(node, ast.ImportFrom):
            module.imports |= {a.asname or a.name: (node.module or "", a.name) for a in node.names}
        elif isinstance(node, ast.Import):
            module.imports |= {a.asname or a.name.split(".")[0]: (a.name, None) for a in node.names}
    return module


class Use:
    """All that some functions can reach: pieces of source by name, and the libraries they call."""

    def __init__(self, *roots: str):
        self.pieces: dict[tuple[str, str], ast.AST] = {}
        self.libraries: set[str] = set()
        self.attributes: set[str] = set()
        # Methods of reached classes that nothing has asked for so far.
        self.methods: dict[tuple[str, str], ast.FunctionDef] = {}
        self.seen: set[tuple[str, str]] = set()
        self.waiting = [tuple(root.split(":")) for root in roots]
        for module, name in self.waiting:
            if parse(module) is None or name not in parse(module).definitions:
                raise ValueError(f"{module}:{name} is no definition of recon")
        while self.waiting or self._asked():
            while self.waiting:
                self._reach(*self.waiting.pop())

    def _reach(self, module: str, name: str) -> None:
        """Takes in what ``name`` means in ``module``."""
        if (module, name) in self.seen or name in RECORDS or f"{module}.".startswith(_silent()):
            return
        self.seen.add((module, name))
        found, package = parse(module), module.split(".")[0]
        if found is None:
            if package not in FORMAL | sys.stdlib_module_names:
                self.libraries.add(package)
        elif name in found.definitions:
            self._take(module, name, found)
        elif name in found.imports:
            self._follow(*found.imports[name])

    def _take(self, module: str, name: str, found: Module) -> None:
        """Takes in a definition; methods of a class wait until something asks for them."""
        later = found.methods.get(name, [])
        self.methods |= {(module, f"{name}.{item.name}"): item for item in later}
        self._add(module, name, found.definitions[name])

    def _add(self, module: str, name: str, node: ast.AST) -> None:
        self.pieces[module, name] = node
        for module_name, attribute in _references(node):
            self._name(module, module_name, attribute)
        self.attributes |= {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}

    def _name(self, module: str, name: str, attribute: str | None) -> None:
        """Takes in a name, or an attribute of a name, that the code of ``module`` mentions."""
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
        """Takes in an imported name; a module as a whole counts with all of its definitions."""
        inner = module if name is None else f"{module}.{name}"
        whole = parse(inner)
        if whole is not None and inner.startswith("recon"):
            self.waiting += [(inner, definition) for definition in whole.definitions]
        else:
            self.waiting.append((module, name or ""))

    def _asked(self) -> bool:
        """Takes in the methods that reached code asks for by name; False when there are none."""
        asked = [key for key in self.methods if key[1].rpartition(".")[2] in self.attributes]
        for module, name in asked:
            self._add(module, name, self.methods.pop((module, name)))
        return bool(asked)


def _silent() -> tuple[str, ...]:
    return tuple(f"{name}." for name in SILENT)


def _parted(node: ast.ClassDef) -> tuple[ast.ClassDef, list[ast.FunctionDef]]:
    """A class without its optional methods, and these."""
    functions = [item for item in node.body if isinstance(item, ast.FunctionDef)]
    later = [item for item in functions if _optional(item)]
    body = [item for item in node.body if item not in later] or [ast.Pass()]
    return ast.ClassDef(node.name, node.bases, node.keywords, body, node.decorator_list), later


def _optional(method: ast.FunctionDef) -> bool:
    """Whether a method acts only where it is asked for by name.

    ``__init__``, ``forward`` and validators act without that.
    """
    plain = {"property", "cached_property", "staticmethod", "classmethod"}
    decorators = {d.id if isinstance(d, ast.Name) else "" for d in method.decorator_list}
    implicit = method.name.startswith("__") or method.name in IMPLICIT
    return not implicit and decorators <= plain


def _references(node: ast.AST) -> set[tuple[str, str | None]]:
    """The names in some code, each with the attribute that is taken of it or None."""
    owned = {id(n.value): n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
    return {(n.id, owned.get(id(n))) for n in ast.walk(node) if isinstance(n, ast.Name)}


@cache
def instructions(node: ast.AST) -> str:
    """The syntax of some code without docstrings and without annotations of functions.

    Comments and layout are no part of the syntax.
    """
    node = ast.parse(ast.unparse(node))
    for part in ast.walk(node):
        explains = isinstance(part, ast.Module | ast.ClassDef | ast.FunctionDef)
        if explains and ast.get_docstring(part) is not None:
            part.body = part.body[1:] or [ast.Pass()]
        if isinstance(part, ast.FunctionDef):
            part.returns = None
        elif isinstance(part, ast.arg):
            part.annotation = None
    return ast.dump(node)


@cache
def use(*roots: str) -> Use:
    """What some functions, as ``module:name``, can reach."""
    return Use(*roots)


@cache
def code_hash(*roots: str) -> str:
    """Hash of all that some functions can reach, and of the versions of libraries they call."""
    reached = use(*roots)
    code = sorted(f"{name}: {instructions(node)}" for (_, name), node in reached.pieces.items())
    return hashed([code, {name: library_version(name) for name in sorted(reached.libraries)}])


@cache
def library_version(name: str) -> str:
    """The version of an imported library; a build for CPU or GPU is no part of it."""
    try:
        found = version(name)
    except PackageNotFoundError:  # The package has another name.
        found = version(packages_distributions()[name][0])
    return found.split("+")[0]


def root(thing: Callable) -> str:
    """A function or class as a root; of a partial its function, of a method its class."""
    while isinstance(thing, partial):
        thing = thing.func
    return f"{thing.__module__}:{thing.__qualname__.split('.')[0]}"


def hashed(parts: Any) -> str:
    """Hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]
