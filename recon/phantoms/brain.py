"""A head with T1 weighting: brain, skull, scalp and face.

The brain has a folded cortex over white matter, deep nuclei, ventricles, a cerebellum and a
brainstem. Template coordinates are in mm: x to the right, y to the front, z up. Their origin is the
centre of the head, near the anterior commissure.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from recon.phantoms.fields import Canvas, Depth, Noise, Points, ellipsoid, tube, uniform, union
from recon.phantoms.pose import Pose

FOV = (192.0, 240.0, 240.0)  # mm along (x, y, z)
_VALUES = {
    "skin": 0.5, "fat": 0.9, "muscle": 0.42, "bone": 0.08, "bone marrow": 0.66, "sinus": 0.02,
    "mucosa": 0.5, "eye": 0.2, "csf": 0.14, "dura": 0.32, "grey matter": 0.5, "white matter": 0.8,
    "deep grey": 0.57, "pallidum": 0.72, "brainstem": 0.74, "vessel": 0.95,
}  # fmt: skip
TISSUES = ("air", *_VALUES)
_CALLOSUM = (
    (
        (0, 25, 2),
        (0, 34, 10),
        (0, 30, 21),
        (0, 14, 28),
        (0, -8, 30),
        (0, -28, 25),
        (0, -38, 15),
        (0, -33, 9),
    ),
    (2, 5, 4, 3, 3, 3.2, 5.5, 4),
)
_VENTRICLE = (  # frontal horn, body, atrium; then the temporal and the occipital horn (right side)
    (
        (
            (8, 32, 10),
            (9, 24, 16),
            (9, 4, 22),
            (13, -20, 21),
            (24, -37, 12),
            (33, -26, -6),
            (33, -6, -17),
        ),
        (3, 4.5, 4, 4, 6, 2.4, 1.8),
    ),
    (((24, -37, 12), (22, -56, 8)), (5, 1.5)),
)


def build(seed: int) -> "Brain":
    """The head of one individual."""
    return Brain(torch.Generator().manual_seed(seed))


class Brain:
    """One head: the tissue values, pose and random fields that make it, and how it is painted."""

    def __init__(self, generator: torch.Generator):
        g = generator
        self.values = {name: value * uniform(0.93, 1.07, g) for name, value in _VALUES.items()}
        self.pose = Pose(g, size=0.05, tilt=0.07, shift=4, warp=1.6, wavelength=110)
        self.atrophy, self.ventricles = uniform(0.0, 0.7, g), uniform(-1.5, 2.0, g)
        self.thickness, self.scalp = uniform(2.6, 3.3, g), uniform(-1.0, 2.5, g)
        self.folds = Noise(uniform(21, 24, g), g, size=72, bandwidth=0.2, slopes=True)
        self.bend, self.relief = (
            Noise(26, g, channels=3, size=48),
            Noise(20, g, channels=2, size=48),
        )
        self.folia, self.grain, self.fibre = (
            Noise(11, g, size=64),
            Noise(4.5, g, channels=2),
            Noise(7, g, channels=2),
        )
        self.airy = uniform(0.6, 1.3, g)

    def phase(self, points: Points) -> Float[Tensor, "x y z"]:
        """Local phase of about a radian above the sinuses, where air disturbs the field."""
        x, y, z = points
        return self.airy * torch.exp(-((x / 22) ** 2 + ((y - 52) / 24) ** 2 + ((z + 16) / 18) ** 2))

    def paint(self, canvas: Canvas) -> None:
        """Paints from the scalp inwards, then from the cerebrospinal fluid to the deep nuclei."""
        template = self.pose(canvas.points)
        head = self._head(template)
        if head.max() < -canvas.spacing:
            return
        x, y, z = template
        bend, relief = self.bend(x, y, z), self.relief(x, y, z)
        p = Points(*(c + 0.5 * b for c, b in zip(template, bend, strict=True)))
        vault = self._vault(p)
        if vault.min() < 25:
            self._extracranial(canvas, p, head, vault, relief)
        if vault.max() < -canvas.spacing:
            return
        canvas.paint(vault, "csf")
        self._cerebellum(canvas, p, vault)
        self._brainstem(canvas, p)
        self._cerebrum(canvas, p, vault, bend, relief)
        self._interior(canvas, p, relief)
        self._vessels(canvas, p)

    def _head(self, p: Points) -> Depth:
        skull = ellipsoid(p, (0, -3, 14), (77, 98, 92))
        face = ellipsoid(p, (0, 45, -58), (56, 47, 58))
        neck = tube(p, ((0, -26, -30), (0, -30, -150)), (56, 56), (1.1, 1, 1))
        nose = tube(p, ((0, 86, -24), (0, 101, -50)), (7, 11))
        lips = ellipsoid(p, (0, 84, -76), (24, 14, 12))
        return union(union(union(skull, face, 22), neck, 24), union(nose, lips, 6), 12)

    def _vault(self, p: Points) -> Depth:
        """The cranial cavity, from the dome to the spinal canal.

        Its floor rises to the front. The posterior fossa leads to the canal.
        """
        dome = ellipsoid(p, (0, -3, 15), (67, 86, 78))
        x, y, z = p
        sella = 9 * torch.exp(-((x / 18) ** 2) - ((y - 22) / 15) ** 2)
        # The roofs of the orbits.
        roof = 17 * torch.exp(-(((x.abs() - 30) / 16) ** 2)) * torch.sigmoid((y - 42) / 5)
        floor = z + 20 - 0.22 * (y - 25).clamp(min=0) - sella - roof
        fossa = ellipsoid(p, (0, -50, -20), (53, 34, 36))
        temporal = ellipsoid((Points(x.abs(), y, z)), (36, 8, -14), (28, 34, 20))
        cavity = union(union(torch.minimum(dome, floor), fossa, 6), temporal, 8)
        return union(
            cavity, tube(p, ((0, -22, -30), (0, -28, -60), (0, -36, -150)), (16, 9.5, 9)), 8
        )

    def _extracranial(
        self,
        canvas: Canvas,
        p: Points,
        head: Depth,
        vault: Depth,
        relief: Float[Tensor, "channel x y z"],
    ) -> None:
        x, y, z = p
        side = Points(x.abs(), y, z)
        streak = self.fibre(x, y, z * 0.35)
        canvas.paint(head, "skin")
        canvas.paint(head - 1.8, "fat", 1 - 0.2 * torch.exp(-((streak[0] / 0.25) ** 2)))
        flesh = torch.minimum(head - 5.5 - self.scalp, -vault - 7)
        below = torch.minimum(flesh - 4, -z - 22 - 0.2 * y)
        planes = self.relief(x, y, z * 0.2)  # muscles lie between sheets of fat
        between = torch.minimum(planes[0].abs(), planes[1].abs())
        canvas.paint(
            below, "muscle", (1 + 0.1 * streak[0]) * (1 + 0.9 * torch.exp(-((between / 0.09) ** 2)))
        )
        canvas.paint(
            torch.minimum(ellipsoid(side, (64, 28, -2), (8, 26, 30)), head - 6),
            "muscle",
            1 + 0.1 * streak[0],
        )
        self._face(canvas, p, side, relief)
        thickness = 7 + 1.2 * relief[0] + 3 * torch.exp(-(((z + 30) / 12) ** 2))
        shell = torch.minimum(vault + thickness, torch.minimum(head - 3.5 - self.scalp, z + 62))
        canvas.paint(shell, "bone")
        marrow = torch.minimum(
            torch.minimum(vault + thickness - 2, -vault - 1.6),
            torch.minimum(head - 5.5 - self.scalp, z + 60),
        )
        canvas.paint(marrow, "bone marrow", 1 + 0.15 * streak[1])
        for level in range(5):  # vertebrae around the canal, discs between them
            centre = (0, -14 - 1.5 * level, -66 - 17 * level)
            body = torch.minimum(ellipsoid(p, centre, (14, 10, 11)), 7 - (z - centre[2]).abs())
            canvas.paint(torch.minimum(body, -vault - 1), "bone")
            canvas.paint(torch.minimum(body - 1.3, -vault - 2), "bone marrow", 0.85)
            canvas.paint(
                tube(p, ((0, -46 - level, centre[2] - 2), (0, -64 - level, centre[2] - 8)), (4, 3)),
                "bone marrow",
                0.8,
            )

    def _face(
        self, canvas: Canvas, p: Points, side: Points, relief: Float[Tensor, "channel x y z"]
    ) -> None:
        x, y, z = p
        tongue = ellipsoid(p, (0, 46, -72), (22, 32, 19))
        canvas.paint(tongue + 2.5, "sinus")
        canvas.paint(tongue, "muscle", 1.05 + 0.2 * self.fibre(x, y * 0.4, z)[0])
        # palate
        canvas.paint(
            tube(p, ((0, 70, -56), (0, 40, -50), (0, 26, -56)), (4, 4, 3), (5, 1, 1)),
            "bone marrow",
            0.7,
        )
        # throat
        canvas.paint(
            tube(p, ((0, 18, -44), (0, 8, -74), (0, 8, -150)), (6, 5, 8), (1.3, 1, 1)), "sinus"
        )
        jaw = tube(
            side,
            ((44, 14, -30), (43, 18, -84), (20, 66, -98), (0, 76, -98)),
            (5, 6, 6, 7),
            (0.8, 1, 1.5),
        )
        canvas.paint(jaw, "bone")
        canvas.paint(jaw - 2, "bone marrow")
        nose = ellipsoid(p, (0, 52, -32), (15, 32, 20))
        canvas.paint(nose + 1, "bone")
        canvas.paint(nose, "mucosa")
        canvas.paint(
            torch.minimum(nose - 1, 1.6 * self.fibre(x * 1.6, y * 0.5, z)[1] + 0.3), "sinus"
        )
        canvas.paint(torch.minimum(nose, 1.0 - x.abs()), "mucosa", 0.8)
        for centre, axes in (
            ((29, 54, -36), (12, 14, 15)),
            ((6, 32, -14), (8, 11, 9)),
            ((11, 80, 6), (11, 5, 10)),
        ):  # maxillary, sphenoid, frontal
            sinus = ellipsoid(side, centre, axes) + 1.5 * relief[0]
            canvas.paint(sinus + 2, "bone")
            canvas.paint(sinus + 0.8, "mucosa")
            canvas.paint(sinus, "sinus")
        orbit = tube(side, ((30, 62, -9), (14, 26, -7)), (18, 4))
        canvas.paint(orbit + 1.5, "bone")
        canvas.paint(orbit, "fat")
        for dx, dz in ((9, 0), (-8, 0), (0, 9), (0, -9)):  # the straight eye muscles
            canvas.paint(
                tube(
                    side,
                    ((30 + dx, 66, -9 + dz), (28 + dx, 52, -9 + dz), (14, 27, -7)),
                    (1.2, 2.2, 1),
                ),
                "muscle",
            )
        canvas.paint(tube(side, ((30, 58, -9), (14, 24, -6)), (2, 2)), "brainstem")  # optic nerve
        globe = ellipsoid(side, (31, 70, -9), (12.5, 12.5, 12.5))
        canvas.paint(globe, "mucosa")
        canvas.paint(globe - 1.2, "eye")
        canvas.paint(ellipsoid(side, (31, 79, -9), (5, 2.5, 5)), "muscle")

    def _hull(self, p: Points, vault: Depth) -> tuple[Depth, Depth]:
        """Depths below the convex surface of the hemispheres and in the slit between them.

        The slit ends above the corpus callosum.
        """
        x, y, z = p
        side = Points(x.abs(), y, z)
        tent = self._tentorium(p)
        upper = torch.minimum(
            vault - 2.2 - self.atrophy, z - tent - 1 + (8 + tent) * torch.sigmoid((y + 22) / 4)
        )
        temporal = torch.minimum(ellipsoid(side, (39, 4, -15), (24, 38, 19)), vault - 2)
        ring = (1 - (((y + 3) / 39) ** 2 + ((z - 8) / 25) ** 2).sqrt()) * 30
        slit = ((x.abs() - 0.6 - self.atrophy).clamp(min=0) ** 2 + ring.clamp(min=0) ** 2).sqrt()
        return union(upper, temporal, 4), slit

    def _tentorium(self, p: Points) -> Float[Tensor, "x y z"]:
        """Height of the sheet between cerebellum and occipital lobes.

        It is a tent, highest in the middle and in front.
        """
        x, y, _ = p
        return 4 + 0.32 * (y + 36).clamp(-60, 0) - 0.006 * x * x

    def _cerebrum(
        self,
        canvas: Canvas,
        p: Points,
        vault: Depth,
        bend: Float[Tensor, "3 x y z"],
        relief: Float[Tensor, "channel x y z"],
    ) -> None:
        x, y, z = p
        hull, slit = self._hull(p, vault)
        if hull.max() < -3:
            return
        surface = torch.minimum(hull, slit)
        # Sulci are the zero set of a narrow-band field n. It must vary along the surface and hardly
        # with depth, so it is read at positions that are pushed outwards along rays from the core
        # of the hemisphere. |n| / |grad n| is the distance to the zero set, a sheet.
        core = (27.0 * torch.sign(x), 0.55 * y.clamp(-60, 60), torch.full_like(z, 16))
        ray = [c - o + 1.5 * b for c, o, b in zip(p, core, bend, strict=True)]
        reach = (
            (ray[0] ** 2 / 37**2 + ray[1] ** 2 / 52**2 + ray[2] ** 2 / 52**2)
            .sqrt_()
            .clamp_(min=0.15)
        )
        push = reach**-0.7
        at = [o + r * push for o, r in zip(core, ray, strict=True)]
        n, *slope = self.folds(*at)
        sheet = (
            n.abs() / (slope[0] ** 2 + slope[1] ** 2 + slope[2] ** 2).sqrt().clamp_(min=0.05) / push
        )
        floor = 17 + 5 * relief[0]  # how deep the sulci reach
        sulcus = (sheet**2 + (surface - floor).clamp(min=0) ** 2).sqrt()
        sylvian = self._sylvian(p, hull, relief)
        sulcus = torch.minimum(sulcus, sylvian)
        pia = -union(
            -surface,
            -(sulcus - 0.45 - self.atrophy * 0.8 - 0.02 * (12 - surface).clamp(min=0)),
            2.2,
        )
        grey = 1 + 0.05 * self.grain(x, y, z)[0] - 0.05 * torch.tanh(surface / 10)
        canvas.paint(torch.minimum(pia, vault), "grey matter", grey)
        depth = pia - self.thickness - 0.3 * relief[1]
        white = 1 + 0.025 * self.grain(x, y, z)[1] - 0.1 * torch.exp(-(depth / 2.0).clamp(min=0))
        canvas.paint(depth, "white matter", white)

    def _sylvian(
        self, p: Points, hull: Depth, relief: Float[Tensor, "channel x y z"]
    ) -> Float[Tensor, "x y z"]:
        """Distance to the lateral fissure, which separates the temporal lobe from those above.

        The fissure is a sheet that rises to the back and reaches inwards to the insula.
        """
        x, y, z = p
        level = z - 2 + 0.28 * y + 1.2 * relief[1]
        inward = (36 - x.abs()).clamp(min=0)
        along = (y - 26).clamp(min=0) + (-y - 34).clamp(min=0)
        beside, above, ahead = (
            x.abs() - 37 + 0.02 * y,
            ((level - 3).abs() - 9).clamp(min=0),
            ((y - 2).abs() - 18).clamp(min=0),
        )
        insula = (beside**2 + above**2 + ahead**2).sqrt()
        return torch.minimum((level**2 + inward**2 + along**2).sqrt() - 0.4, insula - 0.3)

    def _cerebellum(self, canvas: Canvas, p: Points, vault: Depth) -> None:
        x, y, z = p
        side = Points(x.abs(), y, z)
        lobe = union(
            ellipsoid(side, (24, -54, -26), (28, 31, 26)),
            ellipsoid(p, (0, -55, -22), (14, 27, 27)),
            4,
        )
        lobe = torch.minimum(torch.minimum(lobe, vault - 2.5), self._tentorium(p) - 1.5 - z)
        if lobe.max() < -canvas.spacing:
            return
        # The folia fan out from the roof of the fourth ventricle.
        along, up = y + 34, z + 25 + 0.01 * x * x
        radius = (along**2 + up**2).sqrt() + 3
        angle = torch.atan2(up, -along) + 0.09 * self.folia(x * 0.4, y, z)[0]
        fold = torch.full_like(x, 1e3)
        for count, reach in ((8, 17), (17, 5.5)):  # few deep fissures, many shallow ones
            sheet = torch.sin(angle * count).abs() * radius / count
            fold = torch.minimum(fold, (sheet**2 + (lobe - reach).clamp(min=0) ** 2).sqrt())
        pia = -union(-lobe, -(fold - 0.3), 1.2)
        canvas.paint(pia, "grey matter", 0.98 + 0.05 * self.grain(x, y, z)[0])
        canvas.paint(
            torch.maximum(
                pia - 1.9, torch.minimum(pia - 1.2, ellipsoid(side, (15, -43, -28), (15, 9, 8)))
            ),
            "white matter",
            0.97,
        )
        canvas.paint(ellipsoid(side, (15, -45, -28), (6, 5, 3.5)), "deep grey", 1.1)

    def _brainstem(self, canvas: Canvas, p: Points) -> None:
        side = Points(p.axes[0].abs(), *p.axes[1:])
        grain = 1 + 0.04 * self.fibre(p.axes[0], p.axes[1], p.axes[2] * 0.4)[0]
        stem = union(
            tube(
                p,
                ((0, -14, 2), (0, -18, -12), (0, -22, -30), (0, -27, -58)),
                (12, 12, 10, 6.5),
                (1.15, 0.9, 1),
            ),
            ellipsoid(p, (0, -11, -21), (16, 11, 13)),
            4,
        )
        stem = union(stem, tube(p, ((0, -27, -58), (0, -36, -150)), (6, 5.5), (1.2, 1, 1)), 3)
        canvas.paint(
            union(stem, tube(side, ((8, -20, -20), (18, -38, -26)), (6, 6)), 4), "brainstem", grain
        )
        # cerebral peduncles
        canvas.paint(tube(side, ((9, -8, -6), (14, -2, 2)), (5.5, 6)), "brainstem", grain)
        # tectum
        canvas.paint(
            tube(p, ((0, -30, -6), (0, -29, -14)), (4.5, 3.5), (1.6, 1, 1)), "brainstem", 0.97
        )
        canvas.paint(
            tube(
                p,
                ((0, -26, -3), (0, -26, -13), (0, -32, -25), (0, -29, -42)),
                (0.9, 1.1, 3.4, 1),
                (1.8, 1, 1),
            ),
            "csf",
        )

    def _interior(self, canvas: Canvas, p: Points, relief: Float[Tensor, "channel x y z"]) -> None:
        x, y, z = p
        side = Points(x.abs(), y, z)
        grain = 1 + 0.04 * self.grain(x, y, z)[0]
        canvas.paint(ellipsoid(p, (0, -2, 7), (22, 30, 15)), "white matter", 0.97)
        canvas.paint(tube(p, *_CALLOSUM, (3.2, 1, 1)), "white matter", 1.03)
        canvas.paint(ellipsoid(p, (0, 4, -8), (8, 13, 7)), "deep grey", 0.9)  # hypothalamus
        lateral = [
            tube(side, path, [r + 0.5 * self.ventricles for r in radii], (0.9, 1, 1))
            for path, radii in _VENTRICLE
        ]
        inside = torch.maximum(*lateral) + 0.4 * relief[0]
        # caudate
        canvas.paint(
            tube(side, ((14, 26, 8), (17, 12, 18), (19, -12, 22), (26, -30, 12)), (6.5, 5, 3, 2)),
            "deep grey",
        )
        # putamen
        canvas.paint(
            torch.minimum(ellipsoid(side, (26, 4, 4), (7, 17, 11)), x.abs() - 19),
            "deep grey",
            grain,
        )
        canvas.paint(ellipsoid(side, (18.5, 0, 2), (4, 9, 6.5)), "pallidum")
        # thalamus
        canvas.paint(ellipsoid(side, (10.5, -13, 8), (9.5, 15.5, 10)), "deep grey", 1.03 * grain)
        # amygdala and hippocampus
        canvas.paint(
            tube(side, ((25, 4, -17), (27, -14, -16), (24, -30, -6)), (6, 4.5, 3)),
            "grey matter",
            grain,
        )
        canvas.paint(inside, "csf")
        canvas.paint(
            torch.minimum(
                ellipsoid(p, (0, -4, 5), (1.6 + 0.5 * max(self.ventricles, 0), 16, 11)),
                -ellipsoid(p, (0, -6, 7), (9, 3, 3)),
            ),
            "csf",
        )
        # septum pellucidum
        canvas.paint(
            torch.minimum(torch.minimum(inside + 4, 0.9 - x.abs()), z - 4), "white matter", 0.85
        )
        # fornix
        canvas.paint(
            tube(
                p,
                ((0, 16, 0), (0, 10, 14), (0, -10, 19), (0, -28, 17)),
                (1.5, 2, 2, 2),
                (1.8, 1, 1),
            ),
            "white matter",
        )
        # choroid plexus
        canvas.paint(
            torch.minimum(tube(side, ((20, -34, 13), (12, -16, 20)), (1.6, 1)), inside),
            "mucosa",
            1.2,
        )

    def _vessels(self, canvas: Canvas, p: Points) -> None:
        side = Points(p.axes[0].abs(), *p.axes[1:])
        canvas.paint(
            tube(
                p,
                ((0, 70, 50), (0, 30, 89), (0, -20, 91), (0, -70, 58), (0, -86, 5)),
                (1.5, 2, 2.6, 3, 3.2),
            ),
            "dura",
        )  # sagittal sinus
        for path, radii in (
            (
                (
                    (22, -4, -60),
                    (20, 2, -40),
                    (11, 10, -24),
                    (11, 6, -12),
                    (14, 10, -8),
                    (30, 8, -5),
                    (38, 0, 2),
                ),
                (2.4, 2.4, 2.3, 2.2, 1.7, 1.5, 1),
            ),
            (
                ((12, 10, -9), (1.5, 20, -6), (1.5, 40, 6), (1.5, 34, 28), (1.5, 10, 38)),
                (1.3, 1.3, 1.2, 1.1, 0.8),
            ),
            (
                ((5, -18, -62), (1, -4, -36), (1, -1, -13), (13, -10, -9), (20, -30, -4)),
                (1.8, 1.8, 1.8, 1.3, 0.9),
            ),
        ):
            canvas.paint(tube(side, path, radii), "vessel")
