# Notebooks make the figures; the gallery gathers them. A notebook that fails stays in logs/ with its traceback.


rule notebook:
    input:
        "notebooks/{notebook}.ipynb",
        [f"{RESULTS}/tables/{d}/{s}.csv" for d, section in CONFIG.datasets.items() for s in section.test],
        sources("plots", "claims"),
    output:
        f"{RESULTS}/notebooks/{{notebook}}.ipynb",
    log:
        notebook=f"logs/{NAME}/notebooks/{{notebook}}.ipynb",
        text=f"logs/{NAME}/notebooks/{{notebook}}.log",
    threads: CONFIG.threads
    resources:
        gpu=int(CONFIG.device != "cpu"),
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
