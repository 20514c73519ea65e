"""All that a killed training needs to go on, bit for bit.

Checkpoints are safetensors, so that no pickle is ever read.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from recon.errors import ReconError
from recon.files import whole


def save_checkpoint(
    path: Path,
    step: int,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    """Writes the state of a training after ``step`` steps."""
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{k}": v for k, v in state.items()}
    tensors["generator"] = generator.get_state()
    stored = {k: v.contiguous().cpu() for k, v in tensors.items()}
    with whole(path) as part:
        save_file(stored, part, metadata={"step": str(step)})


def load_checkpoint(
    path: Path,
    model: nn.Module,
    average: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> int:
    """Restores what `save_checkpoint` wrote, in place; returns the number of steps done.

    Raises `ReconError` for a file that is damaged or belongs to another configuration.
    """
    try:
        with safe_open(path, framework="pt") as file:
            step = int(file.metadata()["step"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        model.load_state_dict(_below("model.", tensors))
        average.load_state_dict(_below("average.", tensors))
        state = optimizer.state_dict()
        for name, tensor in _below("optimizer.", tensors).items():
            number, _, key = name.partition(".")
            state["state"].setdefault(int(number), {})[key] = tensor
        optimizer.load_state_dict(state)
        generator.set_state(tensors["generator"])
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        wrong = "the checkpoint does not fit this training configuration"
        raise ReconError(f"{path}: {wrong}; delete it to start anew") from error
    return step


def _below(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose names start with ``prefix``, under names without it."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors[name] for name in names}
