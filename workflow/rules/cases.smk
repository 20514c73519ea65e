# One job runs all cases of a comparison for one test subject, so that Python starts and networks
# load only once.


rule cases:
    input:
        f"{RESULTS}/data/{{dataset}}/{{subject}}.h5",
        lambda w: weights(*CONFIG.networks_in(w.comparison, w.dataset)),
        lambda w: tuned(w.dataset, CONFIG.methods_in(w.comparison, w.dataset)),
    output:
        f"{RESULTS}/tables/{{comparison}}/{{dataset}}/{{subject}}.csv",
    params:
        section=CONFIG.model_dump_json(
            include={"accelerations", "mask", "maps", "device", "threads"}
        ),
        methods=lambda w: {
            method: CONFIG.methods[method]
            for method in CONFIG.methods_in(w.comparison, w.dataset)
        },
        dataset=lambda w: CONFIG.datasets[w.dataset].model_dump_json(include=provenance.ASKED),
        comparison=lambda w: CONFIG.comparisons[w.comparison].model_dump_json(),
        code=lambda w: provenance.cases_code(CONFIG, w.comparison, w.dataset),
    log:
        f"logs/{NAME}/cases/{{comparison}}/{{dataset}}/{{subject}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    shell:
        "{STEP} cases {wildcards.comparison} {wildcards.dataset} {wildcards.subject} > {log} 2>&1"
