# Each target sets itself up: .venv is made, and filled, when requirements.txt or pyproject.toml change.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 8000
SITE ?= _build/html
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2
# Checks the shapes in annotations at every call. Tests of the book, which call a thousand times, would take twice as long.
SHAPES := --jaxtyping-packages=dfa_lib,dfa_book,type_checker.checked

.DEFAULT_GOAL := help
.PHONY: help book pdf teach test test-long test-site bench serve clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "make %-9s %s\n", $$1, $$2 }'

$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12"; exit 1; }
	@echo "Installing the pinned packages into $(VENV): this takes some minutes."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

book: $(VENV)/.installed ## train everything on the bundled digits and build the site in _build/html
	$(BIN)/dfa-book build

pdf: $(VENV)/.installed ## print the whole book as _build/book.pdf, with Chromium
	@test -f _build/html/index.html || $(MAKE) book
	$(BIN)/dfa-book pdf

teach: $(VENV)/.installed ## write notebooks for students, for instructors and for graders into _build/teach
	$(BIN)/dfa-book teach

test: $(VENV)/.installed ## check style, types and spelling, and run every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/codespell
	$(PYTEST) --dist loadfile --no-loadscope-reorder $(SHAPES) tests/library tests/experiments
	$(PYTEST) --dist loadfile --no-loadscope-reorder tests/book tests/site

test-long: $(VENV)/.installed ## run the tests that take minutes: attacks on everything, which are counted
	$(PYTEST) -m long --dist load $(SHAPES)

test-site: $(VENV)/.installed ## look at the built site, in Chromium too: equations, links, weight, accessibility
	@test -f $(SITE)/index.html || { echo "There is no site in $(SITE) yet: run make book first."; exit 1; }
	$(BIN)/python -m pytest tests/site/test_site.py tests/site/test_browser.py --site $(SITE)

bench: $(VENV)/.installed ## measure how fast the library trains, in some minutes (see benchmarks/README.md)
	$(BIN)/python benchmarks/engine.py

serve: $(VENV)/.installed ## show the built site at http://localhost:8000 (PORT=… for another)
	@test -f _build/html/index.html || { echo "There is no site yet: run make book first."; exit 1; }
	@$(BIN)/python -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2>/dev/null || \
		{ echo "Port $(PORT) is in use: try another, make serve PORT=9000."; exit 1; }
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) _build .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
