"""Names of folders, files and subjects reach the shell as they are, whatever is in them."""

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import papermill
import pytest
import yaml
from papermill.parameterize import parameterize_notebook

from recon.errors import ReconError
from recon.schema import ROOT
from recon.study.config import CONFIGS, load
from tests.workflow.repository import copied, workflow

HOSTILE = 'it\'s a "b"; touch hurt & $(touch hurt) `touch hurt` *'
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


@pytest.mark.parametrize("path", RULES, ids=lambda p: p.stem)
def test_every_rule_quotes_what_it_hands_to_the_shell(path):
    """STEP is quoted where it is made."""
    for block in re.findall(r"shell:\n((?:\s+\".*\"\n)+)", path.read_text()):
        for placeholder in re.findall(r"\{(.*?)\}", block):
            assert placeholder == "STEP" or placeholder.endswith(":q"), placeholder


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """A copy of the repository in a folder with such a name, and a configuration in another one."""
    copy = copied(tmp_path_factory.mktemp("quoting") / HOSTILE)
    smoke = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())
    knee = smoke["datasets"]["knee"] | {"shape": [16, 40, 40], "coils": 2}
    values = {key: smoke[key] for key in ("title", "mask")} | {
        "name": "mine",
        "datasets": {"knee": knee},
        "accelerations": [4],
        "methods": {"zero_filled": {}},
        "comparisons": {"10_methods_without_shift": {}},
        "tuning": {"trials": 1, "subjects": 1},
        "notebooks": ["10_methods_without_shift"],
    }
    folder = copy / HOSTILE
    folder.mkdir()
    (folder / f"{HOSTILE}.yaml").write_text(yaml.safe_dump(values))
    return copy


def run(copy: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The workflow as make calls it."""
    return workflow(copy, f"{HOSTILE}/{HOSTILE}.yaml", *arguments)


def test_every_command_names_the_configuration_as_it_is(hostile):
    """All rules, as Snakemake would hand them to the shell."""
    done = run(hostile, "--dry-run", "--printshellcmds")
    assert done.returncode == 0, done.stderr[-2000:]
    commands = re.findall(r"^Shell command: (?!None$)(.*)$", done.stdout, re.MULTILINE)
    kinds = set()
    for command in map(shlex.split, commands):
        assert command[:4] == [sys.executable, "-m", "workflow.scripts.step", "--config"]
        assert command[4] == f"{HOSTILE}/{HOSTILE}.yaml"
        kinds.add(command[5])
    assert {"prepare", "cases", "notebook", "gallery"} <= kinds


def test_a_job_runs_and_nothing_else_does(hostile):
    """A volume is prepared from such a configuration in such a folder."""
    target = "results/mine/data/knee/200.h5"
    done = run(hostile, "--", target)
    assert done.returncode == 0 and (hostile / target).exists(), done.stderr[-2000:]
    assert not list(hostile.parent.rglob("hurt"))


def test_make_hands_the_configuration_on_as_it_is():
    """Make's own shell does not read it either."""
    name = HOSTILE.replace("$", "$$")  # to make, a dollar is written twice
    called = ["make", "--dry-run", "--old-file=.venv/.installed", "figures", f"CONFIG={name}.yaml"]
    done = subprocess.run(called, cwd=ROOT, capture_output=True, text=True)
    assert "touch hurt" not in done.stdout and '"run=$CONFIG"' in done.stdout, done.stdout


def test_a_notebook_gets_the_path_as_it_is():
    notebook = papermill.iorw.load_notebook_node(str(ROOT / "notebooks" / "00_start_here.ipynb"))
    path = f"{HOSTILE}\\{HOSTILE}.yaml"
    made = parameterize_notebook(notebook, {"config": path})
    cell = next(c for c in made.cells if "injected-parameters" in c.metadata.get("tags", []))
    tree = ast.parse(cell.source)
    assert [ast.literal_eval(node.value) for node in tree.body] == [path]


BAD = [
    "a;b",
    "$(touch x)",
    "`x`",
    "a'b",
    'a"b',
    "a|b",
    "a&b",
    "a>b",
    "a\nb",
    "{x}",
    "a*",
    "~",
    "-x",
]
BAD += ["../x", "a/../../x", "/x", "", ".", "..", "a//b", "a\0b", "x" * 300, "ü" * 80, "a\\b"]


PLACES = ["subject", "dataset", "network", "comparison", "name", "notebook"]


@pytest.mark.parametrize("name", BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("where", PLACES)
def test_names_with_other_characters_are_one_line(where, name, tmp_path):
    """Names become files and words of a shell: they lead nowhere else, and are no options."""
    config = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())
    if where == "subject":
        config["datasets"]["knee"]["test"] = [name]
    elif where == "name":
        config["name"] = name
    elif where == "notebook":
        config["notebooks"] = [name]
    else:
        section = config[f"{where}s"]
        section[name] = next(iter(section.values()))
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(config))
    with pytest.raises(ReconError) as error:
        load(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize("name", ["a b", "file1:8", "1017@90", "part/file-1.2+x", "Ä,b=c", 7])
def test_names_of_files_that_people_have_are_taken(name, tmp_path):
    config = yaml.safe_load((CONFIGS / "smoke.yaml").read_text())
    config["datasets"]["knee"]["test"] = [name]
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(config))
    assert load(path).datasets["knee"].test == [name]
