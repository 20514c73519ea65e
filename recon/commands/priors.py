"""``recon priors``: which trained priors are here."""

import argparse

from recon.commands import Command


def options(command: argparse.ArgumentParser) -> None:
    """The options of ``recon priors``."""
    command.add_argument("--json", action="store_true", help="as JSON, with licence and sha256")


def priors(options: argparse.Namespace) -> None:
    """Lists the priors that are shipped, and those that the workflow trained here."""
    import json

    from recon.networks.shelf import shelf

    cards = shelf()
    if options.json:
        print(json.dumps([card.facts() for card in cards], indent=2))
        return
    rows = [("weights", "anatomy", "contrasts", "pixels [mm]", "matrix", "licence", "sha256")]
    for card in cards:
        pixels = "not said" if card.pixels is None else "{:.2g} to {:.2g}".format(*card.pixels)
        matrix = "{} to {}".format(*card.matrix)
        about = card.anatomy, card.contrasts, pixels, matrix, card.licence, card.sha256[:12]
        rows.append((card.path, *about))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:{w}}" for cell, w in zip(row, widths, strict=True)).rstrip())
    print("\nFor a scan of one's own, those of real slices are tried; the best one may be taken.")


COMMAND = Command("list the priors that are here", options, priors)
