"""One step of the workflow, as Snakemake's rules call it: ``python -m workflow.scripts.step --config demo prepare knee 3``."""

import argparse
import json
import shutil
import sys
from pathlib import Path

import pandas as pd

from recon import ReconError, training, tuning
from recon.config import TRAINING, load
from recon.diffusion import save_weights
from recon.experiments import Study, code_hash, write_text
from recon.unet import UNetConfig
from workflow.scripts import gallery, notebooks


def prior(study: Study, name: str) -> None:
    """Trains a prior; its log lies beside the weights, its checkpoint under the name of all that the run depends on."""
    section = study.config.priors[name]
    dataset = study.config.datasets[section.dataset]
    splits = (dataset.train, dataset.validation)
    volumes, held_out = ([study.volume(section.dataset, s, reference_only=True) for s in split] for split in splits)
    options = section.model_dump(exclude={"dataset", "shipped", "network"})
    config = training.TrainingConfig(**options, resampling=dataset.resampling, network=UNetConfig(**section.network.model_dump()))
    key = training.run_key(config, [v.hash for v in volumes + held_out], code_hash(*TRAINING))
    checkpoint = study.results / "checkpoints" / f"{name}-{key}.ckpt"
    references = ([v.reference for v in split] for split in (volumes, held_out))
    model, log = training.train(*references, config, checkpoint, study.config.device)
    target = study.prior_path(name)
    save_weights(target, model.network, training.provenance(config, log, data=dataset.model_dump(mode="json"), prior=name, run=key))
    shutil.copy(checkpoint.with_suffix(".jsonl"), target.with_suffix(".jsonl"))


def tune(study: Study, dataset: str, method: str) -> None:
    """Runs the tuning of one method."""
    write_text(study.tuning_path(dataset, method), json.dumps(tuning.tune(study, dataset, method), indent=1))


def cases(study: Study, comparison: str, dataset: str, subject: str) -> None:
    """Runs every case of a comparison for one test subject and writes its table."""
    table: pd.DataFrame = study.comparison(comparison, [(dataset, subject)])
    write_text(study.results / "tables" / comparison / dataset / f"{subject}.csv", table.to_csv(index=False))


def ship(study: Study) -> None:
    """Copies the priors trained here, their logs and the tuning records to data/, where the repository ships them."""
    data = study.root / "data"
    (data / "priors").mkdir(parents=True, exist_ok=True)
    for name in (name for name, section in study.config.priors.items() if not section.shipped):
        for suffix in (".safetensors", ".jsonl"):
            source = study.prior_path(name).with_suffix(suffix)
            shutil.copy(source, data / "priors" / f"{study.config.name}_{name}{suffix}")
    made = {d: {m: study.tuning_path(d, m) for m in study.config.methods_on(d)} for d in study.config.datasets}
    records = {d: {m: json.loads(p.read_text()) for m, p in paths.items() if p.exists()} for d, paths in made.items() if paths}
    write_text(data / "tuning" / f"{study.config.name}.json", json.dumps(records, indent=1))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(description=__doc__)
    out.add_argument("--config", required=True)
    steps = out.add_subparsers(dest="step", required=True)
    takes = {
        "prepare": ["dataset", "subject"],
        "prior": ["name"],
        "tune": ["dataset", "method"],
        "cases": ["comparison", "dataset", "subject"],
        "notebook": ["name", "executed"],
        "gallery": [],
        "ship": [],
    }
    for name, positions in takes.items():
        step = steps.add_parser(name)
        for position in positions:
            step.add_argument(position)
    return out


def main(arguments: list[str] | None = None) -> int:
    """Runs the step; a user's error is one line and exit status 2."""
    values = vars(parser().parse_args(arguments))
    step, config = values.pop("step"), values.pop("config")
    try:
        study = Study(load(config))
        actions = {
            "prepare": study.prepare,
            "prior": lambda name: prior(study, name),
            "tune": lambda dataset, method: tune(study, dataset, method),
            "cases": lambda comparison, dataset, subject: cases(study, comparison, dataset, subject),
            "notebook": lambda name, executed: notebooks.execute(study, config, name, Path(executed)),
            "gallery": lambda: gallery.write(study),
            "ship": lambda: ship(study),
        }
        actions[step](**values)
    except ReconError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
