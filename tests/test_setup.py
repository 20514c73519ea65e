"""One set of versions for pip and conda users, and one structure."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

from recon.schema import ROOT


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().split()
    return {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, version in (line.split("==") for line in lines)
    }


def test_every_dependency_is_locked_to_one_plain_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    names = {re.sub(r"[-_.]+", "-", re.split(r"[<>=\[ ]", w)[0]).lower() for w in wanted}
    assert names <= set(locked())
    assert "+" not in locked()["torch"]


def test_conda_users_get_the_locked_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = next(d for d in environment if isinstance(d, str) and d.startswith("python="))
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python.removeprefix("python=") == required.removeprefix(">=")
    assert "-r requirements.lock" in next(d["pip"] for d in environment if isinstance(d, dict))
    others = [
        d for d in environment if isinstance(d, str) and "=" in d and not d.startswith("python=")
    ]
    assert not others, f"pinned outside the lock: {others}"


def test_a_room_imports_only_from_those_below_it():
    """The layers in pyproject.toml, held by import-linter; no file and no room is outside them."""
    lint = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert lint.returncode == 0, lint.stdout
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ][0]
    listed = {name.strip("() ") for layer in contract["layers"] for name in re.split("[|:]", layer)}
    here = {
        path.stem
        for path in (ROOT / "recon").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert here - {"__init__", "__main__"} == listed
