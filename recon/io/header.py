"""The XML header of ISMRMRD files, reduced to what a Cartesian reconstruction needs.

fastMRI files carry the same header.
"""

import math
import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from recon.errors import ReconError
from recon.mri import fourier

LEAST_FIELD = 0.1  # of the encoded field of view is reconstructed at least


@dataclass(frozen=True)
class Header:
    """One ``<encoding>`` of the header (schema: ismrmrd.xsd).

    Matrices are in samples, fields of view in mm, both in axis order.
    """

    trajectory: str
    matrix: tuple[int, int, int]  # encoded, oversampling included
    fov: tuple[float, float, float]
    recon_matrix: tuple[int, int, int]
    recon_fov: tuple[float, float, float]
    center: tuple[int, int]  # the encoding steps 1 and 2 at ky = 0 and kz = 0
    slices: int | None  # from the encoding limits; None where not given
    acceleration: tuple[int, int]
    noise_bandwidth: float  # of the receiver, relative to the nominal one; 1 where not given
    calibration: str  # "embedded", "separate", …; "" where not given

    @property
    def voxel(self) -> tuple[float, float, float]:
        """The size of an encoded voxel in mm."""
        return tuple(f / n for f, n in zip(self.fov, self.matrix, strict=True))

    def check_fields(self, path: Path) -> None:
        """Refuses a reconstructed field of view that is in another unit than the encoded one."""
        for axis, encoded, kept in zip("xyz", self.fov, self.recon_fov, strict=True):
            if kept < LEAST_FIELD * encoded:
                raise ReconError(
                    f"{path}: the header reconstructs {kept:.3g} of {encoded:.3g} mm along {axis}; "
                    "are both in mm? correct fieldOfView_mm"
                )

    @property
    def readout(self) -> int:
        """The samples along x without oversampling.

        The oversampling is the encoded field of view divided by the reconstructed one.
        """
        return max(1, min(self.matrix[0], round(self.matrix[0] * self.recon_fov[0] / self.fov[0])))

    def field_of_view(
        self, shape: tuple[int, int, int], stack: bool
    ) -> tuple[int, int, int] | None:
        """The central voxels of ``shape`` that lie in the reconstructed field of view.

        The rest is phase oversampling. None where there is none. A stack has none along z.
        """
        wanted = [n * r / f for n, r, f in zip(shape, self.recon_fov, self.fov, strict=True)]
        kept = tuple(max(1, min(n, round(w))) for n, w in zip(shape, wanted, strict=True))
        kept = (shape[0], kept[1], shape[2] if stack else kept[2])
        return kept if kept != tuple(shape) else None

    def facts(self) -> dict:
        """The header as a dictionary for `Scan.meta`."""
        facts = asdict(self)
        if self.readout < self.matrix[0]:
            facts["oversampling"] = f"readout cropped from {self.matrix[0]} to {self.readout}"
        return facts


def parse_header(xml: bytes | str, path: Path, number: int = 0) -> Header:
    """Reads one encoding of the header, counted from 0.

    Raises `ReconError` where it, or one of its sizes, is missing or impossible.
    """
    root = ET.fromstring(xml)
    encodings = root.findall("{*}encoding")
    if number >= len(encodings):
        found = f"has no <encoding> {number}" if encodings else "has no <encoding>"
        raise ReconError(f"{path}: the ISMRMRD header {found}; export the file again")
    encoding = encodings[number]
    limits = [f"encodingLimits/kspace_encoding_step_{i}/center" for i in (1, 2)]
    matrix = _triple(encoding, "encodedSpace/matrixSize", int, path)
    center = tuple(
        _number(encoding, limit, int, matrix[i] // 2) for i, limit in enumerate(limits, 1)
    )
    last, first = (
        _number(encoding, f"encodingLimits/slice/{end}", int, -1) for end in ("maximum", "minimum")
    )
    share = _number(root, "acquisitionSystemInformation/relativeReceiverNoiseBandwidth", float, 1.0)
    acceleration = "parallelImaging/accelerationFactor/kspace_encoding_step_"
    return Header(
        trajectory=_text(encoding, "trajectory").lower(),
        matrix=matrix,
        fov=_triple(encoding, "encodedSpace/fieldOfView_mm", float, path),
        recon_matrix=_triple(encoding, "reconSpace/matrixSize", int, path),
        recon_fov=_triple(encoding, "reconSpace/fieldOfView_mm", float, path),
        center=center,
        slices=last - first + 1 if last >= first >= 0 else None,
        acceleration=tuple(_number(encoding, f"{acceleration}{i}", int, 1) for i in (1, 2)),
        noise_bandwidth=share if 0 < share <= 1 else 1.0,
        calibration=_text(encoding, "parallelImaging/calibrationMode").lower(),
    )


def remove_oversampling(kspace: Tensor, size: int, axis: int) -> Tensor:
    """K-space of the central ``size`` voxels of the image along the readout ``axis``.

    The crop is exact, as the readout is fully sampled.
    """
    if size == kspace.shape[axis]:
        return kspace
    return fourier.fft(fourier.crop(fourier.ifft(kspace, (axis,)), (size,), (axis,)), (axis,))


def _text(element: ET.Element, where: str) -> str:
    found = element.find("/".join(f"{{*}}{tag}" for tag in where.split("/")))
    return "" if found is None else (found.text or "").strip()


def _number(element: ET.Element, where: str, kind: type, default: int | float) -> int | float:
    text = _text(element, where)
    return kind(text) if text else default


def _triple(element: ET.Element, where: str, kind: type, path: Path) -> tuple:
    texts = [_text(element, f"{where}/{axis}") for axis in "xyz"]
    try:
        values = tuple(kind(text) for text in texts)
    except ValueError:
        raise ReconError(
            f"{path}: {where} of the header reads {[text[:20] for text in texts]}; "
            "expected three numbers: export the file again"
        ) from None
    if not all(math.isfinite(v) and 0 < v < 1e5 for v in values):
        raise ReconError(
            f"{path}: {where} of the header is {[f'{v:.5g}' for v in values]}; "
            "expected three positive sizes: export the file again"
        )
    return values
