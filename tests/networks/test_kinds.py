"""Kinds of trained network: their settings reach the model, and methods get what they need."""

from typing import Literal

import pytest
import torch
from torch import nn

from recon import ReconError, methods, rooms
from recon.methods import Method
from recon.networks import trained
from recon.networks.trained import Kind, SliceTraining, Training
from recon.networks.unet import UNetConfig
from recon.networks.weights import load_weights, save_weights
from recon.priors.denoiser import Denoiser
from recon.study.config import Config, load
from recon.study.study import Study
from tests.gaussian import single_coil

SMALL = UNetConfig(channels=16, multipliers=(1, 2), attention=(1,))


class WideTraining(SliceTraining):
    kind: Literal["wide"] = "wide"
    sigma_data: float = 0.5


class Wide(Denoiser):
    sigma_max = 80.0

    def __init__(self, network, settings):
        super().__init__(network)
        self.sigma_data, self.neighbours = settings.sigma_data, 1

    def estimate(self, x, sigma):
        return x * self.sigma_data


class UnrolledTraining(Training):
    kind: Literal["unrolled"] = "unrolled"


class Unrolled(nn.Module):
    def __init__(self, network, settings):
        super().__init__()
        self.network, self.steps = network, settings.steps


def zero(*_):
    return torch.zeros(())


def none(*_):
    return {}


KINDS = {
    "wide": Kind(Wide, WideTraining, zero, "slices", none, denoises=True),
    "unrolled": Kind(Unrolled, UnrolledTraining, zero, "slices", none),
}


@pytest.fixture(autouse=True)
def kinds(monkeypatch):
    """Two kinds beside the DDPM, as files of the room would add them."""
    lookup = trained.lookup
    monkeypatch.setattr(trained, "lookup", lambda kind: KINDS.get(kind) or lookup(kind))


def test_the_settings_of_a_kind_reach_its_model_through_the_file(tmp_path):
    settings = WideTraining(network=SMALL, sigma_data=0.7)
    save_weights(tmp_path / "w.safetensors", settings, trained.build(settings), {})
    model, _ = load_weights(tmp_path / "w.safetensors")
    assert isinstance(model, Wide) and model.sigma_data == 0.7 and model.kind == "wide"
    assert torch.allclose(model.denoise(torch.ones(3, 2, 4, 4), 1.0), torch.tensor(0.7))


@pytest.fixture
def config() -> Config:
    """The smoke configuration with unrolled networks for two accelerations."""
    found, dataset = load("smoke"), "knee"
    networks = found.networks | {
        f"unrolled_{r}": UnrolledTraining(dataset=dataset, acceleration=r, network=SMALL)
        for r in (4, 8)
    }
    return found.model_copy(update={"networks": networks})


def test_a_network_is_chosen_by_its_acceleration(config):
    names = [config.matched("knee", "unrolled", r) for r in (2.0, 5.0, 6.0, 16.0)]
    assert names == ["unrolled_4", "unrolled_4", "unrolled_8", "unrolled_8"]
    assert config.matched("knee", "denoiser", 8.0) == "knee"
    assert config.matched("knee_2x", "unrolled") is None


def test_a_prior_that_is_exchanged_serves_only_those_who_denoise(config, monkeypatch, tmp_path):
    both = Method(
        lambda problem: problem,
        methods.lookup("zero_filled").settings,
        "Both",
        "C0",
        "o",
        needs={"prior": "denoiser", "network": "unrolled"},
    )
    lookup = methods.lookup
    monkeypatch.setattr(methods, "lookup", lambda name: both if name == "both" else lookup(name))
    case = Study(config, tmp_path).case("knee", 200, 8, "both", prior="knee_diverse")
    assert case.networks == {"prior": "knee_diverse", "network": "unrolled_8"}


def test_a_network_of_the_wrong_kind_is_one_line(config, generator):
    unrolled, problem = (
        trained.build(config.networks["unrolled_4"]),
        single_coil((4, 6, 6), generator),
    )
    with pytest.raises(ReconError, match="annealed needs a prior, and was given a network of kind"):
        methods.reconstruct(problem, "annealed", unrolled)


def test_known_kinds_are_named_in_the_message():
    assert rooms.members("priors", "KIND") == ("ddpm", "edm")
    with pytest.raises(ReconError, match="no kind of trained network is called 'oracle'"):
        trained.lookup("oracle")
