"""Weights on disk: the header says what they are, and nothing else need know."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from recon import ReconError
from recon.networks import trained
from recon.networks.unet import UNet, UNetConfig
from recon.networks.weights import load_weights, pack, save_weights
from recon.priors.ddpm import DDPM, DDPMTraining
from recon.schema import read_yaml
from recon.study.config import CONFIGS, Config

SMALL = UNetConfig(channels=16, multipliers=(1, 2), attention=(1,))


def test_the_header_names_kind_and_architecture(tmp_path):
    path = tmp_path / "p.safetensors"
    save_weights(path, DDPMTraining(network=SMALL), DDPM(UNet(SMALL)), {"seed": 3})
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    assert header["kind"] == "ddpm" and header["architecture"] == "unet"
    assert json.loads(header["settings"])["network"]["channels"] == 16
    model, about = load_weights(path)
    assert isinstance(model, DDPM) and about == {"seed": 3}


def test_weights_of_the_first_version_are_read(tmp_path, generator):
    """Its header named no kind, and the network alone was stored: so are the shipped priors."""
    network = UNet(SMALL)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    stored = {
        k: t for name, weight in network.state_dict().items() for k, t in pack(name, weight).items()
    }
    architecture = {key: value for key, value in SMALL.model_dump().items() if key != "kind"}
    header = {"architecture": json.dumps(architecture), "provenance": "{}"}
    save_file(stored, tmp_path / "old.safetensors", metadata=header)
    x = torch.randn(1, 2, 8, 8, generator=generator)
    found = load_weights(tmp_path / "old.safetensors")[0].network(x, torch.ones(1))
    assert (found - network(x, torch.ones(1))).norm() < 0.02 * found.norm()


@pytest.mark.parametrize(
    "settings", ['{"kind": "oracle"}', '{"network": {"kind": "forest"}}', "not JSON"]
)
def test_an_unknown_kind_or_architecture_is_one_line(tmp_path, settings):
    path = tmp_path / "p.safetensors"
    header = {"kind": "ddpm", "settings": settings, "provenance": "{}"}
    save_file({"a": torch.zeros(1)}, path, metadata=header)
    with pytest.raises(ReconError) as error:
        load_weights(path)
    assert "\n" not in str(error.value) and "p.safetensors" in str(error.value)


def test_the_recipe_leaves_out_where_and_keeps_how():
    settings = DDPMTraining(dataset="knee", shipped="x", steps=7, network=SMALL)
    recipe = settings.recipe()
    assert recipe["steps"] == 7 and recipe["network"]["channels"] == 16
    assert not {"dataset", "shipped"} & set(recipe)
    assert trained.lookup("ddpm").denoises and isinstance(trained.build(settings), DDPM)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("kind: oracle", "no kind of trained network is called 'oracle'; choose one of ddpm"),
        (
            "network: {kind: forest}",
            "no network is called 'forest'; choose one of fastmri_unet, infinite_unet",
        ),
        (
            "network: {widths: 3}",
            "networks.p.network.widths: Extra inputs are not permitted: remove it",
        ),
        ("factors: [0.5, 2]", "expected two numbers in (0, 1]"),
    ],
)
def test_mistakes_in_a_section_are_named_with_their_place(tmp_path, section, words):
    text = (CONFIGS / "smoke.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(
        text.replace("networks:\n", f"networks:\n  p:\n    dataset: knee\n    {section}\n", 1)
    )
    with pytest.raises(ReconError) as error:
        read_yaml(path, Config)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_the_same_weights_give_the_same_file(tmp_path):
    """Byte for byte, so that its hash, and with it the key of every case, stays."""
    model, written = DDPM(UNet(SMALL)), set()
    for number in range(8):
        path = tmp_path / f"{number}.safetensors"
        save_weights(path, DDPMTraining(network=SMALL), model, {"seed": 3})
        written.add(path.read_bytes())
    assert len(written) == 1
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["architecture"] == "unet"
