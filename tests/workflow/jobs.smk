# Jobs that say where they run, and jobs that end badly. Run with workflow/profiles/slurm.
import os
import subprocess
import sys
from pathlib import Path

import psutil

BAD = ["fails", "is_cancelled", "loses_its_step", "loses_its_batch"]


def kill_daemon_of(step):
    """Kills the process of SLURM that watches over a step of this job."""
    job, node = os.environ["SLURM_JOB_ID"], os.environ["SLURMD_NODENAME"]
    listed = subprocess.run(["scontrol", "listpids", job, node], capture_output=True, text=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    task = next(pid for pid, _, of_step, local, _ in rows if (of_step, local) == (step, "0"))
    psutil.Process(int(task)).parent().kill()


rule good:
    input:
        "plain.txt",
        "with_gpu.txt",


rule bad:
    input:
        expand("{name}.txt", name=BAD),


rule plain:
    output:
        "plain.txt",
    resources:
        gpu=0,
    run:
        Path(output[0]).write_text(f"{sys.executable}\n{os.environ['SLURMD_NODENAME']}\n")


rule with_gpu:
    output:
        "with_gpu.txt",
    resources:
        gpu=1,
    run:
        Path(output[0]).write_text(f"{sys.executable}\n{os.environ['SLURMD_NODENAME']}\n")


rule fails:
    output:
        "fails.txt",
    shell:
        "exit 3"


rule is_cancelled:
    output:
        "is_cancelled.txt",
    shell:
        "scancel $SLURM_JOB_ID; sleep 600"


# SLURM itself does not see this one: the job ends with its time.
rule loses_its_step:
    output:
        "loses_its_step.txt",
    resources:
        runtime=1,
    run:
        kill_daemon_of("0")
        shell("sleep 600")


rule loses_its_batch:
    output:
        "loses_its_batch.txt",
    run:
        kill_daemon_of("batch")
        shell("exit 1")


rule waits:
    output:
        "waits.txt",
    shell:
        "while [ ! -e go ]; do sleep 1; done; touch {output}"
