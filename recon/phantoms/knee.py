"""A knee with proton-density weighting: bones, cartilage, menisci, ligaments, muscles and fat.

The marrow of the bones is trabecular. Template coordinates are in mm: x to the lateral side, y to
the front, z up. The joint line is near z = 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.phantoms.fields import (
    Canvas,
    Depth,
    Noise,
    Points,
    carve,
    ellipsoid,
    tube,
    uniform,
    union,
)
from recon.phantoms.pose import Pose

FOV = (128.0, 160.0, 160.0)  # mm along (x, y, z)
_VALUES = {
    "skin": 0.45, "fat": 0.83, "muscle": 0.42, "vessel": 0.16, "nerve": 0.5, "fluid": 0.92,
    "cartilage": 0.56, "meniscus": 0.12, "ligament": 0.14, "tendon": 0.08, "cortical": 0.05,
    "marrow": 0.7, "septum": 0.4,
}  # fmt: skip
TISSUES = ("air", *_VALUES)

_MUSCLES = (  # path, radii, stretch; a path starts at its upper end
    (((-30, 16, 84), (-33, 22, 30), (-31, 26, 12)), (21, 12, 2), (0.9, 1.1, 1)),  # vastus medialis
    (((32, 10, 84), (33, 18, 45), (29, 26, 28)), (21, 12, 2), (0.9, 1.1, 1)),  # vastus lateralis
    (((2, 27, 84), (0, 30, 58)), (13, 3), (1.7, 0.8, 1)),  # vastus intermedius and rectus
    (((34, -30, 84), (40, -26, 0), (39, -20, -20)), (14, 8, 3), (0.8, 1.2, 1)),  # biceps femoris
    (((-20, -36, 84), (-28, -33, 10), (-31, -28, -8)), (16, 9, 3), (1.1, 1, 1)),  # semimembranosus
    (((-10, -50, 84), (-26, -44, 20), (-36, -30, -16)), (7, 2.5, 2), (1, 1, 1)),  # semitendinosus
    (((-45, -14, 84), (-46, -20, 0), (-40, -8, -40)), (8, 6, 2), (0.7, 1.5, 1)),  # sartorius
    # gastrocnemius, medial head
    (((-18, -27, 24), (-20, -38, -20), (-20, -40, -90)), (4, 12, 17), (1.3, 0.9, 1)),
    # gastrocnemius, lateral head
    (((19, -27, 24), (20, -38, -20), (19, -40, -90)), (4, 11, 16), (1.3, 0.9, 1)),
    (((10, -24, -6), (0, -23, -30), (-6, -20, -60)), (3, 8, 4), (1.8, 0.8, 1)),  # popliteus
    (((14, -22, -36), (10, -22, -90)), (4, 14), (1.6, 0.8, 1)),  # soleus
    (((28, 10, -30), (27, 8, -90)), (4, 15), (0.9, 1, 1)),  # tibialis anterior
    (((39, 0, -32), (38, -4, -90)), (3, 10), (0.9, 1.2, 1)),  # peroneus
)


def build(seed: int) -> "Knee":
    """The knee of one individual."""
    return Knee(torch.Generator().manual_seed(seed))


class Knee:
    """One knee: the tissue values, pose and random fields that make it, and how it is painted."""

    def __init__(self, generator: torch.Generator):
        g = generator
        self.values = {name: value * uniform(0.9, 1.1, g) for name, value in _VALUES.items()}
        self.side = 1.0 if uniform(0, 1, g) < 0.5 else -1.0  # a right or a left knee
        self.pose = Pose(g, size=0.06, tilt=0.07, shift=4, warp=2.5, wavelength=75)
        self.fatness, self.strength = uniform(-3.5, 2.5, g), uniform(0.5, 4, g)
        self.gap, self.effusion = uniform(-0.5, 1.0, g), uniform(-0.5, 1.5, g)
        self.patella = uniform(-4, 6, g)
        self.trabecula, self.speckle, self.patch = (
            Noise(5, g, channels=2, size=96),
            Noise(2.6, g),
            Noise(22, g, size=32),
        )
        self.septa, self.fibre, self.wobble = (
            Noise(13, g, channels=2),
            Noise(4.5, g, size=96),
            Noise(30, g, channels=3, size=32),
        )

    def phase(self, points: Points) -> float:
        """Zero: a knee has no local phase on top of the smooth object phase."""
        return 0.0

    def paint(self, canvas: Canvas) -> None:
        """Paints from the skin inwards: fat, muscles, vessels, joint, ligaments, bones."""
        x, y, z = self.pose(canvas.points)
        template = Points(x * self.side, y, z)
        leg = self._outline(template)
        if leg.max() < -canvas.spacing:
            return
        wobble = 0.6 * self.wobble(*template)
        p = Points(*(c + w for c, w in zip(template, wobble, strict=True)))
        bones = self._bones(p)
        self._soft_tissue(canvas, p, leg, wobble)
        self._joint(canvas, p, bones)
        self._ligaments(canvas, p)
        self._paint_bones(canvas, p, bones)

    def _bones(self, p: Points) -> dict[str, Depth]:
        medial, lateral = [
            union(
                ellipsoid(p, (s * 22, -11, 20), (12.5, 21, 19.5)),
                ellipsoid(p, (s * 20, 6, 23), (15, 24, 22)),
                6,
            )
            for s in (-1, 1)
        ]
        shaft = tube(p, ((0, 4, 30), (0, 5, 52), (0, 4, 100)), (29, 18, 14), (1.1, 0.95, 1))
        femur = union(union(medial, lateral, 5), shaft, 14)
        femur = carve(femur, ellipsoid(p, (0, -20, 5), (8.5, 22, 21)), 4)
        femur = carve(femur, ellipsoid(p, (1, 42, 26), (11, 17, 34)), 7)
        x, y, z = p
        dish = 1.5 * torch.exp(-(((x.abs() - 21) / 11) ** 2 + ((y + 1) / 15) ** 2)) - 5 * torch.exp(
            -(((x.abs() - 5) / 4) ** 2) - ((y + 3) / 8) ** 2
        )
        plateau = union(
            ellipsoid(p, (0, -2, -12), (39, 25, 16)),
            tube(p, ((0, -2, -16), (0, -1, -46), (0, -3, -100)), (30, 16, 13), (1.1, 0.8, 1)),
            10,
        )
        tibia = torch.minimum(plateau, -5.5 - self.gap - dish - z)
        tibia = union(tibia, ellipsoid(p, (2, 15, -34), (11, 9, 13)), 6)
        fibula = union(
            ellipsoid(p, (38, -18, -24), (9, 9, 11)),
            tube(p, ((38, -18, -28), (36, -20, -100)), (6.5, 5)),
            5,
        )
        at = 30 + self.patella
        patella = union(
            ellipsoid(p, (1, 44, at), (22, 9, 20)), ellipsoid(p, (0, 40, at + 1), (9, 8.5, 15)), 6
        )
        return {"femur": femur, "tibia": tibia, "fibula": fibula, "patella": patella}

    def _outline(self, p: Points) -> Depth:
        x, y, z = p
        girth = 1 + 0.0014 * z + 0.00001 * z * z + self.fatness / 55
        leg = ((1 - ((x / 53) ** 2 + ((y + 3) / 55) ** 2).sqrt() / girth) * 54).clamp(min=-30)
        return union(leg, ellipsoid(p, (0, 36, 26), (34, 25, 46)), 14)

    def _soft_tissue(
        self, canvas: Canvas, p: Points, leg: Depth, wobble: Float[Tensor, "3 x y z"]
    ) -> None:
        x, y, z = p
        canvas.paint(leg, "skin")
        septa = self.septa(x, y, z * 0.7)
        sheet = torch.exp(-((septa[0] / 0.16) ** 2)) * (septa[1] + 1).clamp(0, 1)
        lobules = 1 - 0.3 * sheet - 0.04 * self.patch(x, y, z)[0]
        canvas.paint(leg - 1.8, "fat", lobules)
        fibre = self.fibre(x + 1.5 * wobble[1], y + 1.5 * wobble[2], z * 0.12)[0]
        # The last term adds streaks of fat between the fascicles.
        grain = 1 + 0.11 * fibre + 0.9 * ((fibre - 1.35) * 2).clamp(0, 1)
        inner = leg - 6 - 0.5 * self.fatness
        for path, radii, stretch in _MUSCLES:
            muscle = torch.minimum(
                tube(p, path, radii, stretch) + self.strength * min(stretch), inner
            )
            canvas.paint(muscle + 1.3, "fat")
            canvas.paint(muscle + 0.5, "septum", 0.7)
            canvas.paint(muscle, "muscle", grain)
        for path, radius, tissue in (
            (((2, -34, 90), (1, -33, 20), (3, -29, -20), (6, -26, -90)), 3.2, "vessel"),
            (((5, -39, 90), (3, -38, 20), (2, -34, -20), (2, -30, -90)), 3.8, "vessel"),
            (((8, -45, 90), (7, -45, 20), (6, -42, -20), (5, -34, -90)), 2.8, "nerve"),
            (((-48, -28, 90), (-47, -30, 0), (-42, -22, -90)), 1.9, "vessel"),
        ):
            course = torch.minimum(tube(p, path, (radius,) * len(path)), leg - 3)
            canvas.paint(course + 0.8, "septum")
            canvas.paint(course, tissue)

    def _joint(self, canvas: Canvas, p: Points, bones: dict[str, Depth]) -> None:
        x, y, z = p
        femur, tibia = bones["femur"], bones["tibia"]
        pouch = (
            tube(p, ((0, 29, 34), (0, 33, 52), (0, 36, 66)), (2, 3, 1), (7, 1, 1)) + self.effusion
        )
        canvas.paint(pouch, "fluid")
        articular = torch.minimum(
            30 - z + 0.5 * y.clamp(min=0), torch.minimum(38 - x.abs(), y + 33)
        )
        canvas.paint(torch.minimum(femur + 3.2 + 0.5 * self.effusion, articular), "fluid")
        ring = (((x.abs() - 21) / 1.05) ** 2 + ((y + 2) / 1.35) ** 2).sqrt()
        between = torch.minimum(torch.minimum(-femur, -tibia), torch.minimum(z + 11, 5 - z))
        canvas.paint(torch.minimum(between, 20 - ring), "fluid")
        # The menisci are wedges: their height above the plateau grows outwards.
        wedge = torch.minimum(between, 0.8 + 0.7 * (ring - 9) + tibia)
        canvas.paint(
            torch.minimum(torch.minimum(wedge, 18.5 - ring), ring - 9.5),
            "meniscus",
            1 + 0.15 * self.speckle(x, y, z)[0],
        )
        hyaline = 1 + 0.05 * self.speckle(x, y, z)[0] - 0.12 * torch.tanh(femur + 1.2)
        canvas.paint(torch.minimum(femur + 2.6, articular), "cartilage", hyaline)
        top = torch.minimum(torch.minimum(tibia + 2.4, z + 12), 20 - ring)
        canvas.paint(top, "cartilage", hyaline)
        behind = torch.minimum(bones["patella"] + 3.6, 39.5 - y)
        canvas.paint(
            torch.minimum(behind, 14 - (z - 31 - self.patella).abs()), "cartilage", hyaline
        )

    def _ligaments(self, canvas: Canvas, p: Points) -> None:
        x, y, z = p
        strand = 1 + 0.6 * self.fibre(x, y * 0.5, z * 0.5)[0].clamp(min=-1)
        low = 12 + self.patella
        for path, radii, stretch, tissue in (
            # anterior cruciate
            (((7, -17, 19), (2, -4, 6), (-1, 9, -6)), (3.5, 4, 5), (1, 1, 1), "ligament"),
            # posterior cruciate
            (
                ((-5, 0, 14), (-2, -17, 10), (-1, -25, -6), (0, -27, -18)),
                (5, 5, 5, 4),
                (1, 1, 1),
                "ligament",
            ),
            # medial collateral
            (((-37, 2, 26), (-40, 2, -2), (-34, 6, -44)), (1.6, 1.6, 1.6), (1, 5, 1), "ligament"),
            # lateral collateral
            (((37, -6, 24), (42, -12, 0), (40, -17, -18)), (2, 2, 2), (1, 1.6, 1), "ligament"),
            (((33, 18, 10), (34, 12, -14)), (1.5, 1.5), (1, 6, 1), "tendon"),  # iliotibial tract
            # patellar
            (((1, 46, low), (1, 40, -8), (2, 25, -36)), (2.6, 2.6, 3), (5, 1, 1), "tendon"),
            # quadriceps
            (((1, 48, low + 38), (1, 44, 66), (2, 40, 100)), (3.2, 3.2, 3), (5, 1, 1), "tendon"),
            # in front of the patella
            (
                ((1, 53, low + 38), (1, 54, low + 18), (1, 49, low)),
                (1, 0.8, 1),
                (9, 1, 1),
                "tendon",
            ),
        ):
            canvas.paint(tube(p, path, radii, stretch), tissue, strand)

    def _paint_bones(self, canvas: Canvas, p: Points, bones: dict[str, Depth]) -> None:
        x, y, z = p
        network = self.trabecula(x, y, z * 0.6)
        strut = torch.exp(-((network[0] / 0.5) ** 2)) + torch.exp(-((network[1] / 0.5) ** 2))
        patch = self.patch(x, y, z)[0]
        # Towards the shafts the marrow is yellow and has few struts.
        fade = ((70 - z.abs()) / 40).clamp(0.25, 1)
        marrow = 1 - 0.24 * fade * (strut - 0.6) - 0.06 * patch
        scar = (
            (z - 40 - 2 * patch + 0.006 * (x**2 + y**2)).abs(),
            (z + 22 - 1.5 * patch - 0.004 * (x**2 + y**2)).abs(),
        )
        for name, bone in bones.items():
            wall = 1.1 + ((z.abs() - 38) / 14).clamp(0, 2.6) if name in ("femur", "tibia") else 1.4
            growth = {"femur": scar[0], "tibia": scar[1]}.get(name)
            line = 1 if growth is None else 1 - 0.45 * torch.exp(-((growth / 0.8) ** 2))
            canvas.paint(bone, "cortical")
            canvas.paint(bone - wall, "marrow", marrow * line)
