"""How whole individuals of one anatomy differ: size, tilt, shift and a smooth deformation."""

import torch

from recon.phantoms.fields import Noise, Number, Points, uniform


class Pose:
    """Maps positions in the scanner to positions in the template.

    The map is a smooth random warp and a small affine map. ``size`` is the largest relative change
    of size along an axis, ``tilt`` the largest angle in radians and ``shift`` the largest shift in
    mm. The warp has the standard deviation ``warp`` and the wavelength ``wavelength``, both in mm.
    """

    def __init__(
        self,
        generator: torch.Generator,
        size: Number,
        tilt: Number,
        shift: Number,
        warp: Number,
        wavelength: Number,
    ):
        angles = [uniform(-tilt, tilt, generator) for _ in range(3)]
        scales = torch.tensor([uniform(1 - size, 1 + size, generator) for _ in range(3)])
        skew = torch.tensor(
            [
                [0.0, angles[0], angles[1]],
                [-angles[0], 0.0, angles[2]],
                [-angles[1], -angles[2], 0.0],
            ]
        )
        self.matrix = torch.linalg.matrix_exp(skew) / scales
        self.shift = [uniform(-shift, shift, generator) for _ in range(3)]
        self.warp, self.field = warp, Noise(wavelength, generator, channels=3, size=16)

    def __call__(self, points: Points) -> Points:
        """Template coordinates of the given positions (mm)."""
        moved = self.field(*points) * self.warp
        x, y, z = (p + d + s for p, d, s in zip(points, moved, self.shift, strict=True))
        return Points(*(x * row[0] + y * row[1] + z * row[2] for row in self.matrix.tolist()))
