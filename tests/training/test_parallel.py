"""Several processes train what one trains, and end together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from recon import ReconError
from recon.networks import trained
from recon.networks.fastmri_unet import FastmriUNetTraining
from recon.networks.stack_unet import StackUNetConfig
from recon.networks.trained import Transfer
from recon.networks.unet import UNetConfig
from recon.priors.ddpm import DDPMTraining
from recon.priors.edm import EDMTraining
from recon.schema import ROOT
from recon.training import batches, parallel
from tests.networks.test_supervised import COMMON, MODL, UNET, prepared
from tests.training import together

SMALL = UNetConfig(channels=8, multipliers=(1, 2), attention=(1,))
STACKS = StackUNetConfig(channels=8, multipliers=(1, 2), attention=(), across=(0,))
SLICES = {"batch": 5, "network": SMALL}
LINES = {"mask": {"kind": "uniform_1d", "calibration": (6, 6)}}
SETTINGS = {
    "ddpm": DDPMTraining(**SLICES),
    "edm": EDMTraining(**SLICES),
    "diverse": DDPMTraining(**SLICES, factors=(0.5, 1.0)),
    "transfer": DDPMTraining(**SLICES, transfer=Transfer(size=(8, 16))),
    "stacks": DDPMTraining(batch=9, stack=3, network=STACKS),
    "slices of 3D": UNET.model_copy(update={"batch": 5}),
    "slices of lines": FastmriUNetTraining(**COMMON | LINES, network=UNET.network),
}

PATIENCE = 900  # seconds; it takes ten on a machine that does nothing else


@pytest.fixture
def as_process(monkeypatch):
    """Makes this process one of several, without a group."""

    def become(rank: int, processes: int) -> None:
        monkeypatch.setattr(parallel.dist, "is_initialized", lambda: True)
        monkeypatch.setattr(parallel.dist, "get_rank", lambda: rank)
        monkeypatch.setattr(parallel.dist, "get_world_size", lambda: processes)

    return become


def gradients(model, value):
    """The loss and its gradients in one vector."""
    found = torch.autograd.grad(value, list(model.parameters()))
    return torch.cat([value.detach()[None], *[g.flatten() for g in found]])


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("processes", [2, 4, 7])
def test_shares_add_up_to_the_batch(name, processes, as_process, monkeypatch, generator):
    """The mean over processes is the loss of the batch, and so are the gradients.

    That holds for shares of unequal size, and for processes without any sample.
    """
    monkeypatch.setattr("recon.priors.denoiser.multiplies_bf16", lambda device: False)
    settings, kind = SETTINGS[name], trained.lookup(SETTINGS[name].kind)
    source = batches(kind.batches).source([prepared(), prepared(seed=1)], settings, "cpu")
    model = trained.build(settings)
    for parameter in model.parameters():  # zeros at the start would hide what is behind them
        torch.nn.init.normal_(parameter, std=0.1, generator=generator)
    batch = kind.draw(source.batch(settings.batch, generator), generator, settings)

    def loss(model, batch):
        return kind.loss(model, batch, settings)

    whole, shares = gradients(model, loss(model, batch)), []
    for rank in range(processes):
        as_process(rank, processes)
        shares.append(gradients(model, parallel.ShareOfLoss(model, loss)(batch)))
    assert kind.separable
    assert (torch.stack(shares).mean(0) - whole).norm() < 1e-5 * whole.norm()


def test_every_sample_has_one_process(as_process):
    for count, processes in ((8, 2), (5, 2), (1, 3), (7, 4)):
        rows = []
        for rank in range(processes):
            as_process(rank, processes)
            rows += range(count)[parallel.share(count)]
        assert rows == list(range(count))


def test_a_network_that_mixes_samples_is_trained_by_one_process(as_process):
    assert not trained.lookup("modl").separable
    as_process(0, 2)
    with pytest.raises(ReconError, match="normalises over the whole batch; set 'processes: 1'"):
        parallel.shared(trained.build(MODL), lambda model, batch: None)


def test_one_process_trains_the_bits_of_a_plain_loop(tmp_path, generator):
    """Adam on the loss of the whole batch, with nothing between."""
    settings, held = together.RUNS["odd"], together.volumes()
    kind = trained.lookup("ddpm")
    torch.manual_seed(settings.seed)
    model = trained.build(settings)
    source = batches("slices").source(held, settings, "cpu")
    draws = torch.Generator().manual_seed(settings.seed)
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(settings.steps):
        optimizer.param_groups[0]["lr"] = together.loop.learning_rate(step, settings)
        x0 = source.batch(settings.batch, draws)
        optimizer.zero_grad()
        model.loss(kind.draw(x0, draws, settings)).backward()
        optimizer.step()
    together.train_network(settings, held, held, tmp_path / "run.ckpt")
    kept = load_file(tmp_path / "run.ckpt")
    assert all(torch.equal(kept[f"model.{n}"], v) for n, v in model.state_dict().items())


def launched(folder, *runs, device="cpu"):
    """Two processes under torchrun, by the workflow's launcher."""
    code = "import sys; from workflow.scripts.launch import launch as go; sys.exit(go(2, *{}))"
    module = ["tests.training.together", device, str(folder), *runs]
    command = [sys.executable, "-c", code.format(module)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, **streams)


