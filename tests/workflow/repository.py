"""A copy of the repository, and its commands as a user calls them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from recon.schema import ROOT

PARTS = ("recon", "workflow", "notebooks", "Snakefile", "data/registry.yaml")


def copied(target: Path) -> Path:
    """The files that a run needs, in ``target``."""
    ignored = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        (target / part).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, target / part, ignore=ignored)
        else:
            shutil.copy(ROOT / part, target / part)
    return target


def environment(copy: Path) -> dict[str, str]:
    """In which the copy's own code runs."""
    return os.environ | {"PYTHONPATH": str(copy)}


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess:
    """``python -m ARGUMENTS`` in the copy."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=copy,
        env=environment(copy),
        capture_output=True,
        text=True,
    )


def call(config: str, *more: str) -> list[str]:
    """The arguments of a run of the workflow."""
    profile = ["--profile", "workflow/profiles/default"]
    return ["workflow.scripts.run", *profile, "--config", f"run={config}", *more]


def workflow(copy: Path, config: str = "smoke", *more: str) -> subprocess.CompletedProcess:
    """A run of the workflow."""
    return run(copy, *call(config, *more))
