"""Early stopping: a part of the samples is kept back, and says when fitting begins to fit noise."""

from dataclasses import replace

import torch
from jaxtyping import Complex
from torch import Tensor

from recon.errors import ReconError
from recon.methods.kept_back import FEWEST, candidates, drawn
from recon.mri.problem import Problem

EVERY = 25  # iterations between two looks
PATIENCE = 12  # looks without a better volume, after which fitting ends


class KeptBack:
    """A random ``share`` of the phase encodes outside the calibration region.

    ``problem`` is what is left. The volume that predicts the samples best is kept. Raises
    `ReconError` where too few could be kept back.
    """

    def __init__(self, problem: Problem, share: float, seed: int = 0):
        mask = problem.operator.mask.cpu()
        among = candidates(mask)
        number = round(share * len(among))
        if number < FEWEST:
            few = f"{share:g} of {len(among)} phase encodes outside the calibration region"
            raise ReconError(f"held_out: {few} is fewer than {FEWEST}; take a larger share, or 0")
        generator = torch.Generator().manual_seed(seed)
        kept = drawn(among, number, mask, generator).to(problem.kspace.device)

        rest = problem.operator.masked(problem.operator.mask & ~kept)
        given = problem.kspace * ~kept
        self.problem = replace(problem, operator=rest, kspace=given, rhs=rest.adjoint(given))
        self._of_kept = rest.masked(kept)
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
