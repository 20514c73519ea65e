"""What networks that reconstruct share: they learn from pairs of a scan and its reference."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from recon.errors import ReconError
from recon.mri import fourier
from recon.mri.maps import estimate
from recon.mri.masks import Mask, make
from recon.mri.prepared import Prepared
from recon.mri.problem import Problem, power
from recon.mri.sense import Sense
from recon.networks.trained import Training


class SupervisedTraining(Training):
    """How such a network is trained: on which masks.

    The workflow takes mask, accelerations and maps from the configuration, where they are not given
    here. A network with an ``acceleration`` of its own sees that alone.
    """

    mask: Mask | None = None
    accelerations: list[float] | None = None
    # Where sensitivities come from, "calibration" or "full"; see `recon.mri.problem.undersampled`.
    maps: str = "calibration"

    def trained_at(self) -> list[float]:
        """The accelerations of the masks."""
        return [self.acceleration] if self.acceleration else self.accelerations or [8.0]


@dataclass(frozen=True)
class Pair:
    """Slices of a scan as a problem, and what their reconstruction should be."""

    problem: Problem
    target: Complex[Tensor, "x y z"]  # in the scale of the problem

    def __len__(self) -> int:
        return self.target.shape[self._axis]

    @property
    def _axis(self) -> int:
        """The axis across which the slices lie, from the last."""
        return across(self.problem.operator) - 3

    def __getitem__(self, rows: slice) -> "Pair":
        """Some of the slices."""
        problem, operator, axis = self.problem, self.problem.operator, self._axis

        def cut(values: Complex[Tensor, "*any"]) -> Complex[Tensor, "*part"]:
            return values.movedim(axis, 0)[rows].movedim(0, axis)

        mask = operator.mask[:, rows] if axis == -1 else operator.mask
        kspace = fourier.fft(cut(fourier.ifft(problem.kspace, (axis,))), (axis,)) * mask
        part = Sense(cut(operator.maps), mask)
        posed = replace(problem, operator=part, kspace=kspace, rhs=cut(problem.rhs))
        return Pair(posed, cut(self.target))


class Reconstructor(nn.Module):
    """A network that reconstructs; a subclass says how in ``reconstruct``."""

    def __init__(self, network: nn.Module, batch: int = 32):
        super().__init__()
        self.network = network
        self.batch = batch  # slices per network call, which bounds the memory

    def reconstruct(self, problem: Problem) -> Complex[Tensor, "x y z"]:
        """The volume, in the scale of the problem."""
        raise NotImplementedError


def across(operator: Sense) -> int:
    """The axis across which slices are independent of each other, so that a network sees one each.

    Whole lines along z are measured alike in all slices across z. So are the slices of a stack, and
    the one slice of a 2D scan. Of other scans, slices across the readout are independent. Raises
    `ReconError` for several sets of maps, whose images no such network knows.
    """
    if operator.sets > 1:
        raise ReconError("a network that reconstructs takes one set of maps; do not ask for more")
    mask = operator.mask
    lines = bool((mask == mask[:, :1]).all())
    return 2 if operator.stack or lines else 0


class PairSource:
    """Draws slices of random volumes, each time with a mask of its own.

    The slices are those that are independent of each other (see `across`), at random places. Maps
    are those of a test: from the centre that every mask holds, or from all data. The target has the
    magnitude of the truth where that is known, and the phase of the maps.
    """

    def __init__(self, volumes: Sequence[Prepared], settings: SupervisedTraining, device: str):
        if not volumes:
            raise ReconError("no training volumes; check the dataset's training split")
        if any(v.kspace is None or v.maps is None for v in volumes):
            raise ReconError("training volumes hold references alone; prepare them with k-space")
        self.settings, self.device = settings, device
        self.masks = settings.mask or Mask()
        self.scans = [self._scan(volume) for volume in volumes]

    def _scan(self, volume: Prepared) -> "Scanned":
        """A volume as its slices are drawn from it."""
        lines = self.masks.kind.endswith("_1d") or volume.mask.shape[1] == 1
        axis = -1 if lines else -3
        maps = self._maps(volume)
        everything = torch.ones_like(volume.mask)
        image = Sense(maps, everything).adjoint(volume.kspace)
        if volume.truth is not None:
            image = torch.polar(volume.truth.abs(), image.angle()) * maps.ne(0).any(0)
        scale = power(volume.kspace, volume.mask, volume.noise) ** -0.5
        hybrid = fourier.ifft(volume.kspace, (axis,))
        return Scanned(hybrid, maps, image, volume, axis, scale)

    def _maps(self, volume: Prepared) -> Complex[Tensor, "coil x y z"]:
        """Sensitivities as a reconstruction has them."""
        if self.settings.maps == "full":
            return volume.maps
        shape = tuple(volume.mask.shape)
        region = self.masks.calibration
        if self.masks.kind.endswith("_1d"):
            region = region[0], shape[1]
        kept = torch.zeros_like(volume.mask)
        sizes = [min(c, n) for c, n in zip(region, shape, strict=True)]
        fourier.crop(kept, sizes, (0, 1)).fill_(True)
        return estimate(volume.kspace * kept)

    def batch(self, size: int, generator: torch.Generator) -> Pair:
        """A pair of ``size`` slices of one volume; of a 2D scan its only one."""

        def drawn(most: int, count: int = 1) -> list[int]:
            return torch.randperm(most, generator=generator)[:count].tolist()

        (number,) = drawn(len(self.scans))
        rates = self.settings.trained_at()
        rate = rates[drawn(len(rates))[0]]
        seed = int(torch.randint(2**31, (), generator=generator))
        return self.pair(number, rate, seed, sorted(drawn(self.scans[number].slices, size)))

    def pair(self, number: int, rate: float, seed: int, places: list[int] | None = None) -> Pair:
        """Slices of one volume at some places or at all, undersampled by a factor."""
        scan, chosen = self.scans[number], self.masks
        places = list(range(scan.slices)) if places is None else places
        shape = tuple(scan.volume.mask.shape)
        mask = make(chosen.kind, shape, rate, chosen.calibration, seed) & scan.volume.mask
        mask = mask[:, places] if scan.axis == -1 else mask
        index = torch.tensor(places)
        maps, hybrid = (a.index_select(scan.axis, index) for a in (scan.maps, scan.hybrid))
        kspace = fourier.fft(hybrid, (scan.axis,)) * mask * scan.scale
        operator = Sense(maps, mask)
        if across(operator) - 3 != scan.axis:
            which = f"{scan.volume.name}: with masks {chosen.kind} at R = {rate:g}"
            raise ReconError(f"{which} slices depend on one another; train with another kind")
        parts = operator.adjoint(kspace), scan.volume.noise * scan.scale, scan.scale
        problem = Problem(operator, kspace, *parts, scan.volume.voxel).to(self.device)
        target = scan.image.index_select(scan.axis, index) * scan.scale
        return Pair(problem, target.to(self.device))


@dataclass(frozen=True)
class Scanned:
    """A training volume, transformed to the image along the axis of its slices."""

    hybrid: Complex[Tensor, "coil x y z"]
    maps: Complex[Tensor, "coil x y z"]
    image: Complex[Tensor, "x y z"]  # what a reconstruction should be
    volume: Prepared
    axis: int  # across which slices are drawn, -3 or -1
    scale: float  # as that of a `Problem`

    @property
    def slices(self) -> int:
        """How many there are."""
        return self.hybrid.shape[self.axis]


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
            pair = source.pair(number, rate, number)
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
