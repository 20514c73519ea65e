# Training. Checkpoints lie outside the declared outputs, so a killed run resumes. Shipped weights
# are used where they lie.


rule network:
    input:
        lambda w: made_from("network", w.network),
    output:
        f"{RESULTS}/networks/{{network}}.safetensors",
    params:
        section=lambda w: (
            CONFIG.networks[w.network]
            .model_copy(update=CONFIG.told(w.network))
            .model_dump_json()
        ),
        code=lambda w: provenance.training_code(CONFIG.networks[w.network]),
        start=lambda w: provenance.begun_with(CONFIG, w.network),
    log:
        f"logs/{NAME}/networks/{{network}}.log",
    threads: lambda w: CONFIG.threads * CONFIG.processes_for(w.network)
    resources:
        gpu=lambda w: GPU * CONFIG.processes_for(w.network),
        # All training volumes stay in memory, of every process.
        mem_mb=lambda w, input: CONFIG.processes_for(w.network) * memory(2)(w, input),
    shell:
        "{STEP} network {wildcards.network:q} > {log:q} 2>&1"
