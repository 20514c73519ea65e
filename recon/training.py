"""Training a 2D prior on random slices of all three planes of a set of volumes (paper A, section 5 and appendix A.1)."""

import copy
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Complex, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from recon.diffusion import DDPM, as_slices, planes
from recon.errors import ReconError
from recon.progress import track
from recon.resample import crop_kspace, sincs, triangles, trilinear
from recon.unet import UNet, UNetConfig

CHECK_SIGMAS = (0.05, 0.1, 0.2, 0.5, 1.0)  # noise levels at which validation denoising is reported


@dataclass(frozen=True)
class TrainingConfig:
    """Paper A: Adam at 1e-4, batch 4, EMA 0.999 per step, constant rate. The defaults suit a short run on two CPU cores."""

    steps: int = 6000
    batch: int = 8
    learning_rate: float = 5e-4
    decay: str = "cosine"  # "cosine" to zero, or "constant" as in the paper
    warmup: int = 100  # steps of linear rise
    ema: float = 0.999
    focus: float = 2.0  # exponent of the timestep distribution, see DDPM.loss; 1 is the paper's
    seed: int = 0
    check_every: int = 500  # steps between validation, log line and checkpoint
    factors: tuple[float, float] | None = None  # train on diverse voxel sizes: the range of the matrix factor, (0.1, 1) in paper A
    held_out: tuple[float, float] | None = None  # a part of that range in which no factor is drawn
    resampling: str = "kspace"  # how: as a scanner would measure fewer frequencies, or "trilinear" as in paper A
    network: UNetConfig = field(default_factory=UNetConfig)


class SliceSource:
    """Draws batches of slices: one plane at random, then slices of that plane from random volumes of one shape.

    Volumes are at unit variance over real and imaginary parts. Each slice gets a random global phase, since the phase
    of a scan is arbitrary. Slices that are almost empty (below 1 % of the mean energy) teach nothing and are left out.
    """

    def __init__(self, volumes: Sequence[Complex[Tensor, "x y z"]]):
        if not volumes:
            raise ReconError("no training volumes; check the dataset's training split")
        self.volumes = [v / torch.view_as_real(v).std() for v in volumes]
        self.entries: dict[tuple[int, int, int], list[tuple[int, int]]] = {}
        for number, volume in enumerate(self.volumes):
            for axis in planes(tuple(volume.shape)):
                energy = volume.abs().square().mean([a for a in range(3) if a != axis])
                kept = torch.nonzero(energy > 0.01 * energy.mean()).flatten().tolist()
                plane = tuple(n for a, n in enumerate(volume.shape) if a != axis)
                self.entries.setdefault((axis, *plane), []).extend((number, index) for index in kept)
        self.groups = list(self.entries)
        self.weights = torch.tensor([len(self.entries[g]) / self._axis_total(g[0]) for g in self.groups])

    def _axis_total(self, axis: int) -> int:
        return sum(len(entries) for group, entries in self.entries.items() if group[0] == axis)

    def batch(self, size: int, generator: torch.Generator) -> Float[Tensor, "n 2 h w"]:
        """``size`` slices of one plane and shape."""
        return self._draw(size, generator, lambda number, index, axis: self.volumes[number].select(axis, index))

    def _draw(self, size: int, generator: torch.Generator, cut: Callable[[int, int, int], Tensor]) -> Float[Tensor, "n 2 h w"]:
        """Slices of one group, each as ``cut(volume, index, axis)`` gives it, turned by a random phase."""
        group = self.groups[int(torch.multinomial(self.weights, 1, generator=generator))]
        entries = self.entries[group]
        picks = torch.randint(len(entries), (size,), generator=generator).tolist()
        turns = torch.polar(torch.ones(size), 2 * math.pi * torch.rand(size, generator=generator))
        slices = [cut(*entries[p], group[0]) * turn for p, turn in zip(picks, turns.tolist(), strict=True)]
        return torch.view_as_real(torch.stack(slices)).movedim(-1, 1).contiguous()


