# All methods at all accelerations for one test subject: one job, so that starting Python and loading the prior are paid once.


rule cases:
    input:
        f"{RESULTS}/data/{{dataset}}/{{subject}}.h5",
        lambda w: f"{RESULTS}/priors/{CONFIG.prior_of(w.dataset)}.safetensors",
        lambda w: expand(f"{RESULTS}/tuning/{w.dataset}/{{method}}.json", method=CONFIG.methods),
        sources("methods", "sense", "wavelets", "masks", "metrics", "experiments"),
    output:
        f"{RESULTS}/tables/{{dataset}}/{{subject}}.csv",
    params:
        methods=CONFIG.model_dump_json(include={"methods", "accelerations", "mask", "maps"}),
    log:
        f"logs/{NAME}/cases/{{dataset}}/{{subject}}.log",
    threads: CONFIG.threads
    resources:
        gpu=int(CONFIG.device != "cpu"),
    shell:
        "{STEP} cases {wildcards.dataset} {wildcards.subject} > {log} 2>&1"
