"""``recon plan``: what a run will take."""

import argparse

from recon.commands import Command
from recon.errors import ReconError


def options(command: argparse.ArgumentParser) -> None:
    """The options of ``recon plan``."""
    option = command.add_argument
    option("config", help="a configuration of workflow/config, or the path of a .yaml file")
    option("--cores", type=int, default=2, help="how many work at once (default %(default)s)")
    faster = "how many times as fast one core is as the one that was measured (default 1)"
    option("--speed", type=float, default=1.0, help=faster)
    option("--json", action="store_true", help="as JSON, for programs")


def plan(options: argparse.Namespace) -> None:
    """Says what a run will take before it starts: jobs, hours, disk, downloads and memory.

    What is here already is done. Costs were measured once, on the machine that is named, and grow
    with voxels, coils, iterations and the operations of networks. Nothing is written.
    """
    import json
    from dataclasses import asdict

    from recon.study.config import load
    from recon.study.costs import load_costs
    from recon.study.plan import Planned, plan, said

    if options.cores < 1 or not options.speed > 0:
        raise ReconError("--cores and --speed: give numbers above 0")
    config, costs = load(options.config, listed=False), load_costs()
    found = plan(Planned(config, source=options.config), costs)
    hours = found.hours(options.cores, options.speed)
    if options.json:
        print(json.dumps(asdict(found) | {"hours": hours}, indent=1))
        return
    for line in said(found, costs.machine, options.cores, options.speed):
        print(line)


COMMAND = Command("say what a run will take, before it starts", options, plan)
