"""The GPUs of this machine, which jobs share: each has a lock that dies with the job that holds it.

Inside a SLURM allocation its jobs share what the allocation was given.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import Timeout

from recon.errors import ReconError
from recon.files import HOST, alone, lock

POLL_S = 0.5


def visible() -> list[str]:
    """The GPUs that this process may use, as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch  # It starts slowly, and whoever knows its GPUs does without it.

    count = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",") if given is not None else map(str, range(count))
    return [name.strip() for name in names][:count]


def asked(device: str, count: int) -> list[str]:
    """The visible GPUs among which a job has a choice: all, or the one that ``device`` names.

    Raises `ReconError` where there are too few.
    """
    names, (_, _, number) = visible(), device.partition(":")
    if len(names) < (int(number) + 1 if number else count):
        wanted = f"device is {device}" + (f" and processes is {count}" if count > 1 else "")
        seen = f"{len(names) or 'no'} GPU{'s' * (len(names) > 1)}"
        smaller = "'device: cuda'" if number else "'processes: 1'"
        cure = smaller if names else "'device: cpu'"
        raise ReconError(f"{wanted}, but {seen} can be seen here; set {cure}")
    return [names[int(number)]] if number else names


@contextmanager
def taken(names: Sequence[str], count: int, folder: Path) -> Iterator[list[str]]:
    """Holds ``count`` of the GPUs ``names`` for the block; waits until so many are free.

    Locks lie in ``folder``, for each machine and allocation their own. One job at a time collects,
    and the next ones stand behind it. So no two jobs wait for what the other holds.
    """
    scope = f"{HOST}-{os.environ.get('SLURM_JOB_ID', 'local')}"
    locks = {name: folder / f"{scope}-{re.sub('[^a-zA-Z0-9-]', '-', name)}.lock" for name in names}
    mine: list[str] = []
    with ExitStack() as held:
        with alone(folder / f"{scope}.queue"):
            while len(mine) < count:
                name = next((n for n in names if n not in mine and _free(locks[n], held)), None)
                if name is None:
                    time.sleep(POLL_S)
                else:
                    mine.append(name)
        yield mine


def _free(path: Path, held: ExitStack) -> bool:
    """Whether no other job has a lock; it is then held as long as ``held`` lasts."""
    try:
        held.enter_context(lock(path, timeout=0))
    except Timeout:
        return False
    return True


@contextmanager
def lent(device: str, count: int, folder: Path) -> Iterator[None]:
    """GPUs for a job of this process and its children, which see no others; none on the CPU.

    A device with a number, such as "cuda:1", is held under that number, and all stay visible.
    Raises `ReconError` where there are too few.
    """
    if device == "cpu":
        yield
        return
    with taken(asked(device, count), count, folder) as mine:
        if device == "cuda":
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(mine)
        yield
