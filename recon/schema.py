"""What the configuration and the registry of datasets share: sections that know all of their keys,
and one-line errors.
"""

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
    """The contents of a YAML file as ``kind`` (a model, or a mapping of models); the first mistake
    is named in one line.
    """
    try:
        return TypeAdapter(kind).validate_python(yaml.safe_load(path.read_text()))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ReconError(
            f"{path}: not valid YAML ({' '.join(str(error).split())}); restore or correct it"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        inner = first.get("ctx", {}).get("key")  # of a section that is read by its kind
        key = ".".join(str(part) for part in [*first["loc"], *([inner] if inner else [])]) or "file"
        known = ": remove it or correct its spelling" if first["type"] == "extra_forbidden" else ""
        raise ReconError(f"{path}: {key}: {first['msg']}{known}") from error
