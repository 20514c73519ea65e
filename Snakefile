# Data → networks → tuning → cases → notebooks → gallery.
# Usage: make figures [CONFIG=demo|smoke|paper|real_brain|file.yaml]
import shlex
import sys

sys.path.insert(0, workflow.basedir)
from recon import ReconError
from recon.study import jobs, provenance
from recon.study.config import load
from recon.study.preflight import check, check_device, check_training
from recon.study.workspace import Workspace
from workflow.scripts import warm

RUN = str(config.get("run", "demo"))
try:
    CONFIG = load(RUN)
    if workflow.is_main_process:  # What it has checked is not checked again by a cluster's jobs.
        check(CONFIG)
except ReconError as error:
    sys.exit(f"Error: {error}")

WORKSPACE = Workspace(CONFIG, root="")  # paths below the repository
NAME, RESULTS, FIGURES = CONFIG.name, str(WORKSPACE.results), str(WORKSPACE.figures)
GPU = int(CONFIG.device != "cpu")
# A configuration may lie in any folder, and so may this repository.
STEP = shlex.join([sys.executable, "-m", "workflow.scripts.step", "--config", RUN])


def made_from(kind, *names):
    """The inputs of a job."""
    return list(map(str, jobs.inputs(WORKSPACE, jobs.Job(kind, names, ""))))


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


onstart:
    # Only now Snakemake knows that jobs run, and where: neither a plan nor the machine that sends
    # jobs to a cluster needs a GPU.
    try:
        check_training(CONFIG)
        if workflow.local_exec:
            check_device(CONFIG)
            if workflow.is_main_process:
                warm.start(CONFIG.threads)
    except ReconError as error:
        sys.exit(f"Error: {error}")


rule all:
    default_target: True
    input:
        f"{FIGURES}/index.html",
