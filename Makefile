# Everything here works on a machine that has Python 3.11 or newer and make; .venv is made when it is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

# make demo PHOTOS=~/Pictures QUERY="cherry blossoms in spring"
PHOTOS ?=
QUERY ?=
# make test SLOW=1, make test ARGS="-k query"
SLOW ?=
ARGS ?=
export PHOTOS QUERY
# The slow tests measure, kill and fill disks, and want the machine for themselves.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile

.PHONY: help demo test bench docs lint check clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## index sample photos and run three queries; yours: PHOTOS=~/Pictures QUERY="..."
	@$(BIN)/python examples/demo.py --photos "$$PHOTOS" --query "$$QUERY"

test: $(INSTALLED)  ## run the tests; SLOW=1 runs the slow ones too, ARGS="..." goes to pytest
	$(BIN)/python -m pytest $(if $(SLOW),-m "slow or not slow",$(SIDE_BY_SIDE)) $(ARGS)

bench: $(INSTALLED)  ## measure speed and memory beside rclip; on your photos: PHOTOS=~/Pictures; takes half an hour
	test -n "$$PHOTOS" || $(BIN)/python examples/demo.py
	for benchmark in indexing latency; do \
		$(BIN)/python benchmarks/$$benchmark.py --pictures "$${PHOTOS:-.demo/sample-photos}" || exit 1; \
	done
	$(BIN)/python benchmarks/refresh.py
	$(BIN)/python benchmarks/training.py

docs: $(INSTALLED)  ## take the pictures of the page in docs/, which needs the system's Chromium
	$(BIN)/python -m examples.screenshots

lint: $(INSTALLED)  ## ruff, mypy and the contract between the packages
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test  ## lint and test

clean:  ## remove .venv, the demo's library, the benchmarks' peer and all caches
	rm -rf $(VENV) .demo .bench .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp, so that pip runs again only when what is to be installed has changed.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,raw,serve,postgresql,s3,milvus,ray,demo,dev]"
	@touch $@
