"""No file that a user may be given runs anything, and no output replaces what is read."""

import ast
import io
import os
import pickle
import re
import zipfile
from pathlib import Path

import nbformat
import numpy as np
import pytest
import scipy.io
import torch

from recon.__main__ import main
from recon.errors import ReconError
from recon.files import partial, whole, write_text
from recon.mri import fourier
from recon.networks.shelf import card
from recon.networks.unet import UNet, UNetConfig
from recon.networks.weights import load_weights, save_weights
from recon.priors.ddpm import DDPM, DDPMTraining
from recon.schema import ROOT
from recon.study.config import load
from recon.training.checkpoints import resume

# What runs code that it is given, or what hands a text to a shell.
RUNS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput", "torch.load", "torch.hub", "torch.jit.load",
    "torch.package", "yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.unsafe_load_all",
    "yaml.full_load", "yaml.full_load_all", "pandas.read_pickle", "pandas.eval",
    "numpy.lib.format.read_array", "runpy",
}  # fmt: skip
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
OPTIONS = {("shell", True), ("allow_pickle", True)}


def dotted(node: ast.AST, names: dict[str, str]) -> str:
    """The full name of what a node refers to, after the imports of its file; empty for others."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        before = dotted(node.value, names)
        return f"{before}.{node.attr}" if before else ""
    return ""


def dangers(text: str) -> list[str]:
    """The names and options in Python code that `RUNS`, `MODULES` and `OPTIONS` list."""
    tree, names, found = ast.parse(text), {}, []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in MODULES]
            names |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom):
            full = {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
            found += [n for n in full.values() if n.split(".")[0] in MODULES]
            names |= full
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = dotted(node, names)
            found += [r for r in RUNS if name == r or name.startswith(f"{r}.")]
        if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
            found += [f"{k}={v}" for k, v in OPTIONS if (node.arg, node.value.value) == (k, v)]
    return found


def sources() -> dict[str, str]:
    """The Python code of the package, the workflow and the notebooks."""
    folders = (ROOT / "recon", ROOT / "workflow")
    out = {str(p): p.read_text() for folder in folders for p in folder.rglob("*.py")}
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = nbformat.read(path, nbformat.NO_CONVERT).cells
        out[str(path)] = "\n\n".join(c.source for c in cells if c.cell_type == "code")
    return out


def test_nothing_in_the_code_loads_a_pickle_or_starts_a_shell():
    assert {path: found for path, text in sources().items() if (found := dangers(text))} == {}
    words = re.compile(r"pickle|torch\.load|\beval\(|\bexec\(|os\.system|shell=|joblib")
    for path in (ROOT / "Snakefile", *(ROOT / "workflow").rglob("*.smk")):
        assert not words.search(path.read_text()), path


@pytest.mark.parametrize(
    "planted",
    [
        "import torch\ntorch.load('x')",
        "import torch as t\nt.load('x')",
        "from torch import load\nload('x')",
        "from torch import load as other\nother('x')",
        "import torch.hub\ntorch.hub.load('a', 'b')",
        "import pickle",
        "import pickle as p\np.loads(b'')",
        "from pickle import loads",
        "import joblib\njoblib.load('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy\nf = numpy.save\nf('x', 1, allow_pickle=True)",
        "import yaml\nyaml.load('x', Loader=yaml.Loader)",
        "from yaml import unsafe_load\nunsafe_load('x')",
        "import yaml\nread = yaml.full_load",
        "import pandas as pd\npd.read_pickle('x')",
        "eval('1')",
        "run = exec",
        "import os\nos.system('ls')",
        "from os import system as s\ns('ls')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "from subprocess import Popen\nPopen('ls', shell=True)",
        "def f():\n    import marshal\n    return marshal.loads(b'')",
    ],
)
def test_the_check_finds_what_is_planted(planted):
    assert dangers(planted)


def test_the_check_leaves_alone_what_is_harmless():
    text = "import numpy as np, yaml\nmodel.eval()\nnp.load('x', allow_pickle=False)\n"
    text += "yaml.safe_load('x')\nimport subprocess\nsubprocess.run(['ls'])\nre.compile('x')\n"
    assert dangers(text) == []


# Attacks. Each file holds a payload that would touch a file if something ran it.


class Payload:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def touched(tmp_path):
    """Where a payload leaves its mark; the test fails if it did."""
    path = tmp_path / "touched"
    yield path
    assert not path.exists(), "the payload ran"


def object_npy(payload) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([payload, 1], object), allow_pickle=True)
    return out.getvalue()


def object_npz(payload, *names: str) -> bytes:
    out = io.BytesIO()
    np.savez(out, **dict.fromkeys(names, np.array([payload, 1], object)))
    return out.getvalue()


def torch_file(payload) -> bytes:
    out = io.BytesIO()
    torch.save({"weights": payload}, out)
    return out.getvalue()


def matlab_object(payload) -> bytes:
    """A struct and a cell, which scipy reads as arrays of objects."""
    out = io.BytesIO()
    scipy.io.savemat(out, {"kspace": np.array([{"a": 1}, "b"], object), "s": {"x": [1, 2]}})
    return out.getvalue()


def one_line(arguments: list, capsys) -> str:
    """The message of a refused command, which is one line."""
    assert main([str(a) for a in arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith("recon: ") and message.count("\n") == 1, message
    return message


KSPACE = {
    "a.npy": object_npy,
    "b.npy": pickle.dumps,
    "a.npz": lambda p: object_npz(p, "kspace"),
    "b.npz": pickle.dumps,
    "c.npz": lambda p: object_npz(p, "kspace", "voxel"),
    "d.npz": torch_file,
    "a.mat": matlab_object,
    "b.mat": pickle.dumps,
    "a.h5": pickle.dumps,
    "b.h5": torch_file,
    "a.cfl": pickle.dumps,
    "a.pt": torch_file,
    "a.pkl": pickle.dumps,
}


def test_the_payload_runs_where_somebody_loads_it(tmp_path):
    """Else the attacks below could not fail."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "one")))
    np.load(io.BytesIO(object_npy(Payload(tmp_path / "two"))), allow_pickle=True)
    torch.load(io.BytesIO(torch_file(Payload(tmp_path / "three"))), weights_only=False)
    assert {p.name for p in tmp_path.iterdir()} == {"one", "two", "three"}


