# make demo · make test · make lint — each makes .venv and installs first where that is not done yet.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TINY := recipes/tiny/full.yaml recipes/tiny/lora.yaml recipes/tiny/lora-int8.yaml
# A fifth of a pass, validated once, instead of the recipes' two to four keeps the demo under five minutes on two slow cores.
DEMO_EPOCHS ?= 0.22

.PHONY: install demo docs notebook test test-slow test-gpu test-e2e lint format clean

install: $(VENV)/.installed

# torch is named first and by its version: a range would fetch gigabytes of CUDA packages on a machine without a GPU.
$(VENV)/.installed: pyproject.toml setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==$$(sed -n 's/^torch==//p' constraints.txt)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev,tensorboard]"
	touch $@

demo: install
	$(BIN)/peftsum compare $(TINY) --set train.epochs=$(DEMO_EPOCHS) --set train.eval_every=1000 --runs-dir runs/demo --adapters-dir runs/demo/adapters --out runs/demo/report

# Strict: a link that leads nowhere fails it. The notice that is switched off advertises another generator.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "site/index.html; for the search: $(BIN)/python -m http.server --directory site"

# Runs every cell, four minutes or so, and stores the outputs.
notebook: install
	$(BIN)/python tools/run_notebook.py

test: install
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not gpu and not network and not e2e"

test-slow: install
	$(BIN)/python -m pytest -m slow

test-gpu: install
	$(BIN)/python -m pytest -m gpu

# Needs Chromium and its driver (Debian: apt-get install chromium chromium-driver). Half a minute of one core.
test-e2e: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[e2e,serve]"
	$(BIN)/python -m pytest -m e2e tests/test_page_browser.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs build site *.egg-info
