# One prepared volume per subject: k-space, maps, reference and noise level. A training volume keeps
# only what some training asks for.


def prepared(dataset, *splits):
    return [
        str(WORKSPACE.data_path(dataset, s))
        for split in splits
        for s in getattr(CONFIG.datasets[dataset], split)
    ]


rule prepare:
    output:
        f"{RESULTS}/data/{{dataset}}/{{subject}}.h5",
    params:
        made_from=lambda w: str(
            provenance.preparation(
                CONFIG.datasets[w.dataset], w.subject, CONFIG.reference_only(w.dataset, w.subject)
            )
        ),
    log:
        f"logs/{NAME}/prepare/{{dataset}}/{{subject}}.log",
    priority: 20  # These jobs take seconds each, and every other job waits for some of them.
    shell:
        "{STEP} prepare {wildcards.dataset:q} {wildcards.subject:q} > {log:q} 2>&1"
