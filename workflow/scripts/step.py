"""One step of the workflow, as Snakemake's rules call it: ``python -m workflow.scripts.step
--config demo prepare knee 3``.

Modules are imported by the step that uses them: every job pays for what is imported here.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

AT_WORK = "steps.lock"  # the lock in results/ that steps hold together


def prepare(study, dataset: str, subject: str) -> None:
    """Prepares one volume."""
    study.prepare(dataset, subject)


def network(study, name: str) -> None:
    """Trains a network.

    Its log lies beside the weights, its checkpoint under the name of all that the run depends on.
    A second process that trains the same network waits, and then finds it trained.
    """
    from recon.files import copy, digest
    from recon.networks.pixels import as_trained
    from recon.networks.trained import lookup
    from recon.networks.weights import load_weights, save_weights
    from recon.study.provenance import training_code
    from recon.training import batches, parallel
    from recon.training.loop import made_by, run_key, train_network

    settings = study.config.networks[name]
    dataset = study.config.datasets[settings.dataset]
    settings = settings.model_copy(update=study.config.told(name))
    light = not batches(lookup(settings.kind).batches).needs_kspace
    splits = (dataset.train, dataset.validation)
    volumes, held_out = (
        [study.volume(settings.dataset, s, reference_only=light) for s in split] for split in splits
    )
    start = study.weights_path(settings.starts_from) if settings.starts_from else None
    hashes, code = [v.hash for v in volumes + held_out], training_code(settings)
    first = load_weights(start)[0] if start else None  # refuses a file that is no network
    key = run_key(settings, hashes, code, digest(start) if start else None)
    checkpoint = study.results / "checkpoints" / f"{name}-{key}.ckpt"
    with parallel.in_turn(checkpoint.with_suffix(".lock")):
        model, log = train_network(
            settings, volumes, held_out, checkpoint, study.config.device, first
        )
    if not parallel.first():
        return
    target = study.network_path(name)
    about = settings.about and settings.about.model_dump()
    axes = getattr(settings, "axes", (0, 1, 2))
    data = as_trained(dataset.model_dump(mode="json"), volumes, axes)
    made = made_by(settings, log, data=data, name=name, run=key, about=about)
    save_weights(target, settings, model, made)
    copy(checkpoint.with_suffix(".jsonl"), target.with_suffix(".jsonl"))


def tune(study, dataset: str, method: str) -> None:
    """Runs the tuning of one method."""
    from recon.files import write_text
    from recon.study.tuning import tune

    write_text(
        study.tuning_path(dataset, method), json.dumps(tune(study, dataset, method), indent=1)
    )


def cases(study, comparison: str, dataset: str, subject: str) -> None:
    """Runs every case of a comparison for one test subject and writes its table."""
    from recon.files import write_text

    table = study.comparison(comparison, [(dataset, subject)])
    write_text(study.table_path(comparison, dataset, subject), table.to_csv(index=False))


def notebook(study, name: str, executed: str) -> None:
    """Executes a notebook and makes its page."""
    from workflow.scripts import notebooks

    notebooks.execute(study, name, Path(executed))


def gallery(study) -> None:
    """Writes the gallery page and the scorecard."""
    from recon.figures import gallery

    gallery.write(study)


def ship(study) -> None:
    """Copies networks trained here, their logs and the tuning to data/, which is shipped."""
    from recon.files import copy, write_text

    config, data = study.config, study.root / "data"
    for name in (n for n, s in config.networks.items() if not s.shipped and not s.weights_of):
        for suffix in (".safetensors", ".jsonl"):
            trained = study.network_path(name).with_suffix(suffix)
            copy(trained, data / "priors" / f"{config.name}_{name}{suffix}")
    records = {}
    for dataset in config.datasets:
        paths = {m: study.tuning_path(dataset, m) for m in config.tuned_on(dataset)}
        if paths:
            made = {m: json.loads(p.read_text()) for m, p in paths.items() if p.exists()}
            records[dataset] = made
    write_text(data / "tuning" / f"{config.name}.json", json.dumps(records, indent=1))


STEPS = {
    prepare: ["dataset", "subject"],
    network: ["name"],
    tune: ["dataset", "method"],
    cases: ["comparison", "dataset", "subject"],
    notebook: ["name", "executed"],
    gallery: [],
    ship: [],
}
ON_GPU = {network, tune, cases, notebook}


def carry_out(study, step: Callable, values: dict[str, str], arguments: list[str]) -> int:
    """Runs a step, on GPUs of its own where the configuration has some; the exit status.

    A training by several processes calls ``arguments`` again in each of them.
    """
    from recon.study import gpus
    from recon.training import parallel
    from workflow.scripts.launch import launch

    device, count = study.config.device, 1
    if parallel.launched():
        with parallel.joined(device):
            step(study, **values)
        return 0
    if step is network:
        count = study.config.processes_for(values["name"])
    locks = study.root / "results" / "gpus"
    with gpus.lent(device if step in ON_GPU else "cpu", count, locks):
        if count > 1:
            return launch(count, __spec__.name, *arguments)
        step(study, **values)
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(description=__doc__)
    out.add_argument("--config", required=True)
    steps = out.add_subparsers(dest="step", required=True)
    for function, positions in STEPS.items():
        step = steps.add_parser(function.__name__, help=function.__doc__.splitlines()[0])
        for position in positions:
            step.add_argument(position)
    return out


def main(arguments: list[str] | None = None) -> int:
    """Runs the step; a user's error is one line and exit status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    values = vars(parser().parse_args(arguments))
    name, config = values.pop("step"), values.pop("config")
    step = next(function for function in STEPS if function.__name__ == name)
    from recon.errors import ReconError
    from recon.files import together
    from recon.schema import ROOT
    from recon.study import open_study

    # A cluster knows its jobs itself; other steps outlive a run that is killed alone.
    here = "SLURM_JOB_ID" not in os.environ
    try:
        with together(ROOT / "results" / AT_WORK) if here else nullcontext():
            return carry_out(open_study(config), step, values, arguments)
    except ReconError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    from workflow.scripts.warm import ask

    status = ask(sys.argv[1:])
    sys.exit(main() if status is None else status)
