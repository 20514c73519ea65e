"""Studies: configurations, their inputs and cases, tuning, and the provenance of every result.

A newcomer adds nothing here. Methods, datasets, networks and representations are found by name in
their rooms.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recon.study.study import Study


def open_study(config: str | Path) -> Study:
    """The study of a configuration, as notebooks and rules use it.

    Sets the number of threads for the process, since sums depend on it in the last bit, and the GPU
    where the configuration gives its number.
    """
    # Imports wait until here, because the command line starts sooner without them.
    import torch

    from recon.study.config import load
    from recon.study.study import Study

    study = Study(load(config), source=str(config))
    torch.set_num_threads(study.config.threads)
    if ":" in study.config.device and torch.cuda.is_available():
        torch.cuda.set_device(study.config.device)
    return study


__all__ = ["open_study"]
