"""The plain voxel grid."""

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor, nn

from recon.diffusion import as_slices


class Voxels(nn.Module):
    """A volume whose parameters are its voxels."""

    def __init__(self, start: Complex[Tensor, "x y z"]):
        super().__init__()
        self.values = nn.Parameter(torch.view_as_real(start).clone())

    def volume(self) -> Complex[Tensor, "x y z"]:
        """The volume on the measurement grid."""
        return torch.view_as_complex(self.values)

    def slices(self, axis: int, index: Int[Tensor, "n"]) -> Float[Tensor, "n 2 h w"]:
        """Slices perpendicular to ``axis``."""
        return as_slices(self.volume().index_select(axis, index), axis)