@pytest.mark.parametrize("command", ["reconstruct", "info"])
@pytest.mark.parametrize("name", KSPACE)
def test_no_scan_runs_anything(name, command, touched, tmp_path, capsys):
    path = tmp_path / name
    path.write_bytes(KSPACE[name](Payload(touched)))
    if name.endswith(".cfl"):
        path.with_suffix(".hdr").write_bytes(pickle.dumps(Payload(touched)))
    if command == "reconstruct":
        options = ["--method", "zero_filled"]
        message = one_line([command, path, tmp_path / "out.nii.gz", *options], capsys)
        assert path.stem in message
        assert not list(tmp_path.glob("out*"))
    else:  # what headers say may be told; nothing is loaded for it
        main([command, str(path)])


@pytest.fixture
def scan(scene, tmp_path):
    """A scan of four coils in a file."""
    image, maps = scene
    kspace = torch.stack([fourier.fft(s * image) for s in maps])
    np.savez(tmp_path / "scan.npz", kspace=kspace.numpy(), voxel=np.array([2.0, 2.0, 2.0]))
    return tmp_path / "scan.npz"


@pytest.mark.parametrize(
    "name", [n for n in KSPACE if n.endswith((".npy", ".npz", ".h5", ".cfl", ".pt", ".mat"))]
)
def test_no_maps_run_anything(name, touched, scan, tmp_path, capsys):
    path = tmp_path / name
    path.write_bytes(KSPACE[name](Payload(touched)))
    options = ["--method", "cg_sense", "--maps", path]
    message = one_line(["reconstruct", scan, tmp_path / "out.nii.gz", *options], capsys)
    assert f"{path.stem}." in message
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "content", [torch_file, pickle.dumps, object_npy], ids=["pt", "pkl", "npy"]
)
def test_no_weights_run_anything(content, touched, scan, tmp_path, capsys):
    """A .pt under the name of a prior, of another network, on the shelf, and of a checkpoint."""
    path = tmp_path / "prior.safetensors"
    path.write_bytes(content(Payload(touched)))
    options = ["--method", "annealed", "--prior", path]
    assert path.name in one_line(["reconstruct", scan, tmp_path / "o.nii.gz", *options], capsys)
    assert path.name in one_line(["info", path], capsys)
    assert card(path) is None
    with pytest.raises(ReconError):
        load_weights(path)
    model = torch.nn.Linear(1, 1)
    adam, generator = torch.optim.Adam(model.parameters()), torch.Generator()
    assert resume(path, model, model, adam, generator) == 0  # as if there were none


YAML = [
    "name: !!python/object/apply:os.mkdir ['{path}']",
    "!!python/object/apply:os.mkdir ['{path}']",
    "!!python/object/new:os.mkdir ['{path}']",
    "name: !!python/name:os.mkdir",
    "? !!python/object/apply:os.mkdir ['{path}']\n: 1",
    "<<: !!python/object/apply:os.mkdir ['{path}']",
]


@pytest.mark.parametrize("text", YAML)
def test_no_configuration_runs_anything(text, touched, tmp_path):
    """Nor does one that it is like."""
    path, like = tmp_path / "mine.yaml", tmp_path / "like.yaml"
    path.write_text(text.format(path=touched))
    like.write_text(f"like: {path}\n")
    for name in (path, like):
        with pytest.raises(ReconError, match=r"mine\.yaml: not valid YAML") as error:
            load(name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["a: 2020-13-45", "[" * 5000, "a: " + "9" * 5000, "\0", "a: \x1b["]
)
def test_what_yaml_cannot_read_is_one_line(text, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ReconError, match=r"mine\.yaml: ") as error:
        load(path)
    assert str(error.value).isprintable()