class DiverseSource(SliceSource):
    """Draws every batch at a voxel size of its own (paper A, section 4.2, approach 1): diverse-resolution training.

    The matrix factor is uniform in ``factors`` without ``held_out`` and drawn anew for every batch, whose slices so have one shape. The
    volume is resampled along all three axes with anti-aliasing, the field of view kept; only the slice that is needed is computed.
    "kspace" leaves the frequencies that remain as they are. "trilinear" damps them, by 0.4 at the highest, at every factor below 1, so
    that hardly any batch is as sharp as the volumes themselves.
    """

    def __init__(
        self,
        volumes: Sequence[Complex[Tensor, "x y z"]],
        factors: tuple[float, float],
        held_out: tuple[float, float] | None = None,
        resampling: str = "kspace",
    ):
        super().__init__(volumes)
        self.factors, self.held_out = factors, held_out or (factors[1], factors[1])
        self.weights_of, resample = (sincs, crop_kspace) if resampling == "kspace" else (triangles, trilinear)
        self.inside = [(v != 0).to(v.dtype) for v in self.volumes]  # references are zero where the coils see nothing
        self.grid = torch.linspace(*factors, 8).tolist()
        self.spreads = [[float(torch.view_as_real(resample(v, coarse_shape(v.shape, f))).std()) for f in self.grid] for v in self.volumes]

    def batch(self, size: int, generator: torch.Generator) -> Float[Tensor, "n 2 h w"]:
        """``size`` slices of one plane, shape and voxel size, at the unit variance of their resampled volume."""
        (low, high), (start, stop) = self.factors, self.held_out
        factor = float(torch.empty(()).uniform_(low, high - (stop - start), generator=generator))
        factor += (stop - start) * (factor >= start)  # uniform in what remains without the part held out
        return self._draw(size, generator, partial(self._slice, factor=factor))

    def _slice(self, number: int, index: int, axis: int, factor: float) -> Complex[Tensor, "h w"]:
        """The slice of the resampled volume that lies where slice ``index`` of the volume does."""
        volume = self.volumes[number]
        shape = coarse_shape(volume.shape, factor)
        place = int((index + 0.5) * shape[axis] / volume.shape[axis])

        def resampled(values: Tensor, weights_of: Callable[[int, int], Tensor]) -> Tensor:
            weights = [weights_of(n, m).to(values) for n, m in zip(volume.shape, shape, strict=True)]
            image = torch.tensordot(weights.pop(axis)[:, place], values, dims=([0], [axis]))
            return weights[0].T @ image @ weights[1]

        inside = resampled(self.inside[number], triangles).real > 0.5  # no ringing where a coarse reference would be zero
        return resampled(volume, self.weights_of) * inside / float(np.interp(factor, self.grid, self.spreads[number]))


