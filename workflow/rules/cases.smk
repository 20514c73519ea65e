# All cases of a comparison for one test subject: one job, so that starting Python and loading priors are paid once.


def priors_of(comparison, dataset):
    named = CONFIG.comparisons[comparison].priors_for(dataset)
    return [f for name in named for f in weights(name)] if named else prior_file(dataset)


rule cases:
    input:
        f"{RESULTS}/data/{{dataset}}/{{subject}}.h5",
        lambda w: priors_of(w.comparison, w.dataset) + tuned(w.dataset),
        lambda w: sources_of(*(CONFIG.comparisons[w.comparison].methods or CONFIG.methods)),
    output:
        f"{RESULTS}/tables/{{comparison}}/{{dataset}}/{{subject}}.csv",
    params:
        section=CONFIG.model_dump_json(include={"methods", "accelerations", "mask", "maps", "device", "threads"}),
        dataset=lambda w: CONFIG.datasets[w.dataset].model_dump_json(include=ASKED),
        comparison=lambda w: CONFIG.comparisons[w.comparison].model_dump_json(),
    log:
        f"logs/{NAME}/cases/{{comparison}}/{{dataset}}/{{subject}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    shell:
        "{STEP} cases {wildcards.comparison} {wildcards.dataset} {wildcards.subject} > {log} 2>&1"
