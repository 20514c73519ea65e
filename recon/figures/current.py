"""Whether the figures in a folder are current: their sidecars against what lies here now.

A figure is stale if something that it follows from has changed since: weights, tuned settings,
values of the configuration, code, its notebook, or its own files. What an old sidecar does not
record, and what is not here to compare with, is said and is no fault.
"""

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from recon.errors import ReconError
from recon.figures.sidecar import files_of, git, notebook_of, steps, volume_hash
from recon.schema import validated
from recon.study import provenance
from recon.study.config import Comparison, Config, number
from recon.study.needs import Needs, needs_of, part_of
from recon.study.study import Study

SECTIONS = ("datasets", "networks", "methods", "comparisons")
SHARED = ("device", "threads", "maps", "accelerations", "mask")  # by all tables
# Of a section: names; and what counts through hashes of weights and of tuned settings.
ASIDE = {"label", "train", "validation", "shipped", "about"}
MISSING = "missing"


class Stated(BaseModel):
    """What is read of the configuration in a sidecar."""

    model_config = ConfigDict(extra="allow")
    datasets: dict[str, dict[str, Any]]
    networks: dict[str, dict[str, Any]] = {}
    methods: dict[str, dict[str, Any]] = {}
    comparisons: dict[str, dict[str, Any]] = {}


class Sidecar(BaseModel):
    """What is read of a sidecar; older ones have less."""

    config: Stated
    networks: dict[str, str] = {}
    volumes: dict[str, str] = {}
    code: dict[str, str] = {}
    steps: dict[str, str] = {}
    notebook: str | None = None
    files: dict[str, str] = {}
    tuning: dict[str, Any] = {}


@dataclass
class Inputs:
    """What a figure follows from: values to compare by their label, and settings by section."""

    hashes: dict[str, Any]  # None: it is not here
    settings: dict[str, dict[str, Any]]


@dataclass
class Verdict:
    """What became of one figure, and the command that makes it anew."""

    name: str
    state: Literal["current", "stale", "missing"] = "current"
    changed: list[str] = field(default_factory=list)
    not_recorded: list[str] = field(default_factory=list)
    not_here: list[str] = field(default_factory=list)
    command: str = ""

    def __str__(self) -> str:
        return f"{self.state:7} {self.name}: {', '.join(gathered(self.changed))}; {self.command}"


def verdicts(study: Study, folder: Path) -> list[Verdict]:
    """The verdict on every picture, table and sidecar in a folder of figures."""
    here = cache(lambda notebook: now(study, notebook))  # for all figures of a notebook
    return [verdict(study, folder / name, here) for name in names_in(folder)]


def names_in(folder: Path) -> list[str]:
    """The names of the figures in a folder: they start with the number of their notebook."""
    found = [f for f in folder.glob("[0-9]*") if f.suffix in (".png", ".svg", ".csv", ".json")]
    return sorted({f.stem for f in found if number(f.stem).isdigit()})


def verdict(study: Study, stem: Path, here: Callable[[str], Inputs]) -> Verdict:
    """Compares a figure, as a path without suffix, with what it follows from ``here``."""
    found, notebook = Verdict(stem.name), notebook_of(study.config, stem.name)
    if notebook is None:
        found.state, found.command = "stale", f"rm {stem}.*"
        found.changed = [f"configuration {study.config.name} has no notebook {number(stem.name)}"]
        return found
    target = f"results/{study.config.name}/notebooks/{notebook}.ipynb"
    make = f"make figures CONFIG={shlex.quote(study.source)} TARGET={target}"
    # Snakemake does not watch the files of figures, so it has to be told to make them again.
    again = f"rm {target} && {make}" if (study.root / target).exists() else make
    try:
        made = read(stem.with_suffix(".json"))
    except ReconError as error:
        return Verdict(stem.name, "missing", [str(error)], command=again)
    absent, touched, unhashed = own_files(stem, made)
    there = here(notebook)
    if not stem.with_suffix(".png").exists():  # A table does not follow from how it is drawn.
        kept = {label: h for label, h in there.hashes.items() if label != "code of figures"}
        there = Inputs(kept, there.settings)
    changed, unknown, found.not_here = compared(recorded(made), there)
    uncommitted = not_kept(stem.parent, absent)
    lost = [f"{name} is {MISSING}" for name in absent if name not in uncommitted]
    found.changed, found.not_recorded = [*lost, *touched, *changed], [*unhashed, *unknown]
    found.not_here += uncommitted
    if found.changed:
        found.state = "missing" if lost else "stale"
        found.command = again if lost or touched else make
    return found


def read(path: Path) -> Sidecar:
    """A sidecar; raises `ReconError` for one that is missing or damaged."""
    if not path.exists():
        raise ReconError(f"there is no sidecar {path.name}")
    try:
        return validated(Path(path.name), json.loads(path.read_text()), Sidecar)
    except ValueError as error:
        raise ReconError(f"the sidecar {path.name} is not JSON") from error


def own_files(stem: Path, made: Sidecar) -> tuple[list[str], list[str], list[str]]:
    """The files of a figure that are absent, that are not as written, and that have no hash."""
    here = files_of(stem)
    wanted = made.files or [f"{stem.name}.png"]
    absent = [name for name in wanted if name not in here]
    differing = [name for name in here if made.files.get(name, here[name]) != here[name]]
    touched = [f"{name} is not the file that was written" for name in differing]
    return absent, touched, [name for name in here if name not in made.files]