def coarse_shape(shape: Sequence[int], factor: float) -> tuple[int, int, int]:
    """The matrix of the same field of view at ``factor`` times the voxels along each axis; axes of one voxel stay."""
    return tuple(max(2, round(n * factor)) if n > 1 else 1 for n in shape)


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then constant or cosine decay to zero."""
    rate = config.learning_rate * min(1.0, (step + 1) / max(1, config.warmup))
    return rate * (0.5 * (1 + math.cos(math.pi * step / config.steps)) if config.decay == "cosine" else 1.0)


@torch.no_grad()
def update_ema(average: UNet, network: UNet, step: int, rate: float) -> None:
    """Exponential moving average of the weights, once per step, with warm-up ``min(rate, (1 + n) / (10 + n))``."""
    keep = min(rate, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - keep)


@torch.no_grad()
def denoising_error(prior: DDPM, volumes: Sequence[Complex[Tensor, "x y z"]], slices: int = 24) -> dict[str, float]:
    """Mean squared error of one-step denoising, per noise level, over evenly spaced slices of all planes."""
    generator = torch.Generator().manual_seed(0)
    errors = {}
    for sigma in CHECK_SIGMAS:
        total, count = 0.0, 0
        for volume in volumes:
            volume = volume / torch.view_as_real(volume).std()
            for axis in planes(tuple(volume.shape)):
                every = max(1, volume.shape[axis] * 3 * len(volumes) // slices)
                clean = as_slices(volume, axis)[every // 2 :: every]
                noisy = clean + sigma * torch.randn(clean.shape, generator=generator)
                device = next(prior.parameters()).device
                total += float((prior.denoise(noisy.to(device), sigma).cpu() - clean).square().sum())
                count += clean.numel()
        errors[f"{sigma:g}"] = total / count
    return errors


def save_checkpoint(path: Path, step: int, network: UNet, average: UNet, optimizer: torch.optim.Adam, generator: torch.Generator) -> None:
    """Everything a killed run needs to go on bit for bit; safetensors, so no pickle is ever read."""
    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{k}": v for k, v in state.items()}
    tensors["generator"] = generator.get_state()
    part = path.with_suffix(".part")
    save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, part, metadata={"step": str(step)})
    os.replace(part, path)


def load_checkpoint(path: Path, network: UNet, average: UNet, optimizer: torch.optim.Adam, generator: torch.Generator) -> int:
    """Restores what `save_checkpoint` wrote; returns the number of steps done."""
    try:
        with safe_open(path, framework="pt") as file:
            step = int(file.metadata()["step"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
        average.load_state_dict({k.removeprefix("average."): v for k, v in tensors.items() if k.startswith("average.")})
    except (OSError, SafetensorError, RuntimeError, KeyError) as error:
        raise ReconError(f"{path}: the checkpoint does not fit this training configuration; delete it to start anew") from error
    state = optimizer.state_dict()
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, number, key = name.split(".")
            state["state"].setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict(state)
    generator.set_state(tensors["generator"])
    return step


def train(
    volumes: Sequence[Complex[Tensor, "x y z"]],
    validation: Sequence[Complex[Tensor, "x y z"]],
    config: TrainingConfig,
    checkpoint: str | Path,
    device: str = "cpu",
) -> tuple[DDPM, list[dict]]:
    """Trains a DDPM prior; returns the averaged model and the training log (one entry per check).

    ``checkpoint`` is resumed from where it exists and holds the run's state; its log stands beside it as ``.jsonl``.
    """
    checkpoint, log_file = Path(checkpoint), Path(checkpoint).with_suffix(".jsonl")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    generator = torch.Generator().manual_seed(config.seed)
    volumes = [v.to(device) for v in volumes]
    source = DiverseSource(volumes, config.factors, config.held_out, config.resampling) if config.factors else SliceSource(volumes)
    network = UNet(config.network).to(device)
    average = copy.deepcopy(network).requires_grad_(False)
    prior, averaged = DDPM(network), DDPM(average)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    start, log = 0, []
    if checkpoint.exists():
        start = load_checkpoint(checkpoint, network, average, optimizer, generator)
        lines = log_file.read_text().splitlines() if log_file.exists() else []
        log = [entry for entry in map(json.loads, lines) if entry["step"] <= start]
    begun, recent = time.monotonic(), []
    for step in track(range(start, config.steps), "training", total=config.steps, start=start):
        optimizer.param_groups[0]["lr"] = learning_rate(step, config)
        loss = prior.loss(source.batch(config.batch, generator).to(device), generator, config.focus)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        update_ema(average, network, step, config.ema)
        recent.append(float(loss.detach()))
        if (step + 1) % config.check_every == 0 or step + 1 == config.steps:
            seconds = time.monotonic() - begun
            mse = denoising_error(averaged, validation)
            log.append({"step": step + 1, "loss": sum(recent) / len(recent), "seconds": seconds, "mse": mse})
            recent, begun = [], time.monotonic()
            save_checkpoint(checkpoint, step + 1, network, average, optimizer, generator)
            log_file.write_text("".join(json.dumps(entry) + "\n" for entry in log))
            print(f"step {step + 1}: loss {log[-1]['loss']:.4f}, validation mse {mse}", flush=True)
    return averaged.eval(), log


def run_key(config: TrainingConfig, volumes: Sequence[str], code: str) -> str:
    """Names a training run by all its result depends on, so that a checkpoint is only ever resumed by the run it belongs to."""
    parts = json.dumps([asdict(config), list(volumes), code], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def provenance(config: TrainingConfig, log: list[dict], **data) -> dict:
    """What the header of shipped weights says of their making: settings, result, and ``data`` (dataset, subjects, voxel)."""
    return {"training": asdict(config), "seconds": sum(e["seconds"] for e in log), "validation_mse": log[-1]["mse"] if log else {}, **data}
