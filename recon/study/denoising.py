"""How well priors denoise slices of validation volumes, as the headers of their weights say."""

from pathlib import Path

import pandas as pd

from recon.networks.weights import Settings, load_weights
from recon.study import costs
from recon.study.study import Study


def errors(study: Study, names: list[str]) -> pd.DataFrame:
    """The error of one denoising step, a row for each prior.

    ``σ = ...`` is the mean squared error at that noise level; that of the answer zero is 1.
    ``mean`` is the geometric mean of the errors at the levels that all priors have in common.
    ``training`` is what the prior's training took; see `training`.
    """
    rows = []
    for name in names:
        path, section = study.network_path(name), study.config.networks[name]
        about, plane = load_weights(path)[1], costs.size(study.config, section.dataset)[0][1:]
        row = {"prior": name, "kind": section.kind, "training": training(study, path, plane)}
        rows.append(row | {f"σ = {k}": v for k, v in about.get("validation_mse", {}).items()})
    table = pd.DataFrame(rows).set_index("prior")
    levels = table.filter(like="σ").dropna(axis=1)
    table.insert(2, "mean", levels.prod(axis=1) ** (1 / max(1, levels.shape[1])))
    return table


def training(study: Study, path: Path, plane: tuple[int, int]) -> float:
    """The operations of a training, in 10¹²: a step takes about three forward passes.

    That of the weights which it began with is included. Minutes would be those of a machine, and of
    what else it did.
    """
    settings = Settings.validate_python(load_weights(path)[1]["training"])
    begun, own = settings.starts_from, 3e-12 * costs.training_operations(settings, plane)
    before = study.weights_path(begun) if begun else path
    earlier = training(study, before, plane) if before.exists() and before != path else 0.0
    return earlier + own