def not_kept(folder: Path, names: list[str]) -> list[str]:
    """Those files of a folder that a checkout does not have, since git ignores them."""
    if not names:
        return []
    return git("check-ignore", "--", *names, folder=folder).splitlines()


def compared(then: Inputs, there: Inputs) -> tuple[list[str], list[str], list[str]]:
    """What changed, what was not recorded, and what is not here to compare with."""
    absent = [label for label, value in there.hashes.items() if value is None]
    known = {label: value for label, value in there.hashes.items() if value is not None}
    unknown = [label for label in known if label not in then.hashes]
    changed = [
        f"{label}{' is missing' if value == MISSING else ''}"
        for label, value in known.items()
        if label in then.hashes and then.hashes[label] != value
    ]
    for section, values in there.settings.items():
        changed += differences(section, then.settings.get(section), values)
    return changed, unknown, absent


def differences(section: str, old: dict[str, Any] | None, new: dict[str, Any]) -> Iterator[str]:
    """The settings of a section that differ; an empty one is like one that is not there."""
    if old is None:
        yield f"{section} is new"
        return
    if section.startswith("comparisons."):  # What an older one did not know was the default.
        old = Comparison().model_dump(mode="json") | old
    for key in {**old, **new}:
        before, after = old.get(key), new.get(key)
        if key not in ASIDE and (before or None) != (after or None):
            yield f"{section}.{key} {brief(before)} → {brief(after)}".lstrip(".")


def gathered(changed: list[str], most: int = 3) -> Iterator[str]:
    """What changed, for a line: of each kind, and of all settings, ``most`` by name."""
    kinds: dict[str, list[str]] = {}
    for label in changed:
        kind, of, name = label.partition(" of ")
        kinds.setdefault(kind + of if of else "", []).append(name or label)
    for kind, names in kinds.items():
        more = f" and {len(names) - most} more" if len(names) > most else ""
        yield f"{kind}{', '.join(names[:most])}{more}"


def brief(value: Any) -> str:
    """A value, short enough for a line."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"


def recorded(made: Sidecar) -> Inputs:
    """What a sidecar says of all that its figure may follow from."""
    best = made.tuning.get("best") or {}
    hashes = {f"weights of {name}": found for name, found in made.networks.items()}
    hashes |= {f"data of {name}": found for name, found in made.volumes.items()}
    hashes |= {f"tuning of {name}": found or {} for name, found in best.items()}
    hashes |= {f"code of {name}": found for name, found in (made.code | made.steps).items()}
    hashes |= {"the notebook": made.notebook} if made.notebook else {}
    return Inputs(hashes, sections(made.config.model_dump()))


def now(study: Study, notebook: str) -> Inputs:
    """What the figures of a notebook follow from, as it is here."""
    config, needs = study.config, needs_of(notebook, study.config)
    hashes = {"the notebook": provenance.hashed(provenance.code_cells(notebook))}
    hashes |= {f"weights of {name}": weights(study, name) for name in needs.networks}
    hashes |= {f"data of {d}/{s}": data(study, d, s) for d, s in needs.volumes}
    hashes |= {f"tuning of {d}/{m}": tuning(study, d, m) for d, m in needs.settings}
    hashes |= {f"code of {m}": provenance.method_code(config, m) for m in needs.methods}
    hashes |= {f"code of {name}": found for name, found in steps(config, needs).items()}
    return Inputs(hashes, in_use(config, needs))


def in_use(config: Config, needs: Needs) -> dict[str, dict[str, Any]]:
    """The sections of the configuration that the figures of a notebook follow from.

    What only weights or tuned settings follow from counts through their hashes.
    """
    own = {d for _, d in needs.shown} | {d for d, _ in needs.volumes}
    aside = {f"datasets.{name}" for name in config.datasets if name not in own}
    aside |= {f"networks.{name}" for name in config.networks if shipped(config, name)}
    aside |= set() if needs.shown else {""}
    whole = sections(part_of(config, needs))
    return {label: values for label, values in whole.items() if label not in aside}


def sections(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The sections of a configuration by dotted names; what all tables share has none."""
    parts = {f"{s}.{name}": v for s in SECTIONS for name, v in config[s].items()}
    return parts | {"": {key: config[key] for key in SHARED if key in config}}


def weights(study: Study, name: str) -> str | None:
    """The hash of a network as it is here."""
    if study.network_path(name).exists():
        return study.network_hash(name)
    return MISSING if shipped(study.config, name) else None


def shipped(config: Config, name: str) -> bool:
    """Whether the weights that a network uses are shipped."""
    section = config.networks[name]
    return config.networks[section.weights_of or name].shipped is not None


def data(study: Study, dataset: str, subject: str) -> str | None:
    """The hash of a prepared volume as it is here."""
    return (
        volume_hash(study, dataset, subject) if study.data_path(dataset, subject).exists() else None
    )


def tuning(study: Study, dataset: str, method: str) -> Any:
    """The tuned settings of a method as they are here."""
    shipped = study.config.tuning.shipped
    try:
        best = study.tuning(dataset, method).get("best")
    except FileNotFoundError:
        return MISSING
    except ValueError as error:
        where = shipped or study.tuning_path(dataset, method)
        raise ReconError(f"{where}: is not JSON; restore it, or tune anew") from error
    return best or ({} if shipped else None)
