"""The training loop: Adam, an average of the weights, validation and checkpoints.

It knows no kind of network.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from recon.errors import ReconError
from recon.files import write_text
from recon.mri.prepared import Prepared
from recon.networks import trained
from recon.networks.trained import Training
from recon.progress import track
from recon.training import batches, parallel
from recon.training.checkpoints import resume, save_checkpoint
from recon.versions import versions


def learning_rate(step: int, settings: Training) -> float:
    """Linear warm-up, then constant or cosine decay to zero."""
    rate = settings.learning_rate * min(1.0, (step + 1) / max(1, settings.warmup))
    if settings.decay == "constant":
        return rate
    decay = 0.5 * (1 + math.cos(math.pi * step / settings.steps))
    return rate * decay


def averaged(model: nn.Module, rate: float) -> AveragedModel:
    """An exponential moving average of the weights, with warm-up.

    After step n it keeps the share ``min(rate, (1 + n) / (10 + n))`` of itself. It begins at the
    weights as they are, so that its own count is n + 1.
    """

    @torch.no_grad()
    def lerp(average: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor) -> None:
        keep = min(rate, int(count) / (9 + int(count)))
        torch._foreach_lerp_(average, weights, 1 - keep)

    average = AveragedModel(model, multi_avg_fn=lerp).requires_grad_(False)
    average.update_parameters(model)  # The first call copies.
    return average


def train(
    model: nn.Module,
    loss: Callable[[nn.Module, Any], Float[Tensor, ""]],
    draw: Callable[[torch.Generator], Any],
    settings: Training,
    checkpoint: str | Path,
    check: Callable[[nn.Module], dict[str, float]] = lambda model: {},
) -> tuple[nn.Module, list[dict]]:
    """Trains ``model``; returns its average and the log, which has one entry per check.

    ``draw`` gives a batch, and ``loss`` is the mean over its samples. ``checkpoint`` holds the
    state of the run. Where it exists, training resumes from it, or from the one before it (see
    `checkpoints.resume`). The log stands beside it as ``.jsonl``. Of several processes (see
    `recon.training.parallel`) the first one alone has a log, and writes.
    """
    checkpoint, log_file = Path(checkpoint), Path(checkpoint).with_suffix(".jsonl")
    generator = torch.Generator().manual_seed(settings.seed)
    average = averaged(model, settings.ema)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    state = model, average, optimizer, generator
    start = parallel.after_first(lambda: resume(checkpoint, *state))  # It may mend the files.
    log = read_log(log_file, start)
    begun, recent = time.monotonic(), []
    loss_of, steps = parallel.shared(model, loss), range(start, settings.steps)
    if parallel.first():
        steps = track(steps, "training", total=settings.steps, start=start)
    for step in steps:
        optimizer.param_groups[0]["lr"] = learning_rate(step, settings)
        value = loss_of(draw(generator))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        average.update_parameters(model)
        recent.append(float(value.detach()))
        if (step + 1) % settings.check_every == 0 or step + 1 == settings.steps:
            seconds, mean = time.monotonic() - begun, parallel.mean(sum(recent) / len(recent))
            recent = []
            if parallel.first():
                errors = check(average.module)
                log.append({"step": step + 1, "loss": mean, "seconds": seconds, "mse": errors})
                begun = time.monotonic()
                write_text(log_file, "".join(json.dumps(entry) + "\n" for entry in log))
                save_checkpoint(checkpoint, step + 1, *state)
                print(f"step {step + 1}: loss {mean:.4f}, validation mse {errors}", flush=True)
    return average.module.eval(), log


def read_log(path: Path, steps: int) -> list[dict]:
    """The log of a run up to ``steps``; empty where there is none."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [entry for entry in map(json.loads, lines) if entry["step"] <= steps]


def train_network(
    settings: Training,
    volumes: Sequence[Prepared],
    validation: Sequence[Prepared],
    checkpoint: str | Path,
    device: str = "cpu",
    first: nn.Module | None = None,
) -> tuple[nn.Module, list[dict]]:
    """Trains the network that a configuration describes on prepared volumes; see `train`.

    It begins with the weights of ``first``, or with random ones.
    """
    kind = trained.lookup(settings.kind)
    torch.manual_seed(settings.seed)  # The first weights are drawn from torch's own generator.
    source = batches(kind.batches).source(volumes, settings, device)
    model = begun_with(trained.build(settings), first).to(device)
    held = batches(kind.batches).validation(validation, settings)

    def draw(generator: torch.Generator) -> Any:
        return kind.draw(source.batch(settings.batch, generator), generator, settings)

    def loss(model: nn.Module, batch: Any) -> Float[Tensor, ""]:
        return kind.loss(model, batch, settings)

    def check(model: nn.Module) -> dict[str, float]:
        return kind.check(model, held, settings)

    return train(model, loss, draw, settings, checkpoint, check)


def begun_with(model: nn.Module, first: nn.Module | None) -> nn.Module:
    """The model with the weights of ``first``, which must have its architecture.

    It may lack layers that the network names as ``added``. They start as the identity.
    """
    if first is None:
        return model
    added = getattr(model.network, "added", None)
    try:
        missing, unknown = model.load_state_dict(first.state_dict(), strict=False)
        if unknown or any(added not in name.split(".") for name in missing):
            raise RuntimeError
    except RuntimeError as error:
        other = "the weights that training starts from are those of another architecture"
        raise ReconError(f"{other}; correct starts_from or network") from error
    return model


def run_key(settings: Training, volumes: Sequence[str], code: str, first: str | None = None) -> str:
    """Names a training run by all that its result depends on.

    So a checkpoint is only ever resumed by the run that it belongs to. ``volumes`` are the hashes
    of the training volumes, and ``code`` is the hash of the code.
    """
    parts = json.dumps([settings.recipe(), list(volumes), code, first], sort_keys=True)
    return hashlib.sha256(parts.encode()).hexdigest()[:12]


def made_by(settings: Training, log: list[dict], **data: Any) -> dict:
    """What the header of the weights says of their making: settings with their seed, time,
    validation errors, versions, data.

    ``data`` are further entries: the dataset, its subjects and its voxel size.
    """
    seconds = sum(entry["seconds"] for entry in log)
    errors = log[-1]["mse"] if log else {}
    made = {"training": settings.recipe(), "seconds": seconds, "validation_mse": errors}
    return made | {"packages": versions(), **data}
