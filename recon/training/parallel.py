"""Training by several processes, started by torchrun: each takes its share of every batch.

All processes draw the same batches with the same generator. So what is trained does not depend on
their number, up to rounding, and a checkpoint is that of any number of processes. Without torchrun
nothing here does anything.
"""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from recon.errors import ReconError
from recon.files import alone

T = TypeVar("T")
# Torchrun ends all processes when one dies. So they may wait long, for example for a validation.
PATIENCE = timedelta(days=2)
OVER_BATCH = nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d
GRACE = 5.0  # seconds in which torchrun sees that a process died, and ends the others


def launched() -> bool:
    """Whether torchrun started this process."""
    return dist.is_torchelastic_launched()


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Joins the processes that torchrun started beside this one.

    On GPUs, each process takes the one of its number.
    """
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    if device != "cpu":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank, world = next(dist.rendezvous("env://"))
    backend, found = "gloo" if device == "cpu" else "nccl", {"rank": rank, "world_size": world}
    dist.init_process_group(backend, store=store, timeout=PATIENCE, **found)
    try:
        yield
    except Exception:
        # Where another process died, this is but an echo, and torchrun ends this process meanwhile.
        time.sleep(GRACE)
        # Of an error that several have, one tells. Its end is that of the others.
        if store.add("failed", 1) > 1:
            threading.Event().wait()
        raise
    dist.destroy_process_group()


def _end_with(parent: int) -> None:
    """Ends this process when ``parent``, which would have ended it, was killed itself."""
    while os.getppid() == parent != 1:  # 1 has taken it over while this process started
        time.sleep(0.5)
    os._exit(1)


def number() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def first() -> bool:
    """Whether this process is the one that validates, logs and writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


@contextmanager
def in_turn(lock: Path) -> Iterator[None]:
    """Holds a lock for all processes that train together; those of another run wait for it."""
    with alone(lock) if first() else nullcontext():
        if number() > 1:
            dist.barrier()  # The first one has it now.
        yield


def after_first(work: Callable[[], T]) -> T:
    """What ``work`` returns in each process; the first one is done before the others begin."""
    if number() == 1:
        return work()
    done = work() if first() else None
    dist.barrier()
    return done if first() else work()


def share(count: int) -> slice:
    """The samples of a batch of ``count`` that are this process's; they may be none."""
    rank, processes = dist.get_rank(), dist.get_world_size()
    return slice(count * rank // processes, count * (rank + 1) // processes)


def mean(value: float) -> float:
    """The mean of the processes' values."""
    if number() == 1:
        return value
    device = "cpu" if dist.get_backend() == "gloo" else "cuda"
    total = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return float(total) / number()


class ShareOfLoss(nn.Module):
    """A loss as the forward pass of a module, of this process's share of a batch.

    The mean over the processes is the loss of the batch, and so are its gradients.
    """

    def __init__(self, model: nn.Module, loss: Callable[[nn.Module, Any], Float[Tensor, ""]]):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, batch: Any) -> Float[Tensor, ""]:
        """The loss of the share, weighted by its part of the batch."""
        rows = share(len(batch))
        part = rows.stop - rows.start
        # A process without samples computes a loss that does not count: all must take part.
        value = self.loss(self.model, batch[rows] if part else batch[:1])
        return value * (part * number() / len(batch))


def shared(
    model: nn.Module, loss: Callable[[nn.Module, Any], Float[Tensor, ""]]
) -> Callable[[Any], Float[Tensor, ""]]:
    """The loss of a batch, whose backward pass gives all processes the gradients of the batch.

    Raises `ReconError` for a network that normalises over a batch, of which no process sees all.
    """
    if number() == 1:
        return partial(loss, model)
    if any(isinstance(module, OVER_BATCH) for module in model.modules()):
        raise ReconError("the network normalises over the whole batch; set 'processes: 1'")
    # Strides along an axis of one element, as those of a 1×1 kernel, differ between processors
    # and mean nothing; torch warns of them all the same.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    return DistributedDataParallel(ShareOfLoss(model, loss), find_unused_parameters=True)
