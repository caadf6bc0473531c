# Everything from a fresh clone: each target makes .venv and installs what it needs, once.
#
#   make demo          make test          make check          make help

PIP_ARGS ?=
# The first Python that is new enough; `make PYTHON=/path/to/python …` takes another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

# Images of Python set it; every process that a test or a demo starts would compile all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
# Stamps: `run` has what the demos need, `dev` has that and the tools of tests and checks.
RUN := $(VENV)/installed-run
DEV := $(VENV)/installed-dev

# A test file stays in one process, for what its tests share is made once; files in the order of tests/conftest.py.
# One process more than there are processors: many tests wait for others' processes.
WORKERS ?= $(shell echo $$(( $$(nproc) < 4 ? $$(nproc) + 1 : 4 )))
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help demo demo-office demo-rollback test test-long results bench docs check-style check clean
.DEFAULT_GOAL := help

help:
	@echo "make demo         12 machines whose load and speed change; report in runs/demo/report.html"
	@echo "make demo-office  eight days of a real office; report in runs/office/report.html"
	@echo "make demo-rollback  a bad version is stopped at the first stage and taken back by itself"
	@echo "make test         the tests that CI runs"
	@echo "make test-long    all tests, also those that take minutes"
	@echo "make results      all replays of docs/results.md, five seeds each; two hours on two cores"
	@echo "make bench        the benchmarks of docs/benchmarks.md; half an hour"
	@echo "make docs         the documentation as a site in runs/docs; fails on a broken link"
	@echo "make check        lint, format, types and the fast tests"
	@echo "make clean        removes what these made: .venv, runs and caches"
	@echo
	@echo "PYTHON=…    which Python (3.11 or newer) makes .venv"
	@echo "PIP_ARGS=…  passed to pip: with --extra-index-url and the CPU index that pytorch.org's"
	@echo "            'Get started' page shows, PyTorch is a tenth of the download"

demo: $(RUN)
	$(BIN)/iot-stream demo

demo-office: $(RUN)
	$(BIN)/iot-stream demo --office

demo-rollback: $(RUN)
	$(BIN)/iot-stream demo --rollback

test: $(DEV)
	$(PYTEST) -m "not long"

test-long: $(DEV)
	$(PYTEST)

# Replays whose figures docs/results.md shows: folder.configuration of examples/. Both data sets that are too
# large to ship, or not ours to ship, are made by the prepare.py of their example.
RESULTS := occupancy.config occupancy.upload occupancy.other_split bearing.steady founding_article.config \
	bearing_cwru.student_2000 bearing_cwru.upload bearing_cwru.student_300 \
	gas_drift.batch_late gas_drift.ensemble gas_drift.labels_10 gas_drift.labels_all gas_drift.linear
DATA_gas_drift := --data examples/gas_drift/data/gas_drift.csv.gz
BESIDE_PEERS := gas_drift.batch_late gas_drift.labels_10 gas_drift.labels_all
# So many seeds, all processors at work: the figures do not depend on how many there are.
SEEDS ?= 5
JOBS ?= $(shell nproc)

results: $(RESULTS:%=docs/results/%.json)
	$(BIN)/python docs/generate.py

# Anew each time: make cannot know all that a figure depends on.
always:

docs/results/%.json: $(RUN) always
	$(BIN)/iot-stream replay --config examples/$(subst .,/,$*).yml $(DATA_$(firstword $(subst ., ,$*))) \
		$(if $(filter $*,$(BESIDE_PEERS)),--peers) --seeds $(SEEDS) --jobs $(JOBS) \
		--json $@ --report runs/results/$*.html

# The figures of docs/benchmarks.md; on a machine with nothing else to do.
bench: $(RUN)
	$(BIN)/iot-stream bench ingest --json docs/benchmarks/ingest.json
	$(BIN)/iot-stream bench release --json docs/benchmarks/release.json
	$(BIN)/iot-stream bench device --json docs/benchmarks/device.json
	$(BIN)/iot-stream bench dashboard --json docs/benchmarks/dashboard.json
	$(BIN)/python docs/generate.py

# MkDocs' own news of its next version is not ours to tell.
docs: $(DEV)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

check-style: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

check: check-style
	$(PYTEST) -m "not slow and not long"

clean:
	rm -rf $(VENV) runs build dist *.egg-info .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found. Install one, for example" \
		"'apt install python3 python3-venv', or name it: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments:" \
		"run 'apt install $$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')'"; exit 1; }
	@echo "==> a virtual environment in $(VENV), from $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(RUN): EXTRAS := train,demo,dashboard,monitor
$(DEV): EXTRAS := train,demo,dashboard,monitor,dev
$(RUN) $(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "==> iot-stream with [$(EXTRAS)] into $(VENV); PyTorch alone is some GB, see PIP_ARGS in 'make help'"
	$(BIN)/python -m pip install --constraint constraints.txt $(PIP_ARGS) --editable ".[$(EXTRAS)]"
	@touch $(RUN) $(if $(findstring dev,$(EXTRAS)),$(DEV))
