"""What all kinds of prior share: slices go through the network in batches with their neighbours."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float, Num
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from recon.errors import ReconError
from recon.networks.precision import multiplies_bf16


def windows(count: int, size: int, neighbours: int) -> Iterator[tuple[slice, slice]]:
    """Cuts ``count`` neighbouring slices into batches of ``size``.

    Yields two ranges for each batch. The first covers the slices that the batch reads: its own, and
    up to ``neighbours`` on either side. The second says where its own lie in the first.
    """
    for start in range(0, count, size):
        stop = min(start + size, count)
        first = max(0, start - neighbours)
        yield slice(first, min(count, stop + neighbours)), slice(start - first, stop - first)


def per_sample(
    values: Float[Tensor, "n"], x: Float[Tensor, "n *shape"]
) -> Float[Tensor, "n *ones"]:
    """One value for each sample of ``x``, in a shape that multiplies it."""
    return values.view(-1, *[1] * (x.ndim - 1))


@dataclass(frozen=True)
class Noised:
    """A batch, and the noise that a step of training adds to it."""

    clean: Float[Tensor, "n *stack 2 h w"]
    level: Num[Tensor, "n"]  # what a kind of prior calls it: a timestep, or σ
    noise: Float[Tensor, "n *stack 2 h w"]  # of unit variance

    def __len__(self) -> int:
        return len(self.clean)

    def __getitem__(self, rows: slice) -> "Noised":
        """Some of the samples."""
        return Noised(self.clean[rows], self.level[rows], self.noise[rows])


class Denoiser(nn.Module):
    """A prior made of a network.

    Subclasses say in `inputs` what the network is given, and in `estimate` what its answer means.
    In training a sample is a slice, or a stack of slices (see `recon.networks.stacks`).
    """

    sigma_max: float
    flips = False
    pixels: tuple[float, float] | None = None

    def __init__(self, network: nn.Module, batch: int = 32, bf16: bool | None = None):
        super().__init__()
        self.network = network
        self.neighbours: int = getattr(network, "neighbours", 0)
        self.batch = batch  # slices per network call, which bounds the memory
        # None takes bf16 where the processor has instructions for it. Without them bf16 takes
        # twice as long as float32.
        self.bf16 = bf16

    def autocast(self, device: str) -> torch.autocast:
        """The context in which the network runs: bf16 where that is faster."""
        enabled = multiplies_bf16(device) if self.bf16 is None else self.bf16
        return torch.autocast(device, torch.bfloat16, enabled=enabled)

    def inputs(
        self, x: Float[Tensor, "n 2 h w"], sigma: Float[Tensor, "n"]
    ) -> tuple[Float[Tensor, "n 2 h w"], Float[Tensor, "n"]]:
        """What the network is given: slices at the scale of its training, and timesteps."""
        raise NotImplementedError

    def estimate(
        self, x: Float[Tensor, "n 2 h w"], sigma: Float[Tensor, "n"]
    ) -> Float[Tensor, "n 2 h w"]:
        """``E[x0 | x0 + sigma n = x]``, with all slices in one network call."""
        raise NotImplementedError

    def features(self, x: Float[Tensor, "n 2 h w"], sigma: float) -> list[Float[Tensor, "n c p q"]]:
        """What the layers of the network's encoder make of slices with noise of ``sigma``.

        Raises `ReconError` where the network has no encoder.
        """
        if not hasattr(self.network, "encoded"):
            kind = type(self.network).__name__
            raise ReconError(f"the prior's network ({kind}) has no encoder that gives features")
        levels = torch.full((len(x),), sigma, device=x.device)
        with self.autocast(x.device.type):
            return self.network.encoded(*self.inputs(x, levels))[0]

    def denoise(
        self, x: Float[Tensor, "n 2 h w"], sigma: float | Float[Tensor, "n"]
    ) -> Float[Tensor, "n 2 h w"]:
        """``E[x0 | x0 + sigma n = x]`` of neighbouring slices in their order.

        ``sigma`` is one for all slices, or one for each. A graph is built only where ``x`` requires
        grad. A backward pass then evaluates each batch once more, so that only the activations of
        one batch are held at a time.
        """
        sigma = torch.as_tensor(sigma, dtype=torch.float32, device=x.device).expand(len(x))
        differentiated = x.requires_grad and torch.is_grad_enabled()
        again = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
        out = []
        for read, own in windows(len(x), self.batch, self.neighbours):
            if differentiated:
                part = again(self.estimate, x[read], sigma[read])
            else:
                with torch.no_grad():
                    part = self.estimate(x[read], sigma[read])
            out.append(part[own])
        return torch.cat(out)
