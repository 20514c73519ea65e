# Data → priors → tuning → cases → notebooks → gallery. Usage: make figures [CONFIG=demo|smoke|paper|real_brain|file.yaml]
import sys

sys.path.insert(0, workflow.basedir)
from recon import ReconError, registry
from recon.config import ROOT, TRAINING, load
from recon.config import sources as files_of
from recon.data import fingerprint
from recon.experiments import ASKED, CHOICES, code_of
from recon.preflight import check

try:
    CONFIG = load(config.get("run", "demo"))
    check(CONFIG, here=workflow.local_exec)
except ReconError as error:
    sys.exit(f"Error: {error}")

NAME = CONFIG.name
RESULTS = f"results/{NAME}"
FIGURES = f"figures/{NAME}"
GPU = int(CONFIG.device != "cpu")
STEP = f"{sys.executable} -m workflow.scripts.step --config {config.get('run', 'demo')}"


def sources(*names):
    """The recon modules a rule depends on: editing them runs it again."""
    return [str(f.relative_to(ROOT)) for f in files_of(*names)]


def sources_of(*methods):
    """The same for what reconstructs by some methods."""
    return sources(*sorted({module for method in methods for module in code_of(method)}), "experiments")


wildcard_constraints:
    dataset="[^/]+",  # a subject may lie in a folder
    comparison="[^/]+",


include: "workflow/rules/data.smk"
include: "workflow/rules/priors.smk"
include: "workflow/rules/tuning.smk"
include: "workflow/rules/cases.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        f"{FIGURES}/index.html",
