"""What networks that reconstruct share: they learn from pairs of a scan and its reference."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from pydantic import Field
from torch import Tensor, nn

from recon.errors import ReconError
from recon.mri import fourier
from recon.mri.masks import Mask, make
from recon.mri.prepared import Prepared
from recon.mri.problem import Problem, power
from recon.mri.sense import Sense
from recon.mri.slices import planes, spread
from recon.networks.trained import Training


class SupervisedTraining(Training):
    """How such a network is trained: on which masks, and with how much noise.

    The workflow takes mask, accelerations and noise from the dataset, where they are not given. A
    network with an ``acceleration`` of its own sees that alone.
    """

    mask: Mask | None = None
    accelerations: list[float] | None = None
    # Added to k-space, relative to the image; training volumes may have none.
    noise: float | None = Field(None, ge=0)

    def trained_at(self) -> list[float]:
        """The accelerations of the masks."""
        return [self.acceleration] if self.acceleration else self.accelerations or [8.0]


@dataclass(frozen=True)
class Pair:
    """Slices of a scan as a problem, and what their reconstruction should be."""

    problem: Problem
    # In the scale of the problem. It is the reference: the truth of a simulation has its own phase,
    # and not that of the maps.
    target: Complex[Tensor, "x y z"]


class Reconstructor(nn.Module):
    """A network that reconstructs; a subclass says how in ``reconstruct``."""

    def __init__(self, network: nn.Module, batch: int = 32):
        super().__init__()
        self.network = network
        self.batch = batch  # slices per network call, which bounds the memory

    def reconstruct(self, problem: Problem) -> Complex[Tensor, "x y z"]:
        """The volume, in the scale of the problem."""
        raise NotImplementedError


def across(shape: tuple[int, int, int]) -> int:
    """The axis whose slices a network reconstructs.

    Slices across the readout are independent of each other. A 2D scan is one slice.
    """
    return planes(shape)[0]


class PairSource:
    """Draws slices of random volumes with a mask of their own.

    Slices are those across the readout, at random places of one volume. Volumes of one slice are
    taken whole.
    """

    def __init__(self, volumes: Sequence[Prepared], settings: SupervisedTraining, device: str):
        if not volumes:
            raise ReconError("no training volumes; check the dataset's training split")
        if any(v.kspace is None for v in volumes):
            raise ReconError("training volumes hold references alone; prepare them with k-space")
        self.volumes, self.settings, self.device = volumes, settings, device
        # The readout is fully sampled, so slices across it can be taken before anything else.
        self.hybrid = [fourier.ifft(v.kspace, (-3,)) for v in volumes]

    def batch(self, size: int, generator: torch.Generator) -> Pair:
        """A pair of ``size`` slices."""

        def drawn(most: int, count: int = 1) -> list[int]:
            return torch.randperm(most, generator=generator)[:count].tolist()

        (number,) = drawn(len(self.volumes))
        rates = self.settings.trained_at()
        rate = rates[drawn(len(rates))[0]]
        seed = int(torch.randint(2**31, (), generator=generator))
        places = sorted(drawn(self.volumes[number].reference.shape[0], size))
        if self.volumes[number].reference.shape[2] == 1:
            places = list(range(self.volumes[number].reference.shape[0]))
        return self.pair(number, rate, seed, places)

    def pair(self, number: int, rate: float, seed: int, places: list[int]) -> Pair:
        """Slices of one volume at some places, undersampled by a factor."""
        volume, chosen = self.volumes[number], self.settings.mask or Mask()
        shape = tuple(volume.mask.shape)
        mask = make(chosen.kind, shape, rate, chosen.calibration, seed) & volume.mask
        kspace = fourier.fft(self.hybrid[number][:, places], (-3,))
        added = (self.settings.noise or 0.0) * float(spread(volume.reference))
        noise = (max(0.0, added**2 - volume.noise**2)) ** 0.5
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(*kspace.shape, 2, generator=generator)
        kspace = (kspace + noise * torch.view_as_complex(drawn)) * mask
        total = (volume.noise**2 + noise**2) ** 0.5
        scale = power(volume.kspace * mask, mask, volume.noise) ** -0.5
        operator = Sense(volume.maps[:, places], mask)
        rhs = operator.adjoint(kspace)
        problem = Problem(operator, kspace, rhs, total, 1.0, volume.voxel)
        problem = replace(problem, kspace=kspace * scale, rhs=rhs * scale, noise=total * scale)
        problem = replace(problem, scale=scale).to(self.device)
        return Pair(problem, (volume.reference[places] * scale).to(self.device))


@torch.no_grad()
def check_reconstruction(
    model: Reconstructor, volumes: Sequence[Prepared], settings: SupervisedTraining
) -> dict[str, float]:
    """The normalised squared error of the magnitude on volumes that training does not see.

    There is one for each acceleration.
    """
    if not volumes:
        return {}
    source = PairSource(volumes, settings, str(next(model.parameters()).device))
    errors: dict[str, float] = {}
    model.eval()
    for rate in settings.trained_at():
        missed = total = 0.0
        for number, volume in enumerate(volumes):
            pair = source.pair(number, rate, number, list(range(volume.reference.shape[0])))
            target = volume.target.abs() * pair.problem.scale
            error = model.reconstruct(pair.problem).abs().cpu() - target
            missed += float(error.square().sum())
            total += float(target.square().sum())
        errors[f"R = {rate:g}"] = missed / total
    return errors


def in_batches(
    network: nn.Module, slices: Float[Tensor, "n c h w"], size: int
) -> Float[Tensor, "n c h w"]:
    """What a network makes of slices. Without gradients it sees a few at a time."""
    if torch.is_grad_enabled():
        return network(slices)
    return torch.cat([network(part) for part in slices.split(size)])
