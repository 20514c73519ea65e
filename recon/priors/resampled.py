"""A prior at its own pixels: slices of another pixel size are resampled for it."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor

from recon.errors import ReconError
from recon.mri.resample import trilinear
from recon.priors import Prior, Wrapped

SAME = 0.01  # relative difference of pixel sizes that is none
FEWEST = 2  # pixels that a slice must have along each axis


class Resampled(Wrapped):
    """A prior that sees the slices of one orientation on the mesh of its training.

    What denoising changes there is interpolated back and added. So detail stays that the mesh does
    not hold.
    """

    def __init__(self, prior: Prior, mesh: tuple[int, int]):
        super().__init__(prior)
        self.mesh = mesh

    def denoise(
        self, x: Float[Tensor, "n 2 h w"], sigma: float | Float[Tensor, "n"]
    ) -> Float[Tensor, "n 2 h w"]:
        """The slices, each with the change that denoising makes on the mesh of the prior."""
        if tuple(x.shape[2:]) == self.mesh:
            return self.prior.denoise(x, sigma)
        seen = trilinear(x, (2, *self.mesh))
        return x + trilinear(self.prior.denoise(seen, sigma) - seen, tuple(x.shape[1:]))


def in_voxels(
    pixel: float | Literal["prior"], prior: Prior, voxel: tuple[float, float, float]
) -> tuple[float, float, float]:
    """The width of a prior's pixels in voxels, along each axis.

    ``pixel`` says it for all axes. "prior" takes it from the training and the ``voxel`` in mm: a
    size in the range of the training stays as it is, another goes to the nearest in the range.
    Raises `ReconError` for a prior that does not know its pixels.
    """
    if pixel != "prior":
        return pixel, pixel, pixel
    if prior.pixels is None:
        why = "this prior does not say at which pixels it was trained"
        raise ReconError(f"pixel: {why}; give their width in voxels, such as 2.0")
    low, high = prior.pixels
    widths = [min(max(v, low), high) / v for v in voxel]
    x, y, z = (1.0 if abs(w - 1) < SAME else w for w in widths)
    return x, y, z


def mesh(
    shape: tuple[int, int, int], axis: int, pixel: tuple[float, float, float]
) -> tuple[int, int]:
    """Pixels of a slice across ``axis`` over the same field of view; ``pixel`` is their width in
    voxels along each axis.

    Raises `ReconError` where so few are left that the slice is no image.
    """
    kept = [(n, p) for a, (n, p) in enumerate(zip(shape, pixel, strict=True)) if a != axis]
    height, width = (max(1, round(n / p)) for n, p in kept)
    if any(m < FEWEST <= n for m, (n, _) in zip((height, width), kept, strict=True)):
        size = "×".join(str(n) for n, _ in kept)
        few = f"slices of {size} voxels would have {height}×{width} pixels of the prior"
        raise ReconError(f"pixel: {few}; take smaller pixels, or a prior of smaller ones")
    return height, width


def at_own_pixels(
    prior: Prior,
    pixel: tuple[float, float, float],
    shape: tuple[int, int, int],
    axis: int,
) -> Prior:
    """The prior for slices across ``axis``, resampled where its pixels are not the voxels."""
    return prior if pixel == (1.0, 1.0, 1.0) else Resampled(prior, mesh(shape, axis, pixel))
