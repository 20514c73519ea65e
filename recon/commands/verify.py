"""``recon verify``: whether figures are current."""

import argparse
from pathlib import Path

from recon.commands import Command
from recon.errors import ReconError


def options(command: argparse.ArgumentParser) -> None:
    """The options of ``recon verify``."""
    option = command.add_argument
    option("folder", type=Path, help="figures/CONFIG, or figures for all configurations")
    whose = "the configuration that they are figures of (default: the name of their folder)"
    option("--config", metavar="NAME|FILE", help=whose)
    option("--json", action="store_true", help="as JSON, for programs")


def verify(options: argparse.Namespace) -> int:
    """Compares figures with what they follow from, and says which command makes stale ones anew.

    Weights, tuned settings, the configuration, code, notebooks and the files themselves are
    compared with the hashes in the sidecars. The exit status is 0 where all figures are current,
    1 where one is stale or missing, and 2 for a folder that has no figures.
    """
    import json
    from dataclasses import asdict

    from recon.figures.current import names_in, verdicts
    from recon.study import open_study

    inner = sorted(path for path in options.folder.glob("*/") if names_in(path))
    folders = [options.folder] if names_in(options.folder) else inner
    if not folders:
        raise ReconError(f"{options.folder}: no folder of figures; give one such as figures/demo")
    found = {}
    for folder in folders:
        study = open_study(options.config or folder.resolve().name)
        found[str(folder)] = verdicts(study, folder)
    if options.json:
        print(json.dumps({f: [asdict(v) for v in part] for f, part in found.items()}, indent=1))
    for folder in [] if options.json else found:
        report(folder, found[folder])
    return int(any(v.state != "current" for part in found.values() for v in part))


def report(folder: str, verdicts: list) -> None:
    """Prints a line for each figure that is not current, and what all of them come to."""
    for verdict in (v for v in verdicts if v.state != "current"):
        print(verdict)
    for what, lists in {
        "not recorded by": [v.not_recorded for v in verdicts],
        "not here to compare for": [v.not_here for v in verdicts],
    }.items():
        kinds = dict.fromkeys(kind_of(label) for labels in lists for label in labels)
        if kinds:
            print(f"{', '.join(kinds)}: {what} {sum(map(bool, lists))} figures")
    count = {s: sum(v.state == s for v in verdicts) for s in ("current", "stale", "missing")}
    print(f"{folder}: {', '.join(f'{n} {state}' for state, n in count.items())}")


def kind_of(label: str) -> str:
    """What a label is of, in general: files, weights, data, tuning or code."""
    return (
        label.split(" of ")[0] if " of " in label or label == "the notebook" else "hashes of files"
    )


COMMAND = Command("say which figures are stale, and what makes them anew", options, verify)
