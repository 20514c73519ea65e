"""Runs Snakemake with a lock that dies with its process, so that a killed run can be called again
as it was.

Snakemake's own lock outlives a kill and then refuses every later run until it is removed by hand.
"""

import fcntl
import os
import subprocess
import sys

from recon.schema import ROOT

# glibc otherwise gives the memory of every convolution back and faults it in anew: 3 to 8 % of a
# reconstruction.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}


def main(arguments: list[str]) -> int:
    """Passes ``arguments`` to Snakemake, which inherits the lock; refuses where another run is at
    work in this folder.
    """
    results = ROOT / "results"
    results.mkdir(exist_ok=True)
    with (results / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"Error: another run is at work in {ROOT}; wait for it or stop it", file=sys.stderr
            )
            return 2
        command = [sys.executable, "-m", "snakemake", "--nolock", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=KEEP_MEMORY | os.environ, pass_fds=[lock.fileno()]
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
