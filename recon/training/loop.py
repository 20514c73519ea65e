"""The training loop: Adam, an average of the weights, validation and checkpoints. It knows no kind
of network.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from recon.mri.prepared import Prepared
from recon.networks import trained
from recon.networks.trained import Training
from recon.progress import track
from recon.training import Source, batches
from recon.training.checkpoints import load_checkpoint, save_checkpoint


def learning_rate(step: int, settings: Training) -> float:
    """Linear warm-up, then constant or cosine decay to zero."""
    rate = settings.learning_rate * min(1.0, (step + 1) / max(1, settings.warmup))
    decay = (
        0.5 * (1 + math.cos(math.pi * step / settings.steps)) if settings.decay == "cosine" else 1.0
    )
    return rate * decay


def averaged(model: nn.Module, rate: float) -> AveragedModel:
    """An exponential moving average of the weights with warm-up: after step n it keeps ``min(rate,
    (1 + n) / (10 + n))``.

    It begins at the weights as they are, so that its own count is n + 1.
    """

    @torch.no_grad()
    def lerp(average: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor) -> None:
        keep = min(rate, int(count) / (9 + int(count)))
        torch._foreach_lerp_(average, weights, 1 - keep)

    average = AveragedModel(model, multi_avg_fn=lerp).requires_grad_(False)
    average.update_parameters(model)  # the first call copies
    return average


def train(
    model: nn.Module,
    loss: Callable[[nn.Module, Any, torch.Generator], Tensor],
    source: Source,
    settings: Training,
    checkpoint: str | Path,
    check: Callable[[nn.Module], dict[str, float]] = lambda model: {},
) -> tuple[nn.Module, list[dict]]:
    """Trains ``model``; returns its average and the log, one entry per check.

    ``checkpoint`` is resumed from where it exists, and holds the state of the run; its log stands
    beside it as ``.jsonl``.
    """
    checkpoint, log_file = Path(checkpoint), Path(checkpoint).with_suffix(".jsonl")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(settings.seed)
    average = averaged(model, settings.ema)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    start, log = 0, []
    if checkpoint.exists():
        start = load_checkpoint(checkpoint, model, average, optimizer, generator)
        lines = log_file.read_text().splitlines() if log_file.exists() else []
        log = [entry for entry in map(json.loads, lines) if entry["step"] <= start]
    begun, recent = time.monotonic(), []
    for step in track(range(start, settings.steps), "training", total=settings.steps, start=start):
        optimizer.param_groups[0]["lr"] = learning_rate(step, settings)
        value = loss(model, source.batch(settings.batch, generator), generator)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        average.update_parameters(model)
        recent.append(float(value.detach()))
        if (step + 1) % settings.check_every == 0 or step + 1 == settings.steps:
            seconds = time.monotonic() - begun
            errors = check(average.module)
            log.append(
                {
                    "step": step + 1,
                    "loss": sum(recent) / len(recent),
                    "seconds": seconds,
                    "mse": errors,
                }
            )
            recent, begun = [], time.monotonic()
            save_checkpoint(checkpoint, step + 1, model, average, optimizer, generator)
            log_file.write_text("".join(json.dumps(entry) + "\n" for entry in log))
            print(
                f"step {step + 1}: loss {log[-1]['loss']:.4f}, validation mse {errors}", flush=True
            )
    return average.module.eval(), log


def train_network(
    settings: Training,
    volumes: Sequence[Prepared],
    validation: Sequence[Prepared],
    checkpoint: str | Path,
    device: str = "cpu",
) -> tuple[nn.Module, list[dict]]:
    """Trains the network that a configuration describes on prepared volumes; see `train`."""
    kind = trained.lookup(settings.kind)
    torch.manual_seed(settings.seed)  # of the first weights
    source = batches(kind.batches).source(volumes, settings, device)
    model = trained.build(settings).to(device)
    loss = partial(_loss_of, kind, settings)
    return train(
        model, loss, source, settings, checkpoint, lambda model: kind.check(model, validation)
    )


def _loss_of(
    kind: trained.Kind, settings: Training, model: nn.Module, batch: Any, generator: torch.Generator
) -> Tensor:
    return kind.loss(model, batch, generator, settings)


def run_key(settings: Training, volumes: Sequence[str], code: str) -> str:
    """Names a training run by all its result depends on, so that a checkpoint is only ever resumed
    by the run it belongs to.
    """
    parts = json.dumps([settings.recipe(), list(volumes), code], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def provenance(settings: Training, log: list[dict], **data: Any) -> dict:
    """What the header of the weights says of their making: settings, result, and ``data`` (dataset,
    subjects, voxel).
    """
    seconds, errors = sum(entry["seconds"] for entry in log), log[-1]["mse"] if log else {}
    return {"training": settings.recipe(), "seconds": seconds, "validation_mse": errors, **data}
