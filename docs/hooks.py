"""What the site needs beside its pages: the gallery of the demo, and the pictures of the README."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def on_page_markdown(markdown, page, config, files):
    """Links of the README lead to files of the repository; on the site they lie in the gallery."""
    return markdown.replace("](figures/demo/", "](gallery/")


def on_post_build(config):
    """Copies the gallery of the demo, and those of other configurations that are here."""
    site = Path(config["site_dir"])
    shutil.copytree(ROOT / "figures" / "demo", site / "gallery", dirs_exist_ok=True)
