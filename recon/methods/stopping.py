"""Early stopping: a part of the samples is kept back, and says when fitting begins to fit noise."""

from dataclasses import replace

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.errors import ReconError
from recon.mri import fourier
from recon.mri.coils import calibration_region
from recon.mri.problem import Problem
from recon.mri.sense import Sense

EVERY = 25  # iterations between two looks
PATIENCE = 12  # looks without a better volume, after which fitting ends
FEWEST = 16  # phase encodes that are kept back; fewer say too little


class KeptBack:
    """A random ``share`` of the phase encodes outside the calibration region.

    ``problem`` is what is left. The volume that predicts the samples best is kept. Raises
    `ReconError` where too few could be kept back.
    """

    def __init__(self, problem: Problem, share: float, seed: int = 0):
        mask = problem.operator.mask.cpu()
        centre = torch.ones(calibration_region(mask), dtype=torch.bool)
        outside = mask & ~fourier.pad(centre, mask.shape, (0, 1))
        candidates = outside.flatten().nonzero().flatten()
        number = round(share * len(candidates))
        if number < FEWEST:
            few = f"{share:g} of {len(candidates)} phase encodes outside the calibration region"
            raise ReconError(f"held_out: {few} is fewer than {FEWEST}; take a larger share, or 0")
        generator = torch.Generator().manual_seed(seed)
        drawn = candidates[torch.randperm(len(candidates), generator=generator)[:number]]
        kept = torch.zeros(mask.numel(), dtype=torch.bool)
        kept[drawn] = True
        kept = kept.view(mask.shape).to(problem.kspace.device)

        maps, stack = problem.operator.maps, problem.operator.stack
        rest = Sense(maps, problem.operator.mask & ~kept, stack=stack)
        given = problem.kspace * ~kept
        self.problem = replace(problem, operator=rest, kspace=given, rhs=rest.adjoint(given))
        self._of_kept = Sense(maps, kept, stack=stack)
        self._samples = problem.kspace * kept
        self._least, self._since = float("inf"), 0
        self.best: Complex[Tensor, "x y z"] = problem.rhs
        self.iteration = 0  # that of the best volume

    def stop(self, iteration: int, volume: Complex[Tensor, "x y z"]) -> bool:
        """Whether the prediction got no better for a while."""
        if iteration % EVERY:
            return False
        self.look(iteration, volume)
        return self._since >= PATIENCE

    def look(self, iteration: int, volume: Complex[Tensor, "x y z"]) -> None:
        """Keeps the volume if it predicts the samples better than all before."""
        missed = self._of_kept.forward(volume) - self._samples
        error = float(missed.abs().square().sum())
        self._since += 1
        if error < self._least:
            self._least, self._since = error, 0
            self.best, self.iteration = volume.clone(), iteration
