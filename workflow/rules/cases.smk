# All methods at all accelerations for one test subject: one job, so that starting Python and loading the prior are paid once.


rule cases:
    input:
        f"{RESULTS}/data/{{dataset}}/{{subject}}.h5",
        lambda w: prior_file(w.dataset) + tuned(w.dataset),
        sources(*CODE, "experiments"),
    output:
        f"{RESULTS}/tables/{{dataset}}/{{subject}}.csv",
    params:
        section=CONFIG.model_dump_json(include={"methods", "accelerations", "mask", "maps", "device", "threads"}),
    log:
        f"logs/{NAME}/cases/{{dataset}}/{{subject}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    shell:
        "{STEP} cases {wildcards.dataset} {wildcards.subject} > {log} 2>&1"
