"""How well priors denoise slices of validation volumes, as the headers of their weights say."""

from pathlib import Path

import pandas as pd

from recon.networks.weights import load_weights
from recon.study.study import Study


def errors(study: Study, names: list[str]) -> pd.DataFrame:
    """The error of one denoising step, a row for each prior.

    ``σ = ...`` is the mean squared error at that noise level; that of the answer zero is 1.
    ``minutes`` is how long training took, that of the weights it began with included. ``mean`` is
    the geometric mean of the errors at the levels that all priors have in common.
    """
    rows = []
    for name in names:
        path = study.network_path(name)
        about = load_weights(path)[1]
        row = {"prior": name, "kind": study.config.networks[name].kind}
        row["minutes"] = minutes(study, path)
        rows.append(row | {f"σ = {k}": v for k, v in about.get("validation_mse", {}).items()})
    table = pd.DataFrame(rows).set_index("prior")
    levels = table.filter(like="σ").dropna(axis=1)
    table.insert(2, "mean", levels.prod(axis=1) ** (1 / max(1, levels.shape[1])))
    return table


def minutes(study: Study, path: Path) -> float:
    """How long a network was trained, with the training of the weights that it began with."""
    about = load_weights(path)[1]
    begun = about.get("training", {}).get("starts_from")
    before = study.weights_path(begun) if begun else path
    earlier = minutes(study, before) if before.exists() and before != path else 0.0
    return earlier + about.get("seconds", float("nan")) / 60
