"""What the site needs beside its pages: the gallery of the demo, and the pictures of the README."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


MOVED = {
    '"figures/demo/': '"gallery/',
    '"CONTRIBUTING.md"': '"contributing.html"',
    '"../README.md': '"index.html',
}


def on_page_content(html, page, config, files):
    """Links of the README lead to files of the repository; on the site they lie elsewhere."""
    for old, new in MOVED.items():
        html = html.replace(old, new)
    html = re.sub(r'"docs/(\w+)\.md', r'"\1.html', html)
    html = re.sub(r'"(?:\.\./)?notebooks/(\w+)\.ipynb"', r'"gallery/\1.html"', html)
    return re.sub(r'<a href="gallery/([^"]+)">(.*?)</a>', linked, html)


def linked(match):
    """A link into the gallery; a page that the demo has not made yet is named without one."""
    return match[0] if (ROOT / "figures" / "demo" / match[1]).exists() else match[2]


def on_post_build(config):
    """Copies the gallery of the demo."""
    site = Path(config["site_dir"])
    shutil.copytree(ROOT / "figures" / "demo", site / "gallery", dirs_exist_ok=True)
