# Notebooks make the figures, and the gallery gathers them. A notebook that fails stays in logs/
# with its traceback.
import os
from functools import cache

from recon.download import registry
from recon.study.needs import needs_of

# A second each, which every job of a cluster would pay for.
figure_code = cache(provenance.figure_code)
notebook_code = cache(lambda notebook: provenance.notebook_code(notebook, CONFIG))


rule notebook:
    input:
        "notebooks/{notebook}.ipynb",
        lambda w: made_from("notebook", w.notebook),
    output:
        f"{RESULTS}/notebooks/{{notebook}}.ipynb",
    params:
        code=lambda w: figure_code(),
        notebook=lambda w: notebook_code(w.notebook),
        pdf=os.environ.get("RECON_PDF", ""),
        here=lambda w: (
            str({n: registry.here(n) for n in registry.datasets()})
            if needs_of(w.notebook, CONFIG).downloads
            else ""
        ),
    log:
        notebook=f"logs/{NAME}/notebooks/{{notebook}}.ipynb",
        text=f"logs/{NAME}/notebooks/{{notebook}}.log",
    threads: CONFIG.threads
    priority: 10  # The first pictures are there while later cases still run.
    resources:
        gpu=GPU,
        mem_mb=memory(2),
    shell:
        "{STEP} notebook {wildcards.notebook:q} {log.notebook:q} > {log.text:q} 2>&1"


rule gallery:
    input:
        made_from("gallery"),
    output:
        f"{FIGURES}/index.html",
        f"{FIGURES}/scorecard.json",
    params:
        code=lambda w: figure_code(),
    log:
        f"logs/{NAME}/gallery.log",
    shell:
        "{STEP} gallery > {log:q} 2>&1"
