"""Cases: one volume, mask, method and set of parameters; what a case costs and scores."""

import ctypes
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import torch
from jaxtyping import Float
from torch import Tensor

from recon import methods
from recon.files import write_bytes
from recon.methods.common import Callback, ignore
from recon.mri import metrics
from recon.mri.prepared import Prepared
from recon.mri.problem import Problem
from recon.priors import Prior, Wrapped


@dataclass(frozen=True)
class Case:
    """What identifies one reconstruction."""

    dataset: str
    subject: str
    acceleration: float
    method: str
    settings: dict
    # By the argument of the method: the name of a network in the configuration.
    networks: dict[str, str] = field(default_factory=dict)


class Counted(Wrapped):
    """A prior that counts the slices it denoises: the cost by which methods are compared."""

    def __init__(self, prior: Prior):
        super().__init__(prior)
        self.slices = 0

    def denoise(
        self, x: Float[Tensor, "n 2 h w"], sigma: float | Float[Tensor, "n"]
    ) -> Float[Tensor, "n 2 h w"]:
        """What the prior answers."""
        self.slices += len(x)
        return self.prior.denoise(x, sigma)


def magnitude_of(
    problem: Problem,
    method: str,
    networks: dict[str, Any],
    settings: dict,
    callback: Callback = ignore,
) -> Float[Tensor, "x y z"]:
    """The magnitude that a method reconstructs, in the units of the scan."""
    volume = methods.reconstruct(problem, method, networks, callback, **settings)
    return problem.unscale(volume).abs().cpu()


def scores_of(magnitude: Float[Tensor, "x y z"], scan: Prepared) -> dict[str, float]:
    """All metrics against the target of the scan, and two more PSNRs.

    ``psnr`` and ``nrmse`` look inside the object. ``psnr_volume`` counts the background as well.
    ``psnr_reference`` compares with the reference, whose noise is that of the data.
    """
    target = scan.target.abs()
    scores = metrics.all_metrics(magnitude, target, scan.support)
    scores["psnr_volume"] = metrics.psnr(magnitude, target)
    scores["psnr_reference"] = metrics.psnr(magnitude, scan.reference.abs(), scan.support)
    return scores


def psnr_of(magnitude: Float[Tensor, "x y z"], scan: Prepared) -> float:
    """The score by which tuning chooses, in dB: ``psnr`` of `scores_of`."""
    return metrics.psnr(magnitude, scan.target.abs(), scan.support)


class Stopwatch:
    """Wall time and peak memory of a block, on the GPU where it runs there, else of the process."""

    def __init__(self, device: str):
        self.device = device

    def __enter__(self):
        if self.device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
        elif Path("/proc/self/clear_refs").exists():
            give_back()
            Path("/proc/self/clear_refs").write_text("5")  # resets the process's high-water mark
        self.begun = time.perf_counter()
        return self

    def __exit__(self, *_):
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
            self.megabytes = torch.cuda.max_memory_allocated() / 1e6
        else:
            status = Path("/proc/self/status")
            text = status.read_text() if status.exists() else ""
            found = re.search(r"VmHWM:\s+(\d+) kB", text)
            self.megabytes = int(found[1]) / 1e3 if found else float("nan")
        self.seconds = time.perf_counter() - self.begun


def give_back() -> None:
    """Returns freed memory to the system, so that a case is not charged with those before it."""
    with suppress(AttributeError, OSError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


def write_magnitude(path: Path, magnitude: Float[Tensor, "x y z"]) -> None:
    """Keeps a reconstruction exactly as it is scored."""
    buffer = BytesIO()  # HDF5 dies of a disk that refuses; see `recon.files.reserve`
    with h5py.File(buffer, "w") as file:
        file.create_dataset("magnitude", data=magnitude.numpy(), compression="lzf", shuffle=True)
    write_bytes(path, buffer.getvalue())


def read_magnitude(path: Path) -> Float[Tensor, "x y z"]:
    """What `write_magnitude` kept."""
    with h5py.File(path) as file:
        return torch.from_numpy(file["magnitude"][()])
