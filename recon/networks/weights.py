"""Weights on disk: compact safetensors whose header says what they are."""

import json
from pathlib import Path

import torch
from jaxtyping import Shaped
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from recon.errors import ReconError
from recon.files import write_bytes
from recon.networks import trained
from recon.networks.pixels import pixels
from recon.networks.trained import AnyTraining, Training

Settings = TypeAdapter(AnyTraining)


def pack(name: str, weight: Shaped[Tensor, "*shape"]) -> dict[str, Tensor]:
    """A tensor in its stored form, by name.

    Matrices and kernels become int8 with one scale per output channel, vectors half precision.
    This halves the file. The rounding error is about 0.5 % of a channel's spread, far below the
    error of any denoiser.
    """
    if not weight.is_floating_point():  # a count, as batch norm keeps it
        return {name: weight}
    if weight.ndim < 2:
        return {name: weight.half()}
    scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True).clamp(min=1e-8) / 127
    return {name: (weight / scale).round().to(torch.int8), f"{name}.scale": scale.flatten()}


def unpack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inverse of `pack`, for all tensors of a file."""
    scales = {name: tensors[f"{name}.scale"] for name in tensors if f"{name}.scale" in tensors}
    plain = {name: t.float() for name, t in tensors.items() if not name.endswith(".scale")}
    return {
        name: t * scales[name].view(-1, *[1] * (t.ndim - 1)) if name in scales else t
        for name, t in plain.items()
    }


def save_weights(path: str | Path, settings: Training, model: nn.Module, provenance: dict) -> None:
    """Writes compact weights (see `pack`). The header says kind, architecture, settings, origin."""
    packed = [pack(name, weight) for name, weight in model.state_dict().items()]
    tensors = {name: t.contiguous().cpu() for part in packed for name, t in part.items()}
    header = {
        "kind": settings.kind,
        "architecture": settings.network.kind,
        "settings": json.dumps(settings.recipe()),
        "provenance": json.dumps(provenance),
    }
    write_bytes(Path(path), ordered(save(tensors, metadata=header)))


def ordered(content: bytes) -> bytes:
    """A file of safetensors with its header in order.

    The library writes it in a random one. So the same weights would have another hash each time,
    and what was computed with them would be computed again.
    """
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def load_weights(path: str | Path) -> tuple[nn.Module, dict]:
    """Reads what `save_weights` wrote: a network in evaluation mode, and its provenance.

    Raises `ReconError` for a file that is absent, damaged or not one of ours.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = unpack({name: file.get_tensor(name) for name in file.keys()})
        if "kind" not in header:  # a file of the first version: the network of a DDPM
            tensors = {f"network.{name}": tensor for name, tensor in tensors.items()}
            header["settings"] = json.dumps({"network": json.loads(header["architecture"])})
        settings = Settings.validate_python(json.loads(header["settings"]))
        model = trained.build(settings)
        model.load_state_dict(tensors)
        model.kind = settings.kind
    except (OSError, SafetensorError) as error:
        what = f"no trained network can be read here ({str(error).splitlines()[0]})"
        raise ReconError(f"{path}: {what}; train it or give another path") from error
    except (ReconError, KeyError, TypeError, ValueError, RuntimeError) as error:
        what = "weights and header do not describe one of our networks"
        raise ReconError(f"{path}: {what}; train it again with this version") from error
    try:
        provenance = json.loads(header.get("provenance", "{}"))
    except ValueError as error:
        what = "the provenance in the header is not valid JSON"
        raise ReconError(f"{path}: {what}; train it again with this version") from error
    recipe = provenance.get("training") or settings.recipe()
    model.pixels = pixels(provenance.get("data") or {}, recipe)
    return model.eval().requires_grad_(False), provenance
