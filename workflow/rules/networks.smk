# Training. Checkpoints lie outside the declared outputs, so a killed run resumes. Shipped weights
# are used where they lie.


def weights(*names):
    return [str(WORKSPACE.network_path(name)) for name in names]


rule network:
    input:
        lambda w: prepared(CONFIG.networks[w.network].dataset, "train", "validation"),
    output:
        f"{RESULTS}/networks/{{network}}.safetensors",
    params:
        section=lambda w: (
            CONFIG.networks[w.network]
            .model_copy(update=CONFIG.told(w.network))
            .model_dump_json()
        ),
        code=lambda w: provenance.training_code(CONFIG.networks[w.network]),
    log:
        f"logs/{NAME}/networks/{{network}}.log",
    threads: CONFIG.threads
    resources:
        gpu=GPU,
    shell:
        "{STEP} network {wildcards.network:q} > {log:q} 2>&1"
