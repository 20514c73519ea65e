"""Runs Snakemake under a lock that dies with its process, so that a killed run can be called again.

Snakemake's own lock outlives a kill and then refuses every later run until it is removed by hand.
Jobs of a cluster outlive the run that submitted them too: while some are left, a run is refused.
"""

import os
import shutil
import subprocess
import sys
import threading
import warnings
from pathlib import Path

from filelock import Timeout

from recon.errors import ReconError
from recon.files import lock, nobody_at, recall, refusals, sweep
from recon.schema import ROOT
from workflow.scripts.step import AT_WORK

# glibc otherwise returns the memory of every convolution and faults it in anew: 3 to 8 % of a
# reconstruction.
KEEP_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}


def main(arguments: list[str]) -> int:
    """Passes ``arguments`` to Snakemake; refuses where another run is at work in this folder.

    Snakemake runs in this process, which holds the lock; jobs that it sends to a cluster do not ask
    for it. Before that, partial files of killed runs are deleted, and files that a clock has dated
    ahead are dated to now: Snakemake takes the younger file for the newer one.
    """
    results, figures = ROOT / "results", ROOT / "figures"
    try:
        with refusals(results):
            results.mkdir(exist_ok=True)
            held = lock(results / ".lock", timeout=0).acquire()
        with held:
            if not nobody_at(results / AT_WORK):
                left = f"steps of an earlier run are still at work in {ROOT}"
                return _refused(f"{left}; wait for them or stop them")
            if jobs := " ".join(_left_at_the_cluster(_submits(arguments))):
                left = f"jobs of an earlier run are still at work in {ROOT}"
                return _refused(f"{left}; wait for them, or stop them: scancel {jobs}")
            for folder in (results, figures):
                sweep(folder)
            # Downloads have hashes or stamps of their own, which follow their dates.
            shipped = [ROOT / "data" / name for name in ("priors", "tuning")]
            recall(results, figures, ROOT / "notebooks", *shipped)
            os.chdir(ROOT)
            os.environ.update({k: v for k, v in KEEP_MEMORY.items() if k not in os.environ})
            return _snakemake(["--nolock", *arguments])
    except Timeout:
        return _refused(f"another run is at work in {ROOT}; wait for it or stop it")
    except ReconError as error:
        return _refused(str(error))


def _refused(why: str) -> int:
    print(f"Error: {why}", file=sys.stderr)
    return 2


def _submits(arguments: list[str]) -> bool:
    """Whether Snakemake is asked to send jobs to a SLURM cluster."""
    dry = {"-n", "--dry-run", "--dryrun"} & set(arguments)
    return not dry and any("slurm" in argument for argument in arguments)


def _left_at_the_cluster(used: bool) -> list[str]:
    """The SLURM jobs that an earlier run submitted from this folder, and that have not ended.

    Where SLURM does not answer there are none, and `ReconError` is raised where it is ``used``.
    """
    if shutil.which("squeue") is None:
        return []
    command = ["squeue", "--me", "--noheader", "--format=%i|%j|%Z"]
    asked = subprocess.run(command, capture_output=True, text=True)
    if asked.returncode and used:
        why = " ".join(asked.stderr.split())
        raise ReconError(f"squeue does not say which jobs are left ({why}); call again later")
    jobs = [line.split("|", 2) for line in asked.stdout.splitlines()]
    # The profile's slurm-jobname-prefix
    return [i for i, name, folder in jobs if name.startswith("recon_") and Path(folder) == ROOT]


def one_timer_at_a_time(scheduler: type) -> None:
    """Lets Snakemake's scheduler look for new jobs once a second, and not once for every past job.

    Snakemake 9.27 starts such a timer whenever it looks, so that each job that ends leaves one more
    behind. After 83 of 149 jobs this took 14 % of a core, and without it 1 %.
    """
    waiting = threading.Event()

    def look_again(self, delay: float) -> None:
        def release() -> None:
            waiting.clear()  # first, as the scheduler may ask for the next one at once
            self._open_jobs.release()

        if not waiting.is_set():
            waiting.set()
            threading.Timer(delay, release).start()

    scheduler._schedule_reevalutation = look_again


def _snakemake(arguments: list[str]) -> int:
    """Snakemake's own command line; its exit status."""
    from snakemake.cli import main as snakemake
    from snakemake.scheduling.job_scheduler import JobScheduler

    one_timer_at_a_time(JobScheduler)
    try:
        snakemake(arguments)
    except SystemExit as ended:
        # Snakemake's folder for temporary files says so when it is deleted at the end.
        warnings.simplefilter("ignore", ResourceWarning)
        if isinstance(ended.code, str):  # the one line of a refused configuration
            print(ended.code, file=sys.stderr)
            return 1
        return int(ended.code or 0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
