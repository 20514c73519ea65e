# Data → networks → tuning → cases → notebooks → gallery.
# Usage: make figures [CONFIG=demo|smoke|paper|real_brain|file.yaml]
import sys

sys.path.insert(0, workflow.basedir)
from recon import ReconError
from recon.study import provenance
from recon.study.config import load
from recon.study.needs import needs_of
from recon.study.preflight import check
from recon.study.workspace import Workspace

try:
    CONFIG = load(config.get("run", "demo"))
    if workflow.is_main_process:  # What it has checked is not checked again by a cluster's jobs.
        # The executor is not known yet, but only a cluster's run is given a number of nodes.
        check(CONFIG, here=workflow.resource_settings.nodes is None)
except ReconError as error:
    sys.exit(f"Error: {error}")

WORKSPACE = Workspace(CONFIG, root="")  # paths below the repository
NAME, RESULTS, FIGURES = CONFIG.name, str(WORKSPACE.results), str(WORKSPACE.figures)
GPU = int(CONFIG.device != "cpu")
STEP = f"{sys.executable} -m workflow.scripts.step --config {config.get('run', 'demo')}"


def memory(factor):
    """MB for Python and the libraries, and a multiple of what lies in the input files."""
    return lambda wildcards, input: int(4000 + factor * input.size_mb)


wildcard_constraints:
    dataset="[^/]+",  # Subjects have no such limit: they may lie in a folder.
    comparison="[^/]+",


include: "workflow/rules/data.smk"
include: "workflow/rules/networks.smk"
include: "workflow/rules/tuning.smk"
include: "workflow/rules/cases.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        f"{FIGURES}/index.html",
