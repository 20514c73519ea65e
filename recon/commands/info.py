"""``recon info``: what is in a file."""

import argparse
from pathlib import Path

from recon.commands import Command


def options(command: argparse.ArgumentParser) -> None:
    """The options of ``recon info``."""
    kinds = "k-space of any known format, a NIfTI volume, or weights (.safetensors)"
    command.add_argument("file", type=Path, help=kinds)
    command.add_argument("--json", action="store_true", help="as JSON, for programs")


def info(options: argparse.Namespace) -> None:
    """Says what is in a file, from its headers alone; the samples are not read."""
    import json

    from recon.io.summary import summary

    facts = summary(options.file)
    if options.json:
        print(json.dumps(facts, indent=2, default=str))
        return
    arrays = facts.pop("arrays", {})
    width = max(map(len, (*facts, *arrays)))
    for key, value in (*facts.items(), *arrays.items()):
        print(f"{key:{width}}  {value}")


COMMAND = Command("say what is in a file", options, info)
