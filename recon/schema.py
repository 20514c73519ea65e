"""What the configuration and the registry of datasets share: strict sections, one-line errors."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from recon.errors import ReconError

ROOT = Path(__file__).resolve().parent.parent  # the repository


Seed = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Size = Annotated[float, Field(gt=0, lt=1000)]  # mm
# A name that becomes a file or a folder: it stays in its own folder, and is no option.
Name = Annotated[str, Field(pattern=r"^[\w][\w.+-]*$", max_length=100)]


class Strict(BaseModel):
    """A section that knows all of its keys, and whose numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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