def test_an_xml_header_cannot_grow_without_end(tmp_path, capsys):
    """Ten entities of ten, nested nine deep, are a thousand million letters."""
    import h5py

    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    xml = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "a">{entities}]><x>&e9;</x>'
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_group("dataset")["xml"] = np.array([xml.encode()], object_string())
        file["dataset/data"] = np.zeros(1)
    assert "a.h5" in one_line(["info", tmp_path / "a.h5"], capsys)


def object_string():
    import h5py

    return h5py.string_dtype()


# Outputs.


@pytest.mark.parametrize("name", ["scan.npz", "scan.h5", "scan.mat", "scan"])
def test_the_scan_is_never_an_output(name, scan, capsys):
    before = scan.read_bytes()
    one_line(["reconstruct", scan, scan.with_name(name), "--method", "zero_filled"], capsys)
    assert scan.read_bytes() == before


@pytest.mark.parametrize("link", ["symlink_to", "hardlink_to"])
def test_an_output_that_is_a_link_to_the_scan_does_not_change_it(link, scan, tmp_path):
    """The link is replaced, and not what it leads to."""
    before = scan.read_bytes()
    for name in ("out.nii.gz", "out.png", "maps.npy"):
        getattr(tmp_path / name, link)(scan)
    options = ["--method", "zero_filled", "--save-maps", tmp_path / "maps.npy"]
    command = ["reconstruct", scan, tmp_path / "out.nii.gz", *options]
    done = main([str(c) for c in command])
    assert scan.read_bytes() == before
    assert done == 2 or (tmp_path / "out.nii.gz").read_bytes() != before


def test_a_temporary_file_is_never_a_link_that_somebody_else_made(tmp_path):
    """In a folder that all may write to, its name could be guessed."""
    victim, target = tmp_path / "victim", tmp_path / "out.txt"
    victim.write_text("precious")
    partial(target).symlink_to(victim)
    write_text(target, "new")
    assert victim.read_text() == "precious" and target.read_text() == "new"
    assert not target.is_symlink() and not partial(target).exists()


def test_a_temporary_file_lies_beside_its_target_and_others_cannot_write_to_it(tmp_path):
    os.umask(mask := os.umask(0))
    with whole(tmp_path / "out.txt") as part:
        assert part.parent == tmp_path
        assert part.stat().st_mode & 0o777 == 0o666 & ~mask
        part.write_text("x")
    assert (tmp_path / "out.txt").stat().st_mode & 0o002 == 0 or not mask & 0o002


def test_nothing_is_written_to_the_folder_for_temporary_files(scan, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    command = ["reconstruct", scan, tmp_path / "out.nii.gz", "--method", "zero_filled"]
    assert main([str(c) for c in command]) == 0 and not list(folder.iterdir())


ATTACK = "<script>alert(1)</script>\x1b[31m\n"


def test_what_a_file_says_of_itself_is_only_text(scene, tmp_path, capsys):
    """In the record beside a volume it is JSON, and on a terminal it is printable."""
    import json

    image, _ = scene
    kspace = fourier.fft(image)[None].numpy()
    scipy.io.savemat(tmp_path / "a.mat", {"kspace": kspace, "note": ATTACK})
    command = ["reconstruct", tmp_path / "a.mat", tmp_path / "out.nii.gz", "--variable", "kspace"]
    assert main([*map(str, command), "--method", "zero_filled"]) == 0
    json.loads((tmp_path / "out.json").read_text())
    assert main(["info", str(tmp_path / "a.mat")]) == 0
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as held:
        held.writestr(f"{ATTACK}.npy", b"x")
    main(["info", str(tmp_path / "b.npz")])
    said = "".join(capsys.readouterr())
    assert "\x1b" not in said


def test_what_weights_say_of_themselves_is_only_text(tmp_path, capsys):
    """A card of a prior, which is listed in a terminal, and the header, however long it is."""
    network = UNetConfig(channels=16, multipliers=(1, 2), attention=(1,))
    about = {key: ATTACK for key in ("anatomy", "contrasts", "licence", "attribution")}
    made = {"about": about | {"licence": [ATTACK]}, "data": {"label": ATTACK, "shape": [8, 8, 8]}}
    made["long"] = 200 * ATTACK
    path = tmp_path / "prior.safetensors"
    save_weights(path, DDPMTraining(network=network), DDPM(UNet(network)), made)
    found = card(path)
    assert "<script>" in found.anatomy
    assert all(str(value).isprintable() for value in found.facts().values())
    assert main(["info", str(path)]) == 0
    assert "\x1b" not in capsys.readouterr().out
