"""How ``recon reconstruct`` chooses what nobody gave: the method, its prior and its settings.

Everything is chosen on the scan itself, by how well it predicts samples that are kept back; see
`recon.methods.prediction`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon.errors import ReconError

if TYPE_CHECKING:
    from recon.commands.asking import Asked
    from recon.mri.problem import Problem
    from recon.mri.scan import Scan
    from recon.networks.shelf import Card

WITHOUT, WITH = "l1_wavelet", "annealed"  # the methods that are considered
TRIALS = 12  # of the search for settings
RATES = 1.25  # a network serves accelerations that are this much larger or smaller
CLEARLY = 0.97  # a prior must have an error of at most this share of that without one


@dataclass(frozen=True)
class Choice:
    """A method with its networks and settings, and what was found on the way."""

    method: str
    networks: dict[str, Any] = field(default_factory=dict)
    paths: dict[str, Any] = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    found: dict = field(default_factory=dict)  # for the sidecar


def chosen(problem: Problem, scan: Scan, asked: Asked) -> Choice:
    """The method, networks and settings: as they were given, and else as the scan says."""
    from recon import methods

    options, choice = asked.options, asked.choice
    if asked.tuned:
        return choice
    if choice is None:
        choice = best_method(problem, scan, asked.device, bool(options.samples))
        if "seed" in vars(methods.lookup(choice.method).settings()):
            choice = replace(choice, settings={"seed": options.seed or 0})
    else:
        methods.check_problem(choice.method, problem, choice.settings)
        for path in choice.paths.values():
            warn_of(path, scan)
            warn_of_masks(path, problem)
    if options.samples and "prior" not in choice.networks:
        raise ReconError(f"method {choice.method} has no prior to draw from; do not give --samples")
    if options.tune is False:
        return choice
    return tuned(problem, choice, options.trials or TRIALS, options.tune is True)


def fitting(scan: Scan) -> tuple[list[Card], list[Card]]:
    """The priors of measured anatomy whose pixels are like those of a scan, and the others.

    Priors of stacks are left out: the comparison that chooses one looks at few slices.
    """
    from recon.networks.shelf import shelf

    pixel = pixel_of(scan)
    cards = [card for card in shelf() if card.measured and card.stack == 1]
    return [c for c in cards if c.fits(pixel)], [c for c in cards if not c.fits(pixel)]


def pixel_of(scan: Scan) -> tuple[float, float]:
    """The pixel of the slices that a prior would see, in mm; of a volume its extremes."""
    flat = scan.stack or scan.shape[2] == 1
    return scan.voxel[:2] if flat else (min(scan.voxel), max(scan.voxel))


def warn_of(path: Path, scan: Scan) -> None:
    """Says so where a prior that was asked for was trained on something else than this scan."""
    from recon.networks.shelf import card

    found, pixel = card(path), pixel_of(scan)
    if not found:
        return
    if not found.measured:
        print(f"  Warning: {path.name} was trained on {found.anatomy}, not for measured scans.")
    if found.pixels and not found.fits(pixel):
        trained, here = (" to ".join(f"{p:.3g}" for p in sizes) for sizes in (found.pixels, pixel))
        print(f"  Warning: {path.name} was trained on pixels of {trained} mm; here are {here} mm.")


def warn_of_masks(path: Path, problem: Problem) -> None:
    """Says so where a network that reconstructs learned other masks than that of this scan."""
    from recon.mri import masks
    from recon.networks.shelf import card

    found, mask = card(path), problem.operator.mask
    if not found or not found.masks:
        return
    learned, rates = found.masks
    rate, shape = masks.acceleration(mask), tuple(mask.shape)
    if not any(1 / RATES < masks.realised(learned, shape, r) / rate < RATES for r in rates):
        at = " and ".join(f"{r:g}" for r in rates)
        print(f"  Warning: {path.name} was trained at R = {at}; here R is {rate:.1f}.")
    lines = bool((mask == mask[:, :1]).all())
    if lines != learned.kind.endswith("_1d") and not problem.operator.stack:
        here = "whole lines" if lines else "single phase encodes"
        print(f"  Warning: {path.name} was trained on masks {learned.kind}; {here} were measured.")


def best_method(problem: Problem, scan: Scan, device: str, draws: bool = False) -> Choice:
    """ℓ1-wavelet, or a diffusion prior that predicts this scan clearly better; says which and why.

    Where nothing can be kept back, it is ℓ1-wavelet. For ``draws`` it is the best of the priors,
    with a warning where ℓ1-wavelet predicts better: then the prior may not know this anatomy.
    """
    from recon.methods import prediction
    from recon.networks.weights import load_weights
    from recon.schema import ROOT

    cards, others = fitting(scan)
    if scan.meta.get("voxel") == "unknown":
        print("  The file gives no voxel size, so 1 mm is assumed, by which priors are judged.")
        print("  --voxel X Y Z gives it.")
    if others:
        names = ", ".join(card.name for card in others)
        print(f"  Left out, as it was trained on other voxel sizes: {names}; --prior takes it.")
    choices = [Choice(WITHOUT)]
    for card in cards:
        path = ROOT / card.path
        networks = {"prior": load_weights(path)[0].to(device)}
        choices.append(Choice(WITH, networks, {"prior": path}))
        print(f"  Prior {card.name}: trained on {card.anatomy}, {card.contrasts}.")
    try:
        pieces = prediction.held_out_parts(problem, WITH)
    except ReconError as error:
        taken = choices[1 if draws and cards else 0]
        print(f"  {named(taken)} is taken unchecked: {str(error).split(';')[0]}.")
        return taken
    errors = []
    for choice in choices:
        error = prediction.estimated_error(pieces, choice.method, choice.networks)
        errors.append(max(error, 0.0) ** 0.5)
        name = named(choice)
        print(f"  {name} predicts samples that were kept back to {100 * errors[-1]:.1f} %.")
    best = min(range(1 if draws and cards else 0, len(choices)), key=errors.__getitem__)
    if errors[best] >= CLEARLY * errors[0] and not draws:
        best = 0
    if errors[best] > errors[0]:
        print(f"  Warning: {WITHOUT} predicts better. The prior may not know this anatomy, and")
        print("  draws from it may agree where they are wrong.")
    print(f"  So it is {named(choices[best])}.", flush=True)
    predicted = {named(c): round(e, 4) for c, e in zip(choices, errors, strict=True)}
    return replace(choices[best], found={"predicted_to": predicted})


def named(choice: Choice) -> str:
    """A choice in words."""
    prior = choice.paths.get("prior")
    return f"{choice.method} with the prior {prior.stem}" if prior else choice.method


def tuned(problem: Problem, choice: Choice, trials: int, insist: bool) -> Choice:
    """The choice with those settings searched that nobody gave; says what was found.

    Where nothing can be kept back, or trials take too long, they stay as they are; ``insist``
    refuses the one and waits for the other.
    """
    from recon import methods
    from recon.methods import prediction

    space = methods.lookup(choice.method).space
    if not set(space) - set(choice.settings):
        if insist:
            raise ReconError(f"method {choice.method} has nothing to tune; do not give --tune")
        return choice
    longest = math.inf if insist else prediction.LONGEST
    try:
        found = prediction.choose(
            problem, choice.method, choice.networks, trials, fixed=choice.settings, longest=longest
        )
    except ReconError as error:
        if insist:
            raise
        print(f"  Settings are not tuned: {str(error).split(';')[0]}.")
        return choice
    chosen = ", ".join(f"{k} {v:.3g}" for k, v in found.settings.items())
    took = f"{found.trials} trials on the scan itself took {found.seconds:.0f} s"
    print(f"  {took} and chose {chosen}.", flush=True)
    tuning = {"trials": found.trials, "seconds": round(found.seconds, 1)}
    held, twin = (round(error, 4) for error in found.errors)
    tuning |= {"chosen": found.settings, "held_out_error": held, "twin_error": twin}
    settings = choice.settings | found.settings
    return replace(choice, settings=settings, found=choice.found | {"tuning": tuning})
