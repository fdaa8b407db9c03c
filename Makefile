# make run: from a fresh machine to trained and compared U-Nets. make page: opens the page in the browser.
# make test: the tests. make test-slow: those that take minutes (kills and resumes of whole runs, several devices, a real
# browser), with the optional packages installed.
PYTHON ?= python3
BIN = .venv/bin
# Python compiles what is imported, when it is: all of the packages at once take half a minute.
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# A test keeps one core busy, so two run at a time. Neighbours stay together as far as they can: they share what is trained.
PYTEST = $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: run page test test-slow lint setup

run: setup
	$(BIN)/python experiments/run_unet_matrix.py

page: .venv/page
	$(BIN)/python experiments/app.py

test: setup
	$(PYTEST) -m "not slow"

test-slow: .venv/extras
	$(PYTEST) -m slow

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

setup: .venv/installed

.venv/installed: requirements.txt
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.txt
	@touch .venv/installed

.venv/page: .venv/installed pyproject.toml
	$(PIP) -e ".[app]"
	@touch .venv/page

.venv/extras: .venv/installed pyproject.toml
	$(PIP) -e ".[export,jax,app,browser-test,pretrained]"
	@touch .venv/extras
