"""Where in k-space a reconstruction errs: its error by shells of spatial frequency."""

from collections.abc import Callable, Iterable, Iterator

import pandas as pd
import torch
from jaxtyping import Float, Num
from torch import Tensor

from recon.mri import fourier
from recon.study.study import Study

LABELS = ["dataset", "volume", "method", "prior", "dimension", "R", "target"]


def errors_by_shell(study: Study, table: pd.DataFrame, shells: int = 10) -> pd.DataFrame:
    """For every row of a table, the error of the magnitude in each shell, ``error``.

    It is relative to the target in the same shell: 1 is the error of a reconstruction without these
    frequencies. ``frequency`` is the middle of the shell, as a share of the highest one along an
    axis. Only the object counts.
    """
    return relative_errors(study, table, lambda volume: energies(volume, shells))


def relative_errors(
    study: Study,
    table: pd.DataFrame,
    parts: Callable[[Float[Tensor, "x y z"]], Float[Tensor, "parts"]],
) -> pd.DataFrame:
    """For every row of a table, the error in each of the ``parts`` of a spectrum, by energy."""
    rows = []
    for row, found, target, _ in in_the_object(study, table):
        share = parts(found - target) / parts(target)
        about = {name: row[name] for name in (*LABELS, "entry") if name in row}
        rows += [
            about | {"frequency": (n + 0.5) / len(share), "error": float(part.sqrt())}
            for n, part in enumerate(share)
        ]
    return like(table, rows)


def like(table: pd.DataFrame, rows: Iterable[dict]) -> pd.DataFrame:
    """Rows as a table that has the labels of another."""
    made = pd.DataFrame(rows)
    made.attrs = table.attrs
    return made


def in_the_object(
    study: Study, table: pd.DataFrame
) -> Iterator[tuple[dict, Tensor, Tensor, Tensor]]:
    """Each row with its magnitude and its target, both zero outside the object, and the object."""
    for row in table.to_dict("records"):
        scan = study.volume(row["dataset"], row["volume"])
        inside = scan.support
        yield row, study.reconstruction(row) * inside, scan.target.abs() * inside, inside


def energies(volume: Num[Tensor, "x y z"], shells: int) -> Float[Tensor, "shells"]:
    """The energy of a volume in shells of k-space, from its centre to the end of the axes."""
    spectrum = fourier.fft(volume.to(torch.complex64)).abs().square().double()
    axes = [(torch.arange(n) - n // 2).double() / max(1, n // 2) for n in volume.shape]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    shell = ((x**2 + y**2 + z**2).sqrt() * shells).long()
    inside = shell < shells
    return torch.bincount(shell[inside], weights=spectrum[inside], minlength=shells)
