"""What `test_parallel` trains, by one process or, under torchrun, by several.

Arguments: ``DEVICE FOLDER RUN...``.
"""

import os
import signal
import sys
from pathlib import Path

import torch

from recon.errors import ReconError
from recon.mri.prepared import Prepared
from recon.networks import trained
from recon.networks.unet import UNetConfig
from recon.networks.weights import save_weights
from recon.priors import denoiser
from recon.priors.ddpm import DDPMTraining
from recon.training import loop, parallel
from recon.training.loop import train_network

SETTINGS = DDPMTraining(
    steps=8,
    batch=5,
    check_every=4,
    learning_rate=1e-3,
    warmup=2,
    network=UNetConfig(channels=8, multipliers=(1, 2), attention=(1,), patch=2),
)
RUNS = {
    "odd": SETTINGS,  # no two processes have as many samples
    "few": SETTINGS.model_copy(update={"batch": 1, "steps": 4}),  # fewer than processes
    "begun": SETTINGS,  # goes on from a checkpoint
    "idle": SETTINGS,  # has a parameter that nothing uses
    "dies": SETTINGS,
    "long": SETTINGS.model_copy(update={"steps": 10**6}),
}


def volumes(depth: int = 10) -> list[Prepared]:
    """Two smooth volumes without k-space."""
    generator = torch.Generator().manual_seed(0)
    about = {"noise": 0.0, "voxel": (1.0, 1.0, 1.0), "name": "", "origin": "phantom", "hash": ""}
    coarse = torch.randn(2, 2, 2, min(2, depth), dtype=torch.complex64, generator=generator)
    found = [torch.fft.ifftn(values, s=(12, 16, depth)) for values in coarse]
    return [Prepared(None, v[0].abs() >= 0, None, v, v.abs() > 0, **about) for v in found]


def run(folder: Path, name: str, device: str = "cpu") -> list[dict]:
    """Trains; the first process writes the weights. Returns the log."""
    denoiser.multiplies_bf16 = lambda device: False  # bf16 would round the gradients of shares
    torch.set_num_threads(1)
    data, settings = (volumes(), volumes(depth=1)), RUNS[name]
    model, log = train_network(settings, *data, folder / f"{name}.ckpt", device)
    if parallel.first():
        save_weights(folder / f"{name}.safetensors", settings, model, {})
    return log


def die_at(step: int) -> None:
    """The last process kills itself at a step."""
    rate = loop.learning_rate

    def killing(now: int, settings: DDPMTraining) -> float:
        if now == step and not parallel.first():
            os.kill(os.getpid(), signal.SIGKILL)
        return rate(now, settings)

    loop.learning_rate = killing


def add_idle() -> None:
    """Models get a parameter that nothing uses."""
    build = trained.build

    def built(settings: DDPMTraining) -> torch.nn.Module:
        model = build(settings)
        model.idle = torch.nn.Parameter(torch.ones(1))
        return model

    trained.build = built


def main(device: str, folder: Path, names: list[str]) -> None:
    with parallel.joined(device):
        for name in names:
            if name == "dies":
                die_at(6)
            if name == "idle":
                add_idle()
            if name == "long":
                (folder / f"{os.getpid()}.pid").touch()
            if name == "refused":
                parallel.mean(0.0)  # all are here
                raise ReconError("this is refused")
            run(folder, name, device)


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
    except ReconError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)
