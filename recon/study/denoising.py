"""How well priors denoise slices of validation volumes, as the headers of their weights say."""

import pandas as pd

from recon.networks.weights import load_weights
from recon.study.study import Study


def errors(study: Study, names: list[str]) -> pd.DataFrame:
    """The error of one denoising step, a row for each prior.

    ``σ = ...`` is the mean squared error at that noise level; that of the answer zero is 1.
    ``minutes`` is how long training took, ``mean`` the geometric mean of the errors at the levels
    that all priors have in common.
    """
    rows = []
    for name in names:
        about = load_weights(study.network_path(name))[1]
        row = {"prior": name, "kind": study.config.networks[name].kind}
        row["minutes"] = about.get("seconds", float("nan")) / 60
        rows.append(row | {f"σ = {k}": v for k, v in about.get("validation_mse", {}).items()})
    table = pd.DataFrame(rows).set_index("prior")
    levels = table.filter(like="σ").dropna(axis=1)
    table.insert(2, "mean", levels.prod(axis=1) ** (1 / max(1, levels.shape[1])))
    return table
