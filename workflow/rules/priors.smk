# Training. Checkpoints lie outside the declared outputs, so a killed run resumes; a shipped prior is used where it lies.


def prior_file(dataset):
    name = CONFIG.prior_of(dataset)
    return [] if name is None else weights(name)


def weights(name):
    return [CONFIG.priors[name].shipped or f"{RESULTS}/priors/{name}.safetensors"]


rule prior:
    input:
        lambda w: prepared(CONFIG.priors[w.prior].dataset, "train", "validation"),
        sources(*TRAINING),
    output:
        f"{RESULTS}/priors/{{prior}}.safetensors",
    params:
        section=lambda w: CONFIG.priors[w.prior].model_dump_json(),
    log:
        f"logs/{NAME}/priors/{{prior}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    shell:
        "{STEP} prior {wildcards.prior} > {log} 2>&1"
