# Every method's parameters are chosen on validation volumes by the same number of trials. A shipped
# record is used where it lies.


rule tune:
    input:
        lambda w: made_from("tune", w.dataset, w.method),
    output:
        f"{RESULTS}/tuning/{{dataset}}/{{method}}.json",
    params:
        method=lambda w: CONFIG.methods[w.method],
        dataset=lambda w: CONFIG.datasets[w.dataset].model_dump_json(include=provenance.ASKED),
        at=lambda w: CONFIG.tuned_at(w.dataset, w.method),
        subjects=lambda w: CONFIG.chosen_on(w.dataset),
        networks=lambda w: provenance.networks_used(CONFIG, CONFIG.serving(w.method, w.dataset)),
        section=CONFIG.model_dump_json(
            include={"tuning", "mask", "maps", "seed", "device", "threads"}
        ),
        code=lambda w: provenance.tuning_code(CONFIG, w.method, w.dataset),
    log:
        f"logs/{NAME}/tuning/{{dataset}}/{{method}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
        mem_mb=memory(8),
    shell:
        "{STEP} tune {wildcards.dataset:q} {wildcards.method:q} > {log:q} 2>&1"
