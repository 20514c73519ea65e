"""Which trained networks are here: shipped ones, and those that the workflow trained."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from recon.files import digest
from recon.io.checks import printable
from recon.mri.masks import Mask
from recon.networks import trained
from recon.networks.pixels import factors, pixels
from recon.schema import ROOT

SHIPPED, TRAINED = "data/priors", "results/*/networks"


@dataclass(frozen=True)
class Card:
    """What the header of weights says to someone who looks for a prior."""

    name: str
    path: str
    kind: str
    anatomy: str
    contrasts: str
    pixels: tuple[float, float] | None  # mm, smallest and largest that it was trained on
    matrix: tuple[int, int]  # of training slices, smallest and largest side
    stack: int  # neighbouring slices that it was trained to see together; 1 for a 2D prior
    measured: bool  # whether slices were varied so that it serves measured scans
    # Of a network that reconstructs: the masks that it learned, and their accelerations.
    masks: tuple[Mask, tuple[float, ...]] | None
    licence: str
    attribution: str
    sha256: str

    def fits(self, pixel: tuple[float, float], slack: float = 1.25) -> bool:
        """Whether pixels of this size, in mm, are like those of the training, to within a factor
        ``slack``.
        """
        if self.pixels is None:
            return False
        low, high = self.pixels
        return all(low / slack <= p <= high * slack for p in pixel)

    def facts(self) -> dict:
        """The card as JSON."""
        return asdict(self)


def shelf(root: Path = ROOT) -> list[Card]:
    """The priors that are here, shipped ones first. Files that are no weights of ours are left out.

    Paths are relative to the repository.
    """
    files = [*sorted((root / SHIPPED).glob("*.safetensors")), *sorted(root.glob(TRAINED + "/*"))]
    cards = (card(f, root) for f in files if f.suffix == ".safetensors")
    return [found for found in cards if found and trained.lookup(found.kind).denoises]


def card(path: Path, root: Path = ROOT) -> Card | None:
    """The card of one file; None where it holds no weights of ours."""
    try:
        with safe_open(path, framework="np") as file:
            header = file.metadata() or {}
        made = json.loads(header["provenance"])
        settings = made.get("training") or json.loads(header["settings"])
        if "kind" in header and header["kind"] != settings.get("kind", header["kind"]):
            return None
        return _read(path, root, header, settings, made)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _read(path: Path, root: Path, header: dict, settings: dict, made: dict) -> Card:
    data, about = made.get("data") or {}, made.get("about") or {}
    transfer, phantom = settings.get("transfer"), data.get("kind") == "phantom"
    (finest, coarsest), shape = factors(data, settings), data.get("shape") or (0, 0, 0)
    matrix = round(min(shape) / coarsest), round(max(shape) / finest)
    anatomy = f"{data.get('anatomy')} (phantom)" if phantom else data.get("label", "unknown")
    return Card(
        name=path.stem,
        path=str(path.relative_to(root)) if path.is_relative_to(root) else str(path),
        kind=header.get("kind", "ddpm"),
        anatomy=printable(str(about.get("anatomy", anatomy))),
        contrasts=printable(str(about.get("contrasts", "simulated" if phantom else "unknown"))),
        pixels=pixels(data, settings),
        matrix=tuple(transfer["size"]) if transfer else matrix,
        stack=settings.get("stack", 1),
        measured=bool(transfer) or (not phantom and "kind" in data),
        masks=_masks(settings),
        licence=printable(str(about.get("licence", "MIT" if phantom else "unknown"))),
        attribution=printable(
            str(about.get("attribution", "computed phantoms" if phantom else "unknown"))
        ),
        sha256=digest(path),
    )


def _masks(settings: dict) -> tuple[Mask, tuple[float, ...]] | None:
    """The masks that a network that reconstructs learned; None of a prior."""
    if "mask" not in settings:
        return None
    alone, all_of_them = settings.get("acceleration"), settings.get("accelerations")
    return Mask(**settings["mask"]), tuple([alone] if alone else all_of_them)
