# Notebooks make the figures, and the gallery gathers them. A notebook that fails stays in logs/
# with its traceback.
import os

from recon.download import registry


def needs(notebook):
    return needs_of(Path("notebooks") / f"{notebook}.ipynb", CONFIG)


def inputs_of(notebook):
    """The files that a notebook reads, as its metadata says."""
    found = needs(notebook)
    files = [
        str(WORKSPACE.table_path(name, d, s))
        for name in found.comparisons
        for d, s in CONFIG.compared(name)
    ]
    files += [str(WORKSPACE.data_path(d, s)) for d, s in found.volumes]
    files += weights(*found.networks)
    return files + [record for dataset in found.tuned for record in tuned(dataset)]


rule notebook:
    input:
        "notebooks/{notebook}.ipynb",
        lambda w: inputs_of(w.notebook),
    output:
        f"{RESULTS}/notebooks/{{notebook}}.ipynb",
    params:
        code=provenance.figure_code(),
        pdf=os.environ.get("RECON_PDF", ""),
        here=lambda w: (
            str({n: registry.here(n) for n in registry.datasets()})
            if needs(w.notebook).downloads
            else ""
        ),
    log:
        notebook=f"logs/{NAME}/notebooks/{{notebook}}.ipynb",
        text=f"logs/{NAME}/notebooks/{{notebook}}.log",
    threads: CONFIG.threads
    priority: 10  # The first pictures are there while later cases still run.
    resources:
        gpu=GPU,
    shell:
        "{STEP} notebook {wildcards.notebook:q} {log.notebook:q} > {log.text:q} 2>&1"


rule gallery:
    input:
        expand(f"{RESULTS}/notebooks/{{notebook}}.ipynb", notebook=CONFIG.notebooks),
    output:
        f"{FIGURES}/index.html",
        f"{FIGURES}/scorecard.json",
    params:
        code=provenance.figure_code(),
    log:
        f"logs/{NAME}/gallery.log",
    shell:
        "{STEP} gallery > {log:q} 2>&1"
