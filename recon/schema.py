"""What the configuration and the registry of datasets share: strict sections, one-line errors."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from recon.errors import ReconError

ROOT = Path(__file__).resolve().parent.parent  # the repository


class Strict(BaseModel):
    """A section that knows all of its keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def read_yaml(path: Path, kind: Any) -> Any:
    """The contents of a YAML file as ``kind``, which is a model or a mapping of models.

    A mistake raises `ReconError`, which names the first one in one line.
    """
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split())
        raise ReconError(f"{path}: not valid YAML ({why}); restore or correct it") from error
    return validated(path, values, kind)


def validated(path: Path, values: Any, kind: Any) -> Any:
    """Values that were read from a file, as ``kind``; mistakes are those of `read_yaml`."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        inner = first.get("ctx", {}).get("key")  # in a section that is read by its kind
        place = [*first["loc"], *([inner] if inner else [])]
        key = ".".join(map(str, place)) or "file"
        known = ": remove it or correct its spelling" if first["type"] == "extra_forbidden" else ""
        raise ReconError(f"{path}: {key}: {first['msg']}{known}") from error
