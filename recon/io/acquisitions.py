"""Which acquisitions of an ISMRMRD file make the image, the calibration and the noise scan."""

from dataclasses import dataclass
from pathlib import Path

import ismrmrd
import numpy as np

from recon.errors import ReconError
from recon.io.frames import COUNTERS, Selection, chosen, first_of, option
from recon.io.header import Header

NOT_IMAGING = (
    ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    ismrmrd.ACQ_IS_NAVIGATION_DATA,
    ismrmrd.ACQ_IS_PHASECORR_DATA,
    ismrmrd.ACQ_IS_HPFEEDBACK_DATA,
    ismrmrd.ACQ_IS_DUMMYSCAN_DATA,
    ismrmrd.ACQ_IS_RTFEEDBACK_DATA,
    ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE,
    ismrmrd.ACQ_IS_PHASE_STABILIZATION,
)


UNFINISHED = 0.9  # a frame with a smaller share of the usual number of lines was not finished


@dataclass(frozen=True)
class Rows:
    """Indices of acquisitions, in the order of the file."""

    imaging: np.ndarray
    calibration: np.ndarray  # of a separate scan; empty where there is none
    noise: np.ndarray
    frames: dict[str, list[int]]  # the values of each counter that belong to whole frames
    notes: tuple[str, ...]


def flagged(heads: np.ndarray, *flags: int) -> np.ndarray:
    """Which acquisitions have at least one of the flags."""
    return (heads["flags"] & np.uint64(sum(1 << (flag - 1) for flag in flags))) != 0


def common(heads: np.ndarray, key: str, path: Path) -> int:
    """The one value of a field that all acquisitions have."""
    values = np.unique(heads[key])
    if len(values) > 1:
        raise ReconError(
            f"{path}: {key} differs between acquisitions ({values.min()} to {values.max()}); "
            "export one measurement per file"
        )
    return int(values[0])


def choose(heads: np.ndarray, header: Header, selection: Selection, path: Path) -> Rows:
    """The acquisitions of one frame.

    Frames that were not finished are left out. Repetitions that sample different lines are the
    shots of one scan, and are read together.
    """
    notes: list[str] = []
    keep = ~flagged(heads, *NOT_IMAGING)
    calibration = keep & flagged(heads, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    calibration &= ~flagged(heads, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
    separate = header.calibration in ("separate", "external")
    if not separate and calibration.any():
        # Lines that the image has as well are a scan of their own, whatever the header says.
        twice = np.isin(_lines(heads[calibration]), _lines(heads[keep & ~calibration]))
        calibration &= bool(twice.all())
    keep &= ~calibration
    if keep.any() and (other := keep & (heads["encoding_space_ref"] != 0)).any():
        if other[keep].all():
            raise ReconError(f"{path}: no acquisition belongs to the first encoding of the header")
        notes.append(f"{other.sum()} acquisitions of further encoding spaces were left out.")
        keep &= ~other
    if selection.slice is not None and keep.any():
        slices = np.unique(heads["idx"]["slice"][keep]).tolist()
        wanted = heads["idx"]["slice"] == chosen(path, "slice", selection.slice, slices)
        keep, calibration = keep & wanted, calibration & wanted
    frames = {}
    for counter in COUNTERS:
        keep, frames[counter] = _frame(heads, keep, counter, selection, path, notes)
    if not keep.any():
        raise ReconError(
            f"{path}: none of the {len(heads)} acquisitions is imaging data; "
            "check which measurement was exported"
        )
    if flagged(heads[keep], ismrmrd.ACQ_IS_REVERSE).any():
        raise ReconError(
            f"{path}: holds reversed (EPI) readouts, which need a phase correction; "
            "export phase-corrected data"
        )
    noise = flagged(heads, ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
    return Rows(*map(np.flatnonzero, (keep, calibration, noise)), frames, tuple(notes))


def _frame(
    heads: np.ndarray,
    keep: np.ndarray,
    counter: str,
    selection: Selection,
    path: Path,
    notes: list[str],
) -> tuple[np.ndarray, list[int]]:
    """The acquisitions of one value of a counter, and the values whose frames are whole."""
    values = np.unique(heads["idx"][counter][keep]).tolist()
    wanted = getattr(selection, counter)
    if wanted is not None:
        chosen(path, counter, wanted, values)
    if len(values) < 2:
        return keep, values
    lines = {v: _lines(heads[keep & (heads["idx"][counter] == v)]) for v in values}
    usual = float(np.median([len(found) for found in lines.values()]))
    whole = [v for v in values if len(lines[v]) >= UNFINISHED * usual]
    for value in (v for v in values if v not in whole):
        size = f"{len(lines[value])} lines, others {max(map(len, lines.values()))}"
        done = "was read all the same" if value == wanted else "was left out"
        notes.append(f"The {counter} {value} is unfinished ({size}) and {done}.")
    counts = [len(lines[v]) for v in whole]
    together = len(np.unique(np.concatenate([lines[v] for v in whole])))
    # Frames of a dynamic scan share their central lines; shots of one scan share none.
    if wanted is None and counter == "repetition" and 1 < len(whole) and together == sum(counts):
        size = f"{max(counts)} of {together} lines each"
        notes.append(f"{len(whole)} repetitions of {size} were read together; {option(counter)}")
        notes[-1] += " N reads one alone."
        return keep & np.isin(heads["idx"][counter], whole), whole
    first = whole[0] if wanted is None else wanted
    if wanted is None and len(whole) > 1:
        notes.append(first_of(counter, len(whole)))
    return keep & (heads["idx"][counter] == first), whole


def _lines(heads: np.ndarray) -> np.ndarray:
    """One number for each line that the acquisitions sample."""
    index = heads["idx"]
    step = index["kspace_encode_step_2"].astype(np.int64) * 2**16 + index["kspace_encode_step_1"]
    return np.unique(step * 2**16 + index["slice"])
