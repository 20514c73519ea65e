"""The command line: ``python -m recon reconstruct IN OUT.nii.gz --method annealed --prior
weights.safetensors``.
"""

import argparse
import sys
from inspect import cleandoc
from typing import NoReturn

from recon import ReconError, __version__, commands


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, as all of ours are."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with exit status 2."""
        self.exit(2, f"recon: {message}; see {self.prog} --help\n")


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    about = "3D MRI reconstruction with 2D diffusion priors"
    out = Parser(prog="recon", description=about)
    out.add_argument("--version", action="version", version=__version__)
    parts = out.add_subparsers(dest="command", required=True)
    for name in commands.names():
        command = commands.lookup(name)
        part = parts.add_parser(
            name,
            help=command.help,
            description=cleandoc(command.run.__doc__),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.options(part)
    return out


def main(arguments: list[str] | None = None) -> int:
    """Runs a command and returns its exit status; a user's error is one line and status 2."""
    options = parser().parse_args(arguments)
    try:
        return commands.lookup(options.command).run(options) or 0
    except ReconError as error:
        print(f"recon: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader of our output went away
            sys.stderr.close()
            return 1
        where = f"{error.filename}: " if error.filename else ""
        why = f"{error.strerror or error}; make room, or choose another path"
        print(f"recon: {where}{why}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
