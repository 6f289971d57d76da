# Each command does its own set-up (a virtual environment in .venv, with the versions of constraints.txt):
#   make demo        train on embedded phantom images, then scores, overlays and a report in demo/
#   make test        style, types and the tests that need nothing but Python and little time
#   make test-more   slow tests, and those that need other programs, such as a browser; one whose program is absent is skipped
#   make docs        the documentation as a site in site/, with the reference made from the code; every link is followed

VENV := .venv
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.installed-docs
# Tried in this order; a name counts only if it runs, is 3.11 or newer and can make virtual environments.
PYTHONS := python3.13 python3.12 python3.11 python3 python
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

.PHONY: help demo test test-more docs

help:
	@sed -n 's/^#   make/make/p' Makefile

# demo/ holds nothing but an earlier demo's output.
demo: $(STAMP)
	@if [ -e demo ] && [ ! -d demo/phantoms ]; then echo "demo/ is no earlier demo; move it away" >&2; exit 1; fi
	rm -rf demo
	$(VENV)/bin/delineate demo --out demo

test: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal -m "not more and not slow"

test-more: $(DOCS_STAMP)
	$(VENV)/bin/python -m pytest -n 2 --dist worksteal -m "more or slow"

docs: $(DOCS_STAMP)
	$(VENV)/bin/python docs/build_site.py site

$(DOCS_STAMP): $(STAMP)
	$(VENV)/bin/python -m pip install --quiet --no-input --editable '.[dev,docs]' --constraint constraints.txt
	@touch $(DOCS_STAMP)

$(STAMP): pyproject.toml constraints.txt
	@python=; if ! $(VENV)/bin/python -c '$(USABLE)' 2>/dev/null; then \
	  for name in $(PYTHONS); do \
	    if $$name -c '$(USABLE)' 2>/dev/null; then python=$$name; break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "Delineate needs Python 3.11 or newer with its venv module; tried: $(PYTHONS)" >&2; exit 1; \
	  fi; \
	  echo "creating $(VENV) with $$($$python --version)"; \
	  $$python -m venv --clear $(VENV); \
	fi
	$(VENV)/bin/python -m pip install --quiet --no-input --editable '.[dev]' --constraint constraints.txt
	@touch $(STAMP)
