# Data → priors → tuning → cases → notebooks → gallery. Usage: make figures [CONFIG=demo|smoke|paper|real_brain|file.yaml]
import sys

sys.path.insert(0, workflow.basedir)
from recon import ReconError
from recon.config import load

try:
    CONFIG = load(config.get("run", "demo"))
    CONFIG.check_inputs()
except ReconError as error:
    sys.exit(f"Error: {error}")

NAME = CONFIG.name
RESULTS = f"results/{NAME}"
FIGURES = f"figures/{NAME}"
STEP = f"{sys.executable} -m workflow.scripts.step --config {config.get('run', 'demo')}"


def sources(*names):
    """The recon modules a rule depends on: editing them runs it again."""
    from pathlib import Path

    return [str(f) for n in names for f in ([Path(f"recon/{n}.py")] if Path(f"recon/{n}.py").exists() else sorted(Path("recon", n).glob("*.py")))]


include: "workflow/rules/data.smk"
include: "workflow/rules/priors.smk"
include: "workflow/rules/tuning.smk"
include: "workflow/rules/cases.smk"
include: "workflow/rules/figures.smk"


rule all:
    default_target: True
    input:
        f"{FIGURES}/index.html",
