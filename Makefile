# make run: everything from a fresh machine to trained and compared U-Nets. make test: the tests.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: run test test-all lint setup

run: setup
	$(BIN)/python experiments/run_unet_matrix.py
	@echo; cat results/summary.md

test: setup
	$(BIN)/python -m pytest -m "not slow"

test-all: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

setup: .venv/installed

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch .venv/installed
