"""Where ``recon reconstruct`` writes what, and the field of view that it keeps."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import ReconError

if TYPE_CHECKING:
    from recon.io import Selection
    from recon.mri.scan import Scan


def parted(output: Path) -> tuple[str, str]:
    """The name of a NIfTI file without its ending, and the ending."""
    ending = ".nii.gz" if output.name.endswith(".nii.gz") else ".nii"
    return output.name.removesuffix(ending), ending


def beside(output: Path, name: str) -> Path:
    """Where something that belongs to a volume is written, such as its ``phase``."""
    stem, ending = parted(output)
    return output.with_name(f"{stem}_{name}{ending}")


def preview_file(output: Path) -> Path:
    """Where the picture of a volume is written."""
    return output.with_name(parted(output)[0] + ".png")


def check_preview(output: Path) -> None:
    """Refuses a picture that is there already, unless we wrote it: a volume lies beside it."""
    picture = preview_file(output)
    if picture.exists() and not output.exists():
        raise ReconError(
            f"{picture}: is there already, without {output.name}; the preview would replace it; "
            "move it, or choose another name for the volume"
        )


def outputs_of(output: Path, options: argparse.Namespace) -> list[Path]:
    """Every volume that is written for one frame."""
    names = ["phase"] if options.phase else []
    names += ["mean", "std"] if options.samples else []
    return [output, *(beside(output, name) for name in names)]


def frame_file(output: Path, frame: Selection, scan: Scan) -> Path:
    """Where one of several frames is written: its counters stand in the name."""
    stem, ending = parted(output)
    counted = scan.meta.get("frames", {})
    marks = [f"{n}-{getattr(frame, n)}" for n, values in counted.items() if len(values) > 1]
    return output.with_name("_".join([stem, *marks]) + ending)


def cropped(volume: Any, scan: Scan) -> tuple:
    """The volume within the field of view that was asked for, and the affine of its voxels."""
    from recon.mri import fourier

    if scan.field_of_view is None:
        return volume, scan.affine
    affine = None if scan.affine is None else scan.affine.copy()
    if affine is not None:
        pairs = zip(scan.shape, scan.field_of_view, strict=True)
        affine[:3, 3] += affine[:3, :3] @ [n // 2 - kept // 2 for n, kept in pairs]
    return fourier.crop(volume, scan.field_of_view), affine
