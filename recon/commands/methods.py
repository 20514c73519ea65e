"""``recon methods``: the methods and their settings."""

import argparse

from recon import rooms
from recon.commands import Command


def options(command: argparse.ArgumentParser) -> None:
    """The options of ``recon methods``."""
    known = ", ".join(rooms.members("methods", "METHOD"))
    command.add_argument("name", nargs="?", help=f"one of {known}; without it, all in a line each")


def methods(options: argparse.Namespace) -> None:
    """Lists the methods, or explains one: its settings, their units and defaults."""
    from recon import methods

    if options.name is None:
        for name in methods.names():
            method = methods.lookup(name)
            needs = [f"--network {role}=PATH" for role in method.needs if role != "prior"]
            needs = ["--prior PATH"] * ("prior" in method.needs) + needs
            print(f"{name:16} {method.label:24} {' '.join(needs)}".rstrip())
        return
    for line in methods.explained(options.name):
        print(line)


COMMAND = Command("list the reconstruction methods, or explain one", options, methods)
