# Notebooks make the figures; the gallery gathers them. A notebook that fails stays in logs/ with its traceback.


def needs(notebook):
    """What a notebook reads: the tables of its comparisons; the introductions do not wait for any."""
    if notebook == "02_phantoms":
        return []
    if notebook == "01_data":
        return [f"{RESULTS}/data/{d}/{section.test[0]}.h5" for d, section in CONFIG.datasets.items()]
    if notebook == "00_start_here":
        dataset, section = next(iter(CONFIG.datasets.items()))
        return [f"{RESULTS}/data/{dataset}/{section.test[0]}.h5"] + prior_file(dataset) + tuned(dataset)
    return [f"{RESULTS}/tables/{name}/{d}/{s}.csv" for name in CONFIG.shown_in(notebook) for d, s in CONFIG.compared(name)]


rule notebook:
    input:
        "notebooks/{notebook}.ipynb",
        lambda w: needs(w.notebook),
        sources("plots", "claims"),
    output:
        f"{RESULTS}/notebooks/{{notebook}}.ipynb",
    params:
        here=lambda w: str({n: registry.here(n) for n in registry.datasets()}) if w.notebook == "01_data" else "",
    log:
        notebook=f"logs/{NAME}/notebooks/{{notebook}}.ipynb",
        text=f"logs/{NAME}/notebooks/{{notebook}}.log",
    threads: CONFIG.threads
    priority: 10  # pictures early: the first is there while later cases still run
    resources:
        gpu=GPU,
    shell:
        "{STEP} notebook {wildcards.notebook} {log.notebook} > {log.text} 2>&1"


rule gallery:
    input:
        expand(f"{RESULTS}/notebooks/{{notebook}}.ipynb", notebook=CONFIG.notebooks),
        sources("claims"),
        "workflow/scripts/gallery.py",
    output:
        f"{FIGURES}/index.html",
        f"{FIGURES}/scorecard.json",
    log:
        f"logs/{NAME}/gallery.log",
    shell:
        "{STEP} gallery > {log} 2>&1"
