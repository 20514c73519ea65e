# Every method's parameters, chosen on validation volumes by the same number of trials; or taken as shipped.


rule tune:
    input:
        lambda w: [CONFIG.tuning.shipped]
        if CONFIG.tuning.shipped
        else prepared(w.dataset, "validation")
        + [f"{RESULTS}/priors/{p}.safetensors" for p, section in CONFIG.priors.items() if section.dataset == w.dataset]
        + sources("methods", "sense", "wavelets", "masks", "tuning"),
    output:
        f"{RESULTS}/tuning/{{dataset}}/{{method}}.json",
    params:
        section=lambda w: CONFIG.tuning.model_dump_json(),
        mask=CONFIG.mask.model_dump_json(),
    log:
        f"logs/{NAME}/tuning/{{dataset}}/{{method}}.log",
    threads: CONFIG.threads
    resources:
        gpu=int(CONFIG.device != "cpu"),
    shell:
        "{STEP} tune {wildcards.dataset} {wildcards.method} > {log} 2>&1"
