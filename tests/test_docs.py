"""The site: it builds without network, and its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from recon.schema import ROOT

ROOMS = {p.parent.name for p in (ROOT / "recon").glob("*/__init__.py")} - {"commands"}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs")
    target = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_every_room_has_a_page_with_its_functions(site):
    assert {p.stem for p in (ROOT / "docs" / "api").glob("*.md")} == ROOMS
    page = (site / "api" / "mri.html").read_text()
    assert "poisson_disc" in page and "Variable-density Poisson disc sampling" in page


def test_links_lead_to_files(site):
    """Those of the start page and of the tutorials, into the gallery too."""
    for name in sorted(path.name for path in site.glob("*.html") if path.name != "404.html"):
        page = (site / name).read_text()
        links = re.findall(r'(?:href|src)="([^"#:]+)(?:#[^"]*)?"', page)
        missing = [link for link in links if not (site / link).exists()]
        assert not missing, (name, missing)
        assert len(links) > 10


def test_nothing_is_fetched(site):
    """No page asks another host for a script, a style or a picture."""
    for page in site.glob("*.html"):
        assert not re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="https?:', page.read_text())
