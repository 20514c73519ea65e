"""Members of a room are found by the record at the end of their file."""

import subprocess
import sys

import pytest

from recon import rooms
from recon.errors import ReconError


def test_members_are_the_files_with_a_record():
    names = rooms.members("methods", "METHOD")
    assert {"zero_filled", "variational"} <= set(names) and not {"common", "sampling"} & set(names)


def test_an_unknown_member_is_refused_with_the_known_ones():
    with pytest.raises(ReconError, match="no method is called 'tv'; choose one of annealed, .*"):
        rooms.member("methods", "METHOD", "tv", "method")


def test_no_member_is_imported_until_it_is_asked_for():
    """The command line lists methods without loading torch."""
    code = (
        "import sys; from recon.__main__ import parser; parser();"
        "assert not {'torch', 'numpy', 'matplotlib', 'papermill'} & set(sys.modules), 'heavy'"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_step_of_the_workflow_starts_light():
    code = (
        "import sys; from workflow.scripts.step import parser; parser();"
        "assert not {'torch', 'numpy', 'papermill', 'nbconvert'} & set(sys.modules), 'heavy'"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
