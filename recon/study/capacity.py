"""What representations can hold: how well they fit a volume that is known (paper A, Figure A.7)."""

import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pandas as pd
import torch
from jaxtyping import Complex
from torch import Tensor

from recon import representations
from recon.methods.common import ignore
from recon.mri import fourier
from recon.mri.problem import Problem
from recon.representations.fitting import Descent, fit
from recon.study.cases import Stopwatch, psnr_of
from recon.study.costs import positions
from recon.study.study import Study

RATE = 0.1  # of Adam, in the scale of `Problem`


def capacity(
    study: Study,
    dataset: str,
    subject: str | int,
    choices: Iterable[dict[str, Any]],
    iterations: int = 300,
) -> pd.DataFrame:
    """How well each of some representations fits the target of a volume, without any prior.

    ``choices`` are representations with their settings, such as ``{"kind": "implicit", "width":
    64}``. They are fitted to all of k-space by the same steps of Adam as a reconstruction. There is
    a row for each: ``parameters`` (real numbers), ``psnr``, ``seconds`` and ``peak_memory_mb``.
    """
    scan, rows = study.volume(dataset, subject), []
    problem = fully_sampled(scan.target).to(study.config.device)
    descent = Descent(iterations, RATE, decay="linear")
    for given in choices:
        choice = representations.chosen(given)
        with Stopwatch(study.config.device) as watch:
            model = representations.make(choice, problem.rhs)
            fitted = fit(model, problem, lambda *_: None, descent, ignore, choice["kind"])
        row = {"dataset": dataset, "volume": str(subject), "representation": choice["kind"]}
        row |= {key: value for key, value in given.items() if key != "kind"}
        row["parameters"] = numbers(model)
        row["psnr"] = psnr_of(problem.unscale(fitted).abs().cpu(), scan)
        rows.append(row | {"seconds": watch.seconds, "peak_memory_mb": watch.megabytes})
    return pd.DataFrame(rows)


def fully_sampled(volume: Complex[Tensor, "x y z"]) -> Problem:
    """The problem of one coil of uniform sensitivity that measures all of k-space."""
    mask = torch.ones(volume.shape[1:], dtype=torch.bool)
    return Problem.build(fourier.fft(volume)[None], mask, torch.ones_like(volume)[None])


def costs(study: Study, table: pd.DataFrame, by: str = "method") -> pd.DataFrame:
    """Parameters, time, memory and quality of every value of ``by``: means over a table's rows.

    Its methods must have a representation. Parameters are counted before fitting begins.
    """
    counts = []
    for row in table.to_dict("records"):
        change = {"representation": row["value"]} if row["varied"] == "representation" else {}
        form = study.typed(row["dataset"], row["method"], change)
        case = study.case(row["dataset"], row["volume"], row["R"], row["method"], **form)
        start = study.problem(row["dataset"], row["volume"], row["R"]).rhs
        choice = case.settings["representation"] | {"warm": 0}
        known = representations.lookup(choice["kind"]).settings.model_fields
        kept = {key: value for key, value in choice.items() if key in known or key == "kind"}
        counts.append(numbers(representations.make(kept, start)))
    columns = ["parameters", "seconds", "peak_memory_mb", "psnr"]
    means = table.assign(parameters=counts).groupby(["dataset", by], sort=False)[columns].mean()
    return means.reset_index()


def gradients(forms: dict[str, dict[str, Any]], shape: tuple[int, int, int]) -> pd.DataFrame:
    """Time and memory of one gradient of representations of a volume, each in a process of its own.

    ``forms`` names them. ``points`` is at how many positions a network is evaluated,
    ``rises_mb`` by how much the memory of the process rises meanwhile.
    """
    spawn, rows = multiprocessing.get_context("spawn"), []
    for name, form in forms.items():
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            rows.append({"network": name} | pool.submit(_gradient, form, shape).result())
    return pd.DataFrame(rows)


def _gradient(form: dict[str, Any], shape: tuple[int, int, int]) -> dict[str, float]:
    """What one gradient of a representation takes."""
    torch.set_num_threads(1)
    choice = representations.chosen(form)
    model = representations.make(choice, torch.zeros(shape, dtype=torch.complex64))
    with Stopwatch("cpu") as begun:
        pass  # its memory is that of the process before
    with Stopwatch("cpu") as watch:
        model.volume().abs().square().sum().backward()
    found = {"parameters": numbers(model), "points": positions(choice, shape)}
    return found | {"seconds": watch.seconds, "rises_mb": watch.megabytes - begun.megabytes}


def voxels(study: Study, table: pd.DataFrame) -> list[int]:
    """How many voxels the volume of each row of a table has."""
    rows = table[["dataset", "volume"]].to_dict("records")
    return [study.volume(row["dataset"], row["volume"]).target.numel() for row in rows]


def numbers(model: representations.Representation) -> int:
    """How many real numbers a representation has."""
    return sum(parameter.numel() for parameter in model.parameters())


def grid(kind: str, **settings: Sequence[Any]) -> list[dict[str, Any]]:
    """A representation with all combinations of some settings, for `capacity`."""
    out: list[dict[str, Any]] = [{"kind": kind}]
    for name, values in settings.items():
        out = [choice | {name: value} for choice in out for value in values]
    return out
