# Every method's parameters, chosen on validation volumes by the same number of trials; a shipped record is used where it lies.


def tuned(dataset):
    made = expand(f"{RESULTS}/tuning/{dataset}/{{method}}.json", method=CONFIG.methods_on(dataset))
    return [CONFIG.tuning.shipped] if CONFIG.tuning.shipped else made


rule tune:
    input:
        lambda w: prepared(w.dataset, "validation") + prior_file(w.dataset),
        lambda w: sources_of(w.method),
        sources("tuning"),
    output:
        f"{RESULTS}/tuning/{{dataset}}/{{method}}.json",
    params:
        method=lambda w: CONFIG.methods[w.method],
        dataset=lambda w: CONFIG.datasets[w.dataset].model_dump_json(include=ASKED),
        section=CONFIG.model_dump_json(include={"tuning", "mask", "maps", "seed", "device", "threads"}),
    log:
        f"logs/{NAME}/tuning/{{dataset}}/{{method}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    shell:
        "{STEP} tune {wildcards.dataset} {wildcards.method} > {log} 2>&1"
