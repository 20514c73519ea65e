# One job runs all cases of a comparison for one test subject, so that Python starts and networks
# load only once.


rule cases:
    input:
        lambda w: made_from("cases", w.comparison, w.dataset, w.subject),
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
        networks=lambda w: provenance.networks_used(
            CONFIG, CONFIG.networks_in(w.comparison, w.dataset)
        ),
        chosen=lambda w: provenance.chosen_from(CONFIG, w.comparison, w.dataset),
        code=lambda w: provenance.cases_code(CONFIG, w.comparison, w.dataset),
    log:
        f"logs/{NAME}/cases/{{comparison}}/{{dataset}}/{{subject}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
        mem_mb=memory(8),  # A method keeps several copies of its coil images.
    shell:
        "{STEP} cases {wildcards.comparison:q} {wildcards.dataset:q} {wildcards.subject:q} "
        "> {log:q} 2>&1"
