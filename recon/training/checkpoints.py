"""All that a killed training needs to go on, bit for bit.

Checkpoints are safetensors, so that no pickle is ever read. The last two are kept. A header says
which run a checkpoint belongs to, and holds a hash of the content. So one that is cut short, has a
flipped bit or came from elsewhere is never trained on: `resume` takes the one before it.
"""

import hashlib
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from recon.errors import ReconError
from recon.files import whole
from recon.progress import note


def earlier(path: Path) -> Path:
    """Where the checkpoint before ``path`` lies."""
    return path.with_name(f"{path.name}.earlier")


def save_checkpoint(
    path: Path,
    step: int,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    """Writes the state of a training after ``step`` steps; the one before it is kept beside it."""
    tensors = _weights(model, average)
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{k}": v for k, v in state.items()}
    tensors["generator"] = generator.get_state()
    stored = {k: v.contiguous().cpu() for k, v in tensors.items()}
    about = {"run": path.stem, "step": str(step)}
    with whole(path) as part:
        save_file(stored, part, metadata=about | {"hash": _hash(about, stored)})
        if path.exists():
            os.replace(path, earlier(path))


def resume(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> int:
    """Restores the last whole checkpoint, in place; returns its number of steps, 0 without one.

    A damaged one is said, and the one before it takes its place. Where both are damaged, training
    starts anew: they hold nothing that refusing could save. Raises `ReconError` for one that is
    there and cannot be read, since that may pass.
    """
    damaged = False
    for found in (path, earlier(path)):
        if not found.exists():
            continue
        try:
            step, tensors = _read(found, path.stem, model, average)
        except ValueError as why:
            note(f"{found}: damaged checkpoint, not used ({why})")
            damaged = True
            continue
        _restore(tensors, model, average, optimizer, generator)
        if found != path:  # Else the next one that is saved would put the damaged one in its place.
            os.replace(found, path)
            note(f"training goes on from the checkpoint before it, at step {step}")
        return step
    if damaged:
        note("no checkpoint is left; training starts anew")
    return 0


def _read(
    path: Path, run: str, model: nn.Module, average: nn.Module
) -> tuple[int, dict[str, torch.Tensor]]:
    """The steps and tensors of a checkpoint; raises ``ValueError`` for one that is not of ``run``
    or not as it was written.
    """
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        wrong = f"cannot be read ({error.strerror})"
        raise ReconError(f"{path}: {wrong}; mend that, or delete it to start anew") from error
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise ValueError("it is no whole file of tensors") from error
    stated = about.pop("hash", None)
    if about.get("run") != run:
        raise ValueError("it belongs to another run")
    if stated != _hash(about, tensors):
        raise ValueError("its content is not what was written")
    shapes = {name: tensor.shape for name, tensor in _weights(model, average).items()}
    if not all(name in tensors and tensors[name].shape == shapes[name] for name in shapes):
        raise ValueError("it belongs to another network")
    return int(about["step"]), tensors


def _restore(
    tensors: dict[str, torch.Tensor],
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    """Puts what `save_checkpoint` wrote in place."""
    model.load_state_dict(_below("model.", tensors))
    average.load_state_dict(_below("average.", tensors))
    state = optimizer.state_dict()
    for name, tensor in _below("optimizer.", tensors).items():
        number, _, key = name.partition(".")
        state["state"].setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict(state)
    generator.set_state(tensors["generator"])


def _weights(model: nn.Module, average: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of the model and of its average, under the names of a checkpoint."""
    parts = {"model": model, "average": average}
    return {f"{name}.{k}": v for name, part in parts.items() for k, v in part.state_dict().items()}


def _hash(about: dict[str, str], tensors: dict[str, torch.Tensor]) -> str:
    """Hash of all that a checkpoint holds."""
    digest = hashlib.sha256(repr(sorted(about.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names start with ``prefix``, under names without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors[name] for name in names}
