"""Which phase encodes are kept back, to be predicted from the others."""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from recon.mri import fourier
from recon.mri.coils import calibration_region

FEWEST = 16  # phase encodes that are kept back; fewer say too little


def candidates(mask: Bool[Tensor, "y z"]) -> Int[Tensor, "n"]:
    """Measured phase encodes outside the calibration region, on which the maps depend."""
    centre = torch.ones(calibration_region(mask), dtype=torch.bool)
    outside = mask & ~fourier.pad(centre, mask.shape, (0, 1))
    return outside.flatten().nonzero().flatten()


def drawn(
    among: Int[Tensor, "n"], number: int, mask: Bool[Tensor, "y z"], generator: torch.Generator
) -> Bool[Tensor, "y z"]:
    """A random ``number`` of the phase encodes ``among``, as a mask."""
    chosen = among[torch.randperm(len(among), generator=generator)[:number]]
    kept = torch.zeros(mask.numel(), dtype=torch.bool)
    kept[chosen] = True
    return kept.view(mask.shape)
