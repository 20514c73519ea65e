"""How fast the solvers of the variational problem converge."""

import pandas as pd

from recon.study.study import Study

ANNEALED = {"schedule": "annealed", "t_max": 200.0, "t_min": 4.0}

# By the label in figures: the method, and the changes of its settings.
SOLVERS = {
    "Adam, uniform t (paper)": ("variational", {}),
    "Adam, annealed t (not tuned)": ("variational", ANNEALED),
    "annealed t, CG data step (ours)": ("annealed", {}),
}


def solver_traces(study: Study, dataset: str, acceleration: float) -> pd.DataFrame:
    """PSNR on the first test subject after every iteration of each solver.

    The table is empty where no solver is configured.
    """
    subject, traces = study.config.datasets[dataset].test[0], []
    for label, (method, changes) in SOLVERS.items():
        if method in study.config.methods and study.config.prior_of(dataset):
            found = study.trace(study.case(dataset, subject, acceleration, method, **changes))
            traces.append(found.assign(dataset=dataset, R=acceleration, solver=label))
    return pd.concat(traces, ignore_index=True) if traces else pd.DataFrame()
