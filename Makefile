# The project's commands. PYTHON names the interpreter of the environment that is made: 3.11 to 3.14.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help install demo test test-image check chaos specs e2e bench bench-gpu clean

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

install: $(VENV)/.installed  ## make .venv with everything, versions from constraints.txt

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || { echo "needs Python 3.11 to 3.14: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip -c constraints.txt
	$(BIN)/python -m pip install --quiet --editable '.[dev]' -c constraints.txt
	@touch $@

demo: install  ## cluster, sweep, test table on this machine in under five minutes
	@$(BIN)/cifar-ray demo

check: install  ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check  ## check, then the tests (not chaos, image, bench and compiles), a file at a time on each of two processes
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test-image: install  ## take the steps of the Dockerfile in a folder, and try what they have installed: a minute or two
	$(BIN)/python -m pytest -m image tests/image

CHAOS := PYTHONPATH=tests $(BIN)/python -m pytest -p fault_table

# both halves run, whatever the first finds; the second prints the rows of both. 5: ARGS left no test of a half
chaos: install  ## break processes, nodes, stores and disks in mid-sweep, check the records, print a table of it: 20 to 50 min
	@rm -f benchmarks/out/chaos.json
	@$(CHAOS) -m 'fault and not alone' --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS); first=$$?; \
	$(CHAOS) -m 'fault and alone' --faults-before benchmarks/out/chaos.json $(ARGS); second=$$?; \
	for each in $$first $$second; do [ $$each = 0 ] || [ $$each = 5 ] || exit $$each; done

specs: install  ## render cluster/ray*.yaml from the chart
	$(BIN)/python tests/helm/cluster_specs.py

e2e: install  ## install the chart on a Kubernetes in Docker (kind), test, sweep, evaluate, RayJobs, uninstall: needs docker, kind, helm, kubectl
	tests/cluster/on_kubernetes/kind.sh $(ARGS)

bench: install  ## measure against the public tutorials on this machine: about 75 min; ARGS="--quick" to try it
	$(BIN)/python -m pytest -m bench tests/benchmarks
	$(BIN)/python -m benchmarks $(ARGS)

# needs neither Ray nor a network, so it takes PYTHON where there is no environment
bench-gpu:  ## measure one GPU, without Ray; ARGS="--to-accuracy" for the seconds to 92.37 and 95 %
	PYTHONPATH=src $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m benchmarks.gpu $(ARGS)

clean:  ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
