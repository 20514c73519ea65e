"""What is looked at before the cases of a comparison are computed: networks, tuning, time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from recon import methods
from recon.errors import ReconError

if TYPE_CHECKING:
    from recon.study.study import Study


def check_trained(study: Study, name: str) -> None:
    """Refuses to begin where a network is not here that a table of the same notebook needs."""
    config = study.config
    alike = config.shown_in(name)
    used = [n for c in alike for d in dict(config.compared(c)) for n in config.networks_in(c, d)]
    for network in dict.fromkeys(used):
        path = study.network_path(network)
        if not path.exists() and not config.networks[network].shipped:
            target = path.relative_to(study.root)
            make = f"make figures CONFIG={study.source} TARGET={target}"
            raise ReconError(f"{name}: the network {network} is not trained here; {make} trains it")


def untuned(study: Study, name: str) -> list[str]:
    """The methods of a comparison whose settings are to be tuned, and are not, by dataset."""
    config, found = study.config, {}
    if config.comparisons[name].settings != "tuned":
        return []
    for dataset in dict(config.compared(name)):
        for method in config.methods_in(name, dataset):
            if methods.lookup(method).space and not study.tuning(dataset, method):
                found[f"{method} on {config.tuned_as(dataset)}"] = None
    return list(found)


def how_long(name: str, earlier: Path, expected: Callable[[], float | None]) -> str:
    """How long it takes to compute the cases of comparison ``name``.

    ``earlier`` is where its table would lie if the configuration's figures were made before. It
    says the time that each case took. Without it, ``expected`` gives minutes from measured costs.
    """
    said = f"{name}: cases that are not in results/ are computed now"
    if not earlier.exists() or "seconds" not in (table := pd.read_csv(earlier)):
        about = expected()
        if about is None:
            return f"{said}; no earlier run says how long that takes"
        return f"{said}; all of them take about {max(1, round(about))} minutes of one core"
    whole = max(1, round(table["seconds"].sum() / 60))
    took = f"{whole} minute{'s' if whole > 1 else ''}"
    return f"{said}; all {len(table)} of them took {took} when {earlier.name} was made"


def minutes(study: Study, name: str) -> float | None:
    """How long all cases of a comparison take on one core of the machine that was measured.

    None where no measured costs are here.
    """
    from recon.study.costs import FILE, load_costs
    from recon.study.plan import Planned, Planner

    if not FILE.exists():
        return None
    planner = Planner(Planned(study.config, study.root), load_costs())
    return sum(planner.cases(name, d, s) for d, s in study.config.compared(name)) / 60
