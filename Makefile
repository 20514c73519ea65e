# Everything runs in .venv, made from requirements.lock on first use.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
CONFIG ?= demo
PROFILE ?= default
FILES ?= 2000
SEED ?= 0
# Files to make instead of all figures, for example one table of results/.
TARGET ?=
# What test-slurm runs on its cluster; tiny.yaml has one of everything.
SLURM_CONFIG ?= smoke
# The shell takes these as they are, whatever characters they have.
export CONFIG PROFILE
INSTALLED := .venv/.installed

.PHONY: setup figures plan test test-slurm lab bench gpu fuzz kills rehearsal load docs clean

setup: $(INSTALLED)

figures: $(INSTALLED)
	.venv/bin/python -m workflow.scripts.run \
	    --profile "workflow/profiles/$$PROFILE" --config "run=$$CONFIG" \
	    -- $(TARGET)

plan: $(INSTALLED)
	@.venv/bin/python -m recon plan "$$CONFIG"

test: $(INSTALLED)
	.venv/bin/ruff check .
	.venv/bin/python -m pytest -q -n 2 --dist loadfile

test-slurm: $(INSTALLED)
	@PATH="$$PATH:/usr/sbin"; \
	    { command -v slurmctld && command -v munged; } > /dev/null || \
	    { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	      apt-get install -y -qq --no-install-recommends slurm-wlm munge; } || \
	    { echo "SLURM and munge are needed; as root on Debian they are installed"; exit 1; }
	SLURM_CONFIG=$(SLURM_CONFIG) .venv/bin/python -m pytest -q -rs -m slurm tests/workflow

# As recon does itself (recon/__init__.py); notebooks load torch before it.
ifndef OMP_WAIT_POLICY
lab: export GOMP_SPINCOUNT ?= 3000
endif
lab: $(INSTALLED)
	.venv/bin/jupyter lab notebooks/00_start_here.ipynb

# A thousand small cases, of which `make test` runs two hundred.
load: $(INSTALLED)
	LOAD_CASES=1000 .venv/bin/python -m pytest -q tests/study/test_load.py

docs: $(INSTALLED)
	.venv/bin/mkdocs build --quiet --clean

bench: $(INSTALLED)
	.venv/bin/python -m tests.bench.run
	.venv/bin/python -m tests.bench.neighbours
	.venv/bin/python -m tests.bench.infusion
	.venv/bin/python -m tests.bench.memory_of_methods
	.venv/bin/python -m tests.bench.memory_of_methods --networks

# The papers' configurations, with all of their subjects, on small stand-ins for their data. With
# PROFILE=slurm the jobs go through a virtual cluster on this machine.
rehearsal: $(INSTALLED)
	OMP_NUM_THREADS=1 .venv/bin/python -m tests.workflow.rehearsal --profile "$$PROFILE" \
	    results/rehearsal

gpu: $(INSTALLED)
	.venv/bin/python -m pytest -q -m gpu tests
	.venv/bin/python -m tests.bench.run --device cuda

fuzz: $(INSTALLED)
	FUZZ_EXAMPLES=$(FILES) OMP_NUM_THREADS=1 .venv/bin/python -m pytest -q -n 2 \
	    tests/commands/test_options_fuzz.py tests/study/test_config_fuzz.py
	OMP_NUM_THREADS=1 .venv/bin/python -m tests.fuzz --files $(FILES) --seed $(SEED)

# Kills a run in every phase and compares with an undisturbed one: the tests do it to a tiny run.
kills: $(INSTALLED)
	KILLED_CONFIG=$(if $(filter demo,$(CONFIG)),tiny.yaml,$(CONFIG)) SEED=$(SEED) \
	    .venv/bin/python -m pytest -q tests/workflow/test_kills.py

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	    { echo "Python 3.11 is needed; give its path: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.lock
	.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@# A torch for GPUs brings its own Triton. Without a GPU the kernels are tested in its interpreter.
	@.venv/bin/python -c 'import triton' 2> /dev/null || \
	    .venv/bin/pip install --quiet --disable-pip-version-check --no-deps triton==3.9.0
	@touch $@

clean:
	rm -rf results logs .snakemake
