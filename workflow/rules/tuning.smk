# Every method's parameters are chosen on validation volumes by the same number of trials. A shipped
# record is used where it lies.


def tuned(dataset, methods=CONFIG.methods):
    home = CONFIG.tuned_as(dataset)
    asked = [method for method in CONFIG.tuned_on(home) if method in methods]
    made = [str(WORKSPACE.tuning_path(home, method)) for method in asked]
    return [CONFIG.tuning.shipped] if CONFIG.tuning.shipped else made


rule tune:
    input:
        lambda w: prepared(w.dataset, "validation"),
        lambda w: weights(*CONFIG.serving(w.method, w.dataset)),
    output:
        f"{RESULTS}/tuning/{{dataset}}/{{method}}.json",
    params:
        method=lambda w: CONFIG.methods[w.method],
        dataset=lambda w: CONFIG.datasets[w.dataset].model_dump_json(include=provenance.ASKED),
        section=CONFIG.model_dump_json(
            include={"tuning", "mask", "maps", "seed", "device", "threads"}
        ),
        code=lambda w: provenance.tuning_code(CONFIG, w.method, w.dataset),
    log:
        f"logs/{NAME}/tuning/{{dataset}}/{{method}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    shell:
        "{STEP} tune {wildcards.dataset} {wildcards.method} > {log} 2>&1"
