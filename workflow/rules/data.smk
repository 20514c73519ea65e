# One prepared volume per subject: k-space, maps, reference, noise level (training volumes: the reference only).


def prepared(dataset, *splits):
    return [f"{RESULTS}/data/{dataset}/{s}.h5" for split in splits for s in getattr(CONFIG.datasets[dataset], split)]


rule prepare:
    input:
        sources("phantoms", "coils", "fourier", "data", "io", "resample"),
    output:
        f"{RESULTS}/data/{{dataset}}/{{subject}}.h5",
    params:
        section=lambda w: CONFIG.datasets[w.dataset].model_dump_json(exclude=CHOICES),
        source=lambda w: str(fingerprint(CONFIG.datasets[w.dataset], w.subject)),
        training=lambda w: w.subject in map(str, CONFIG.datasets[w.dataset].train),
    log:
        f"logs/{NAME}/prepare/{{dataset}}/{{subject}}.log",
    priority: 20  # seconds each, and every other job waits for some
    shell:
        "{STEP} prepare {wildcards.dataset} {wildcards.subject} > {log} 2>&1"