def same(one, other, rounding=1e-5):
    """Two runs agree up to rounding: each batch, and the weights, apart from idle ones."""
    logs = [path.with_suffix(".jsonl").read_text().splitlines() for path in (one, other)]
    for a, b in zip(*[map(json.loads, log) for log in logs], strict=True):
        assert a["step"] == b["step"] and a["loss"] == pytest.approx(b["loss"], rel=rounding)
    a, b = load_file(one), load_file(other)
    for name in (name for name in b if name.startswith(("model.", "average."))):
        assert torch.allclose(a[name], b[name], atol=rounding), name
    assert torch.equal(a["generator"], b["generator"])


def stopped_at(step):
    """A learning rate that cannot be had at a step."""
    rate = together.loop.learning_rate
    return lambda now, settings: rate(now, settings) / (now != step)


def test_two_processes_train_what_one_trains(tmp_path, monkeypatch):
    """With an odd batch, with fewer samples than processes, with a parameter that nothing uses, and
    from a checkpoint that one process left. What all refuse is said once.
    """
    one, two = tmp_path / "one", tmp_path / "two"
    for name in ("odd", "few"):
        together.run(one, name)
    with monkeypatch.context() as patch:
        patch.setattr(together.loop, "learning_rate", stopped_at(6))
        with pytest.raises(ZeroDivisionError):
            together.run(two, "begun")
    process = launched(two, "odd", "few", "begun", "idle", "refused")
    said, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, error) == (2, "Error: this is refused\n")
    assert said.count("step 8: ") == 3  # the first process speaks, and no other
    for name, like in (("odd", "odd"), ("few", "few"), ("begun", "odd"), ("idle", "odd")):
        same(two / f"{name}.ckpt", one / f"{like}.ckpt")


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_train_what_one_trains(tmp_path):
    together.run(tmp_path / "one", "odd", "cuda")
    process = launched(tmp_path / "two", "odd", device="cuda")
    assert process.communicate(timeout=PATIENCE)[1] == "" and process.returncode == 0
    same(tmp_path / "two/odd.ckpt", tmp_path / "one/odd.ckpt", 1e-3)


def test_a_process_that_dies_ends_the_others_and_leaves_the_checkpoint(tmp_path):
    """One line says so. One process then goes on where two began."""
    together.run(tmp_path, "odd")
    process = launched(tmp_path, "dies")
    said, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGKILL and error.count("\n") == 1
    assert "process 2 of 2 was killed by SIGKILL; the next call goes on" in error
    assert "step 4: " in said and "step 8: " not in said
    together.run(tmp_path, "dies")
    same(tmp_path / "dies.ckpt", tmp_path / "odd.ckpt")


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_what_started_them(by, tmp_path):
    process = launched(tmp_path, "long")
    pids = waited_for(lambda: [int(f.stem) for f in tmp_path.glob("*.pid")], 2)
    process.send_signal(by)
    _, error = process.communicate(timeout=PATIENCE)
    waited_for(lambda: [pid for pid in pids if not lives(pid)], 2)
    assert process.returncode == (128 + by if by == signal.SIGTERM else -by)
    assert error.count("\n") == (1 if by == signal.SIGTERM else 0)


def waited_for(find, count):
    """What is found, as soon as there are as many."""
    end = time.monotonic() + PATIENCE
    while len(found := find()) < count:
        assert time.monotonic() < end
        time.sleep(0.1)
    return found


def lives(pid):
    """Whether a process runs; a zombie does not."""
    path = Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().rpartition(")")[2].split()[0] != "Z"
