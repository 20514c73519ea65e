"""One step in several processes: torchrun starts them, and ends them all when one dies."""

import logging
import os
import signal
import sys


def launch(count: int, *command: str) -> int:
    """Runs ``python -m`` with ``command`` in ``count`` processes; returns the exit status.

    A process that fails says why. Of one that was killed, this says it.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    # Torchrun tells a failure in thirty lines, and each process that it looked for idle parameters.
    logging.disable()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        torchrun(["--standalone", f"--nproc-per-node={count}", "-m", *command])
    except ChildFailedError as error:
        # Those that torchrun ended itself are not the cause.
        failed = error.failures.items()
        died = [pair for pair in failed if pair[1].exitcode != -signal.SIGTERM]
        rank, cause = next(iter(died or failed))
        if cause.exitcode > 0:
            return cause.exitcode
        return ended(f"process {rank + 1} of {count} was", -cause.exitcode)
    except SignalException as error:
        return ended("it was", error.sigval)
    return 0


def ended(what: str, by: int) -> int:
    """Says that a signal ended the training; the exit status."""
    name = signal.Signals(by).name
    goes_on = "the next call goes on from its last checkpoint"
    print(f"Error: the training ended: {what} killed by {name}; {goes_on}", file=sys.stderr)
    return 128 + by
