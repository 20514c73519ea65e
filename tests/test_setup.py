"""One set of versions for pip and conda users, and one structure."""

import ast
import re
import tomllib

import yaml

from recon.config import ROOT

FLOORS = [  # DESIGN: a module imports only from floors above (before) its own
    {"errors", "progress", "schema", "registry", "config"},
    {"fourier", "wavelets", "masks", "metrics", "resample"},
    {"sense", "coils", "phantoms"},
    {"data", "io", "transport", "fetch"},
    {"unet", "diffusion", "training"},
    {"fields"},
    {"methods"},
    {"experiments", "preflight", "tuning", "claims", "plots", "__main__"},
]


def locked() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text().split()
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in (line.split("==") for line in lines)}


def test_every_dependency_is_locked_to_one_plain_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    names = {re.sub(r"[-_.]+", "-", re.split(r"[<>=\[ ]", w)[0]).lower() for w in wanted}
    assert names <= set(locked())
    assert "+" not in locked()["torch"]


def test_conda_users_get_the_locked_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    python = next(d for d in environment if isinstance(d, str) and d.startswith("python="))
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert python.removeprefix("python=") == required.removeprefix(">=")
    assert "-r requirements.lock" in next(d["pip"] for d in environment if isinstance(d, dict))
    others = [d for d in environment if isinstance(d, str) and "=" in d and not d.startswith("python=")]
    assert not others, f"pinned outside the lock: {others}"


def test_modules_import_only_from_the_floors_below_them():
    floor = {name: height for height, names in enumerate(FLOORS) for name in names}
    for path in sorted((ROOT / "recon").rglob("*.py")):
        module = path.relative_to(ROOT / "recon").parts[0].removesuffix(".py")
        if module == "__init__":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "recon":
                parts = node.module.split(".")
                used = [parts[1]] if len(parts) > 1 else [a.name for a in node.names if a.name in floor]
                for name in used:
                    assert floor[name] <= floor[module], f"{path.name} (floor {floor[module] + 1}) imports {name} (floor {floor[name] + 1})"
