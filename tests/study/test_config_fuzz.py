"""No configuration ends in a traceback: whatever is written in it, it loads or one line says why.

`hypothesis` changes one or two values of real configurations. ``make fuzz`` tries more of them.
"""

import copy
import os

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon.errors import ReconError
from recon.study.config import CONFIGS, load
from recon.study.preflight import check

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", 150))
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.sampled_from([10**20, -(10**20), 2**31, 2**63, 99, 1000]),
    st.floats(),
    st.sampled_from(["", "..", "/", "../x", "/etc", "~", "knee", "a b", "x" * 300, "\n", "é"]),
    st.text(max_size=5),
    st.lists(st.integers(-1, 9), max_size=4),
    st.lists(st.floats(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(-1, 2), max_size=2),
)


def places(section: object, path: tuple = ()) -> list[tuple]:
    """The places of all values of a configuration."""
    found = [path] if path else []
    if isinstance(section, dict):
        found += [p for key, value in section.items() for p in places(value, (*path, key))]
    elif isinstance(section, list):
        found += [p for i, value in enumerate(section[:3]) for p in places(value, (*path, i))]
    return found


BASES = {name: yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()) for name in ("smoke", "demo")}


def changed(base: dict, place: tuple, value: object) -> dict:
    """A copy with one value replaced; a new key is added where ``value`` is a pair."""
    out = copy.deepcopy(base)
    section = out
    for key in place[:-1]:
        section = section[key]
    section[place[-1]] = value
    return out


@pytest.mark.parametrize("name", BASES)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
@given(data=st.data())
def test_a_configuration_loads_or_one_line_says_why(name, data, tmp_path):
    config = BASES[name]
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(places(config)))
        config = changed(config, place, data.draw(ODD))
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(config, allow_unicode=True))
    try:
        check(load(path))
    except ReconError as error:
        assert str(error).count("\n") == 0 and len(str(error)) < 1500


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("mask", "calibration"), [4, 4], "ESPIRiT needs 6"),
        (("name",), "..", "name"),
        (("name",), "a/b", "name"),
        (("datasets", "knee", "shape"), [0, 10, 10], "shape"),
        (("datasets", "knee", "virtual_coils"), 99, "virtual_coils is 99, of"),
        (("datasets", "knee", "noise"), float("inf"), "noise"),
        (("datasets", "knee", "noise"), float("nan"), "noise"),
        (("networks", "knee", "network"), {"channels": 0}, "channels"),
        (("networks", "knee", "network"), {"multipliers": []}, "multipliers"),
        (("networks", "knee", "network"), {"multipliers": [0]}, "multipliers"),
        (("methods", "variational"), {"representation": 1.0}, "representation = 1.0"),
        (("methods", "variational"), {"representation": {"kind": "implicit", 3: 4}}, "strings"),
        (("seed",), 2**64, "seed"),
        (("threads",), 10**20, "threads"),
    ],
)
def test_what_would_fail_later_fails_first(place, value, words, tmp_path):
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(changed(BASES["smoke"], place, value)))
    with pytest.raises(ReconError, match=words):
        check(load(tmp_path / "my.yaml"))


@pytest.mark.parametrize("pattern", ["", "/data/*.nii.gz", "../*.nii", "~/x"])
@pytest.mark.parametrize("key", ["pattern", "voxel"])
def test_patterns_and_voxels_of_folders(pattern, key, tmp_path, monkeypatch):
    base = yaml.safe_load((CONFIGS / "real_brain.yaml").read_text())
    monkeypatch.setenv("RECON_BRAINS", str(tmp_path))
    value = pattern if key == "pattern" else [0, 2, 2]
    name = next(iter(base["datasets"]))
    config = changed(base, ("datasets", name, key), value)
    (tmp_path / "my.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ReconError, match=key):
        check(load(tmp_path / "my.yaml"))
