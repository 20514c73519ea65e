"""What the site needs beside its pages: the gallery of the demo, and the pictures of the README."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
GALLERIES = {"demo": "gallery"}  # where they lie on the site, if not under their own names


MOVED = {
    '"CONTRIBUTING.md"': '"contributing.html"',
    '"../README.md': '"index.html',
}


def on_page_content(html, page, config, files):
    """Links of the README lead to files of the repository; on the site they lie elsewhere."""
    for old, new in MOVED.items():
        html = html.replace(old, new)
    html = re.sub(r'"docs/(\w+)\.md', r'"\1.html', html)
    html = re.sub(r'"(?:\.\./)?notebooks/(\w+)\.ipynb"', r'"gallery/\1.html"', html)
    html = re.sub(r'"(?:\.\./)?figures/(\w+)/', lambda m: f'"{GALLERIES.get(m[1], m[1])}/', html)
    return re.sub(r'<a href="gallery/([^"]+)">(.*?)</a>', linked, html)


def linked(match):
    """A link into the gallery; a page that the demo has not made yet is named without one."""
    return match[0] if (ROOT / "figures" / "demo" / match[1]).exists() else match[2]


def on_post_build(config):
    """Copies the galleries that are here, that of the demo under its own name."""
    site = Path(config["site_dir"])
    for page in (ROOT / "figures").glob("*/index.html"):
        name = page.parent.name
        shutil.copytree(page.parent, site / GALLERIES.get(name, name), dirs_exist_ok=True)
