"""A prior that sees slices turned at random, in ways that change no anatomy."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from recon.mri.slices import as_slices, as_volume
from recon.priors import Prior, Wrapped


class Turned(Wrapped):
    """A prior that sees the slices of each call in one random pose.

    The phase of a scan is arbitrary, so it is turned. Where the prior was trained with flips, the
    slices are flipped and transposed too. Errors of a network depend on the turn, so they average
    out over the steps of a method (Terris et al. 2024, equivariant plug-and-play).
    """

    def __init__(self, prior: Prior, generator: torch.Generator):
        super().__init__(prior)
        self.generator = generator

    def denoise(
        self, x: Float[Tensor, "n 2 h w"], sigma: float | Float[Tensor, "n"]
    ) -> Float[Tensor, "n 2 h w"]:
        """What the prior answers, turned back."""
        angle = 2 * math.pi * float(torch.rand((), generator=self.generator))
        turn = torch.polar(torch.tensor(1.0), torch.tensor(angle)).to(x.device)
        drawn = torch.randint(2, (3,), generator=self.generator).tolist()
        rows, columns, transposed = drawn if self.flips else (0, 0, 0)
        flipped = [a for a, flip in ((2, rows), (3, columns)) if flip]

        slices = as_slices(turn * as_volume(x, 0), 0).flip(flipped)
        slices = slices.transpose(2, 3) if transposed else slices
        clean = self.prior.denoise(slices.contiguous(), sigma)
        clean = clean.transpose(2, 3) if transposed else clean
        return as_slices(turn.conj() * as_volume(clean.flip(flipped), 0), 0)
