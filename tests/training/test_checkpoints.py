"""A training goes on from the last checkpoint that is whole, and says which it could not use."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from recon.errors import ReconError
from recon.networks.trained import Training
from recon.training import loop
from recon.training.checkpoints import earlier

SETTINGS = Training.model_construct(
    steps=9, batch=4, check_every=3, learning_rate=0.01, warmup=1, decay="cosine", ema=0.9, seed=0
)


def noise(generator):
    """A batch of random vectors."""
    return torch.randn(SETTINGS.batch, 8, generator=generator)


def train(path):
    """A linear network that learns the identity; `loop.train` does not know the kind."""
    torch.manual_seed(0)
    model = nn.Linear(8, 8)

    def loss(model, x):
        return (model(x) - x).square().mean()

    return loop.train(model, loss, noise, SETTINGS, path)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    """One bit of a weight."""
    raw = bytearray(path.read_bytes())
    raw[-100] ^= 4
    path.write_bytes(raw)


def flip_the_step(path):
    """One bit of the header: the file is still safetensors, and claims to have done more steps."""
    raw = path.read_bytes()
    assert raw.count(b'"step":"6"') + raw.count(b'"step":"3"') == 1
    path.write_bytes(
        raw.replace(b'"step":"6"', b'"step":"7"').replace(b'"step":"3"', b'"step":"7"')
    )


def foreign(path):
    """Another run's checkpoint, of the same network."""
    tensors = load_file(path)
    save_file({k: torch.zeros_like(v) for k, v in tensors.items()}, path, {"step": "6"})


def text(path):
    path.write_text("<html>404</html>" * 100)


DAMAGES = [cut, empty, flip, flip_the_step, foreign, text]


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """The checkpoint of a training that was killed after 6 of 9 steps, and how to go on."""
    path, rate = tmp_path / "run.ckpt", loop.learning_rate

    def dies(step, settings):
        if step == 7:
            raise KeyboardInterrupt
        return rate(step, settings)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "learning_rate", dies)
        train(path)
    whole, _ = train(tmp_path / "whole" / "run.ckpt")

    def go_on():
        model, log = train(path)
        known = whole.state_dict()
        assert all(torch.equal(v, known[k]) for k, v in model.state_dict().items())
        assert [entry["step"] for entry in log] == [3, 6, 9]

    return path, go_on


def steps(out: str) -> list[int]:
    """The steps that a log reports as done."""
    return [int(line.split()[1].rstrip(":")) for line in out.splitlines() if line[:5] == "step "]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_one_before_it(damage, killed, capsys):
    path, go_on = killed
    damage(path)
    capsys.readouterr()
    go_on()
    said = capsys.readouterr()
    assert str(path) in said.err and "from the checkpoint before it, at step 3" in said.err
    assert steps(said.out) == [6, 9]  # one interval is lost
    assert path.exists() and earlier(path).exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_a_whole_one_training_starts_anew_and_says_so(damage, killed, capsys):
    path, go_on = killed
    damage(path), damage(earlier(path))
    capsys.readouterr()
    go_on()
    said = capsys.readouterr()
    assert said.err.count("damaged checkpoint") == 2 and "training starts anew" in said.err
    assert steps(said.out) == [3, 6, 9]


def test_a_whole_one_is_not_replaced_by_a_damaged_one(killed, monkeypatch):
    """After the fall back the next checkpoint keeps the whole one beside it, not the damaged."""
    path, go_on = killed
    flip(path)
    kept = earlier(path).read_bytes()
    monkeypatch.setattr(loop, "save_checkpoint", lambda *_: None)
    go_on()
    assert path.read_bytes() == kept and not earlier(path).exists()


def test_a_kill_between_the_two_renames_loses_nothing(killed, capsys):
    """The newest checkpoint has just become the earlier one."""
    path, go_on = killed
    os.replace(path, earlier(path))
    capsys.readouterr()
    go_on()
    assert steps(capsys.readouterr().out) == [9]


def test_a_checkpoint_that_cannot_be_read_is_refused_since_that_may_pass(killed, monkeypatch):
    path, go_on = killed
    path.unlink()
    path.mkdir()  # whoever runs the tests, root too, cannot read this
    with pytest.raises(ReconError, match="cannot be read .*delete it to start anew"):
        go_on()


def test_the_log_follows_the_checkpoint_that_is_used(killed):
    """Entries of steps that are done again are dropped."""
    path, go_on = killed
    flip(path)
    log = path.with_suffix(".jsonl")
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [3, 6]
    go_on()
