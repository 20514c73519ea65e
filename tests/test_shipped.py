"""What is shipped is what the configuration describes, small, and with its provenance."""

import json

import pytest

from recon.config import CONFIGS, ROOT, Dataset, load
from recon.diffusion import load_weights

CONFIGURED = [(path.stem, name) for path in CONFIGS.glob("*.yaml") for name, p in load(path.stem).priors.items() if p.shipped]
SHIPPED = [(c, n) for c, n in CONFIGURED if load(c).priors[n].shipped.startswith("data/")]


@pytest.mark.parametrize(("config", "name"), SHIPPED)
def test_shipped_prior_was_trained_by_its_configuration(config, name):
    settings = load(config)
    section = settings.priors[name]
    path = ROOT / section.shipped
    prior, about = load_weights(path)
    assert path.stat().st_size <= 5e6
    assert Dataset(**about["data"]) == settings.datasets[section.dataset]
    trained = about["training"]
    assert {k: trained[k] for k in ("steps", "batch", "seed", "focus")} == section.model_dump(include={"steps", "batch", "seed", "focus"})
    assert tuple(trained["network"]["multipliers"]) == section.network.multipliers
    log = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    assert log[-1]["step"] == section.steps and log[-1]["mse"] == about["validation_mse"]


def test_shipped_tuning_has_one_budget_for_all_methods_and_no_test_subject():
    config = load("demo")
    records = json.loads((ROOT / config.tuning.shipped).read_text())
    assert set(records) == set(config.datasets)
    for dataset, methods in records.items():
        assert set(methods) == set(config.methods)
        for name, record in methods.items():
            assert set(record["subjects"]) <= set(config.datasets[dataset].validation)
            counts = {len(trials) for trials in record["trials"].values()}
            assert counts == ({1} if name == "zero_filled" else {config.tuning.trials})


def test_repository_is_small():
    import subprocess

    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True).stdout.split("\0")
    total = sum((ROOT / name).stat().st_size for name in listed if name and (ROOT / name).is_file())
    assert total < 40e6
