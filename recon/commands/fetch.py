"""``recon fetch``: the datasets of the papers."""

import argparse

from recon.commands import Command
from recon.errors import ReconError


def options(command: argparse.ArgumentParser) -> None:
    """The options of ``recon fetch``."""
    option, splits = command.add_argument, ("test", "validation", "train", "all")
    where = "its folder is DATA_ROOT/NAME (default data/downloads/NAME)"
    option("name", nargs="?", help=f"a dataset of data/registry.yaml; {where}")
    option("--list", action="store_true", help="the datasets, and how much of each is here")
    read = "read the files that are here, of NAME or of all datasets, and compare hashes"
    option("--check", action="store_true", help=read)
    option("--split", choices=splits, help="which volumes (default all, in this order)")
    option("--volumes", type=int, metavar="N", help="only the first N of them")
    option("--subjects", nargs="+", metavar="SUBJECT", help="these volumes, by name")
    option("--jobs", type=int, default=2, help="files at once, 1 to 4 (default %(default)s)")


def fetch(options: argparse.Namespace) -> None:
    """Downloads volumes of a dataset, or says what a person must do to have them."""
    from recon.download import fetch as fetching
    from recon.download import registry

    if options.list:
        return print(fetching.table())
    if options.check:
        return fetching.check([options.name] if options.name else list(registry.datasets()))
    if options.name is None:
        raise ReconError("fetch: name a dataset; python -m recon fetch --list shows them")
    fetching.survey(options.name)
    fetching.fetch(options.name, chosen_subjects(options), options.jobs)


def chosen_subjects(options: argparse.Namespace) -> list[str]:
    """The subjects that ``--subjects``, or ``--split`` and ``--volumes``, ask for."""
    from recon.download import registry
    from recon.download.entries import bare

    if options.subjects is not None:
        if options.volumes is not None or options.split is not None:
            raise ReconError(
                "--subjects names the volumes itself; do not give --split or --volumes"
            )
        return list(dict.fromkeys(options.subjects))
    if options.volumes is not None and options.volumes < 1:
        raise ReconError(f"--volumes {options.volumes}: give at least 1")
    dataset = registry.lookup(options.name)
    subjects = bare(dataset.subjects(options.split or "all"))[: options.volumes]
    if not subjects and (dataset.access == "open" or dataset.listed()):
        empty = f"the split {options.split or 'all'} has no subjects"
        raise ReconError(f"{options.name}: {empty}; choose another --split")
    return subjects


COMMAND = Command("download a dataset of the papers", options, fetch)
