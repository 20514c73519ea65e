"""Many small cases in one process: nothing grows with their number.

LOAD_CASES=1000 asks for more of them than the suite does.
"""

import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recon.study.config import Config
from recon.study.study import Study

CASES = int(os.environ.get("LOAD_CASES", 200))
SETTLED = 50  # cases after which allocators and caches have what they need
PROCESS = Path("/proc/self")
pytestmark = pytest.mark.skipif(not PROCESS.is_dir(), reason="reads /proc")


def resident_mb() -> float:
    pages = int((PROCESS / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def handles() -> int:
    return len(list((PROCESS / "fd").iterdir()))


class Watched(Study):
    """Notes after every case what the process holds, and the processor's seconds that it took."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.seen: list[tuple[float, float, int]] = []

    def run(self, case) -> dict:
        begun = time.process_time()
        row = super().run(case)
        self.seen.append((time.process_time() - begun, resident_mb(), handles()))
        return row


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Iterator[Watched]:
    """A study of `CASES` cases: two subjects, one method, and as many weights as that takes."""
    knee = {"kind": "phantom", "anatomy": "knee", "label": "knee", "shape": [12, 16, 14]}
    config = {
        "name": "load",
        "title": "many small cases",
        "threads": 1,
        "datasets": {"knee": knee | {"coils": 2, "train": [], "validation": [], "test": [1, 2]}},
        "mask": {"calibration": [6, 6]},
        "accelerations": [2],
        "methods": {"cg_sense": {"iterations": 2}},
        "tuning": {"accelerations": [2]},
        "comparisons": {
            "11_hyperparameters": {
                "vary": {"weight": [0.001 * 1.01**k for k in range(CASES // 2)]},
                "settings": "defaults",
            }
        },
        "notebooks": ["11_hyperparameters"],
    }
    made = Watched(Config.model_validate(config), tmp_path_factory.mktemp("load"))
    made.table = made.comparison("11_hyperparameters")
    yield made


def test_every_case_is_its_own(study):
    assert len(study.table) == len(study.seen) == study.table["key"].nunique() == 2 * (CASES // 2)


def test_memory_stays_as_it_is(study):
    settled, last = study.seen[SETTLED][1], study.seen[-1][1]
    assert last - settled < 5, f"{last - settled:.1f} MB more after {len(study.seen)} cases"


def test_no_file_stays_open(study):
    assert {held for _, _, held in study.seen[SETTLED:]} == {study.seen[SETTLED][2]}


def test_a_late_case_takes_as_long_as_an_early_one(study):
    early, late = study.seen[SETTLED // 2 : SETTLED * 3 // 2], study.seen[-SETTLED:]
    first, last = (statistics.median(seconds for seconds, _, _ in part) for part in (early, late))
    assert last < 1.5 * first + 0.001, f"{1e3 * first:.1f} ms became {1e3 * last:.1f} ms"


def test_what_is_beside_a_case_is_small(study):
    """Keys, masks, locks, scores and tables; reconstructions themselves are timed in the rows."""
    beside = statistics.median(
        seconds - row
        for (seconds, _, _), row in zip(study.seen, study.table["seconds"], strict=True)
    )
    assert beside < 0.05, f"{1e3 * beside:.0f} ms a case"
