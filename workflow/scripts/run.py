"""Runs Snakemake with a lock that dies with its process, so that a killed run can be called again as it was.

Snakemake's own lock outlives a kill and then refuses every later run until it is removed by hand.
"""

import fcntl
import subprocess
import sys

from recon.config import ROOT


def main(arguments: list[str]) -> int:
    """Passes ``arguments`` to Snakemake, which inherits the lock; refuses where another run is at work in this folder."""
    results = ROOT / "results"
    results.mkdir(exist_ok=True)
    with (results / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Error: another run is at work in {ROOT}; wait for it or stop it", file=sys.stderr)
            return 2
        return subprocess.run([sys.executable, "-m", "snakemake", "--nolock", *arguments], cwd=ROOT, pass_fds=[lock.fileno()]).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
