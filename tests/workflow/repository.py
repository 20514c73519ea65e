"""A copy of the repository's files, and commands that run in it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from recon.schema import ROOT

PARTS = ("recon", "workflow", "notebooks", "Snakefile", "data/registry.yaml")


def copied(target: Path) -> Path:
    """Copies what the workflow needs, but no data and no results, into the folder ``target``."""
    for part in PARTS:
        source, copy = ROOT / part, target / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    return target


def surroundings(copy: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The environment in which Python imports the copy, and not the repository."""
    return {**environment, "PYTHONPATH": str(copy)}


def run(
    copy: Path, *arguments: str, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess:
    """Runs ``python -m ARGUMENTS`` in the copy."""
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=copy,
        env=surroundings(copy, environment),
        capture_output=True,
        text=True,
    )


def started(
    copy: Path, *arguments: str, environment: Mapping[str, str] = os.environ, stderr=None
) -> subprocess.Popen:
    """``python -m ARGUMENTS`` in the copy, at work in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=copy,
        env=surroundings(copy, environment),
        stderr=stderr,
        start_new_session=True,
    )


def call(config: str = "smoke", *options: str, profile: str = "default") -> list[str]:
    """The arguments of a run of the workflow, as ``make figures`` gives them."""
    module = ["workflow.scripts.run", "--profile", f"workflow/profiles/{profile}"]
    return [*module, "--config", f"run={config}", *options]


def workflow(copy: Path, config: str = "smoke", *options: str) -> subprocess.CompletedProcess:
    """A run of the workflow in the copy."""
    return run(copy, *call(config, *options))
