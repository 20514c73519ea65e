"""What is shipped is what the configuration describes, small, and with its provenance."""

import json

import pytest

from recon.data.section import Dataset
from recon.errors import ReconError
from recon.methods import lookup
from recon.networks.weights import load_weights
from recon.schema import ROOT
from recon.study.config import load
from recon.study.preflight import check_shipped
from recon.study.provenance import CHOICES

DEMO = load("demo")
CONFIGS = {name: load(name) for name in ("demo", "infusion", "r3dm", "head")}
# Configurations that are like the demo ship what it does.
SHIPPED = {
    section.shipped: (config, name)
    for config in reversed(CONFIGS.values())
    for name, section in config.networks.items()
    if section.shipped
}


def test_all_that_is_shipped_is_used():
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "data/priors").glob("*.safetensors")}
    assert files == set(SHIPPED)


@pytest.mark.parametrize(
    ("config", "name"), SHIPPED.values(), ids=lambda part: getattr(part, "name", part)
)
def test_shipped_prior_was_trained_by_its_configuration(config, name):
    """On the same data, with the same settings; small, and with its log."""
    section = config.networks[name]
    path = ROOT / section.shipped
    prior, about = load_weights(path)
    assert path.stat().st_size <= 5e6
    wanted = config.datasets[section.dataset]
    # Where a dataset says none, the header has the range of the voxels and shapes that were seen.
    unsaid = {key: None for key in ("voxel", "shape") if getattr(wanted, key) is None}
    seen = Dataset(**about["data"] | unsaid)
    data, wanted = (d.model_dump(exclude=CHOICES - {"train", "validation"}) for d in (seen, wanted))
    assert (
        data == wanted
        and about["training"].get("resampling", "kspace")
        == config.datasets[section.dataset].resampling
    )
    said = section.model_dump(
        mode="json", include=section.model_fields_set - {"dataset", "shipped", "network", "about"}
    )
    assert {key: about["training"][key] for key in said} == said
    assert section.network.model_dump(mode="json").items() >= about["training"]["network"].items()
    # Zero has the error 1. At the highest noise a prior can know no more, so 2 % are allowed. That
    # of heads was trained for lower noise, at which measured scans are reconstructed.
    assert max(about["validation_mse"].values()) < (1.06 if config.name == "head" else 1.02)
    log = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    assert log[-1]["step"] == section.steps and log[-1]["mse"] == about["validation_mse"]


@pytest.mark.parametrize("config", [c for c in CONFIGS.values() if c.tuning.shipped])
def test_shipped_tuning_has_one_budget_for_all_methods_and_no_test_subject(config):
    records = json.loads((ROOT / config.tuning.shipped).read_text())
    assert set(records) == {d for d in config.datasets if config.tuned_on(d)}
    for dataset, methods in records.items():
        assert set(methods) == set(config.tuned_on(dataset))
        for name, record in methods.items():
            assert set(record["subjects"]) <= set(config.datasets[dataset].validation)
            # What the configuration fixes is not searched. A widened range is searched once more.
            searched = set(lookup(name).space) - set(config.given(dataset, name))
            budget = config.tuning.trials if searched else 1
            assert all(len(trials) % budget == 0 for trials in record["trials"].values())
            assert searched or {len(trials) for trials in record["trials"].values()} == {1}


def test_other_weights_or_tuning_than_configured_are_refused():
    """Shipped ones are taken for what the configuration says they are."""
    check_shipped(DEMO)
    prior = DEMO.networks["knee"].model_copy(update={"learning_rate": 1.0})
    with pytest.raises(
        ReconError,
        match=r"trained with learning_rate 0.0005, the configuration says 1.0; 'shipped: null' "
        r"trains it anew",
    ):
        check_shipped(DEMO.model_copy(update={"networks": {"knee": prior}}))
    tuning = DEMO.tuning.model_copy(update={"accelerations": [2.0]})
    with pytest.raises(ReconError, match="has no record of zero_filled on knee at R = 2"):
        check_shipped(DEMO.model_copy(update={"tuning": tuning}))


def test_repository_is_small():
    import subprocess

    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split("\0")
    total = sum((ROOT / name).stat().st_size for name in listed if name and (ROOT / name).is_file())
    assert total < 40e6


@pytest.mark.parametrize("name", ["head", "head_variations", "real_multicoil"])
def test_configurations_of_heads_take_the_shipped_prior(name, monkeypatch):
    """Their volumes lie elsewhere; the weights are here."""
    monkeypatch.setenv("RECON_HEADS", "/somewhere")
    check_shipped(load(name))
