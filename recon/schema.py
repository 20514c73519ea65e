"""What the configuration and the registry of datasets share: strict sections, one-line errors."""

import re
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from recon.errors import ReconError

ROOT = Path(__file__).resolve().parent.parent  # the repository


Seed = Annotated[int, Field(ge=0, lt=2**63)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Size = Annotated[float, Field(gt=0, lt=1000)]  # mm
LONGEST = 100  # bytes of a name; file systems hold 255, and we append to it


def _short(path: str) -> str:
    """A path whose parts a file system can hold."""
    if max(len(part.encode()) for part in path.split("/")) > LONGEST:
        raise ValueError(f"{path[:20]}… is longer than {LONGEST} bytes")
    return path


# A name that becomes a file or a folder: it stays in its own folder, and is no option.
Name = Annotated[str, Field(pattern=r"^\w[\w.+-]*$"), AfterValidator(_short)]


def _subject(value: int | str) -> int | str:
    """A subject, which names a file below its dataset's folder, and no other file."""
    _short(str(value))
    part = r"\w[\w .,+=@:-]*"
    if not re.fullmatch(f"{part}(/{part})*", str(value)) or len(str(value)) > 2 * LONGEST:
        known = "letters, digits, spaces and . , + = @ : - _, with / between folders"
        raise ValueError(f"{str(value)[:LONGEST]!r} names no subject; names have {known}")
    return value


# The number of a phantom, or the name of a file, which may lie in a folder (part/file). It may name
# a slice (file@8) or another part (file:flair).
Subject = Annotated[int | str, AfterValidator(_subject)]


class Strict(BaseModel):
    """A section that knows all of its keys, and whose numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def read_yaml(path: Path, kind: Any) -> Any:
    """The contents of a YAML file as ``kind``, which is a model or a mapping of models.

    A mistake raises `ReconError`, which names the first one in one line.
    """
    try:
        values = yaml.safe_load(path.read_text())
    # ValueError: bytes that are no text, and dates that are none.
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
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
        key = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in key)  # one line
        known = ": remove it or correct its spelling" if first["type"] == "extra_forbidden" else ""
        raise ReconError(f"{path}: {key}: {first['msg']}{known}") from error
