# A prior is trained here, or taken as shipped with the repository. Checkpoints lie outside the declared outputs, so a killed run resumes.


rule prior:
    input:
        lambda w: [CONFIG.priors[w.prior].shipped]
        if CONFIG.priors[w.prior].shipped
        else prepared(CONFIG.priors[w.prior].dataset, "train", "validation") + sources("unet", "diffusion", "training"),
    output:
        f"{RESULTS}/priors/{{prior}}.safetensors",
    params:
        section=lambda w: CONFIG.priors[w.prior].model_dump_json(),
    log:
        f"logs/{NAME}/priors/{{prior}}.log",
    threads: CONFIG.threads
    resources:
        gpu=int(CONFIG.device != "cpu"),
    shell:
        "{STEP} prior {wildcards.prior} > {log} 2>&1"
