# Each target makes its own .venv from the hash-pinned lock; nothing else is needed than Python 3.11
# to 3.14: PYTHON=python3.13. A .venv that another Python made is made anew.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
BY := $(shell $(PYTHON) -c 'import platform; print(platform.python_version())' 2> /dev/null)

.PHONY: demo smoke check test test-full nightly plan gpu-kit check-installs release lock
.DELETE_ON_ERROR:

define install
	$(PYTHON) -m fusionjax.requirements
	$(PYTHON) -m venv --clear $(1)
	$(1)/bin/pip install --quiet --no-deps --require-hashes -r $(2)
	$(1)/bin/pip install --quiet --no-deps --no-build-isolation -e .
	touch $@
endef

$(VENV)/.installed-$(BY): requirements.lock pyproject.toml
	$(call install,$(VENV),$<)

demo: $(VENV)/.installed-$(BY)
	$(BIN)/python launch/train.py --config=configs/demo.py --seeds=5
	$(BIN)/python launch/evaluate.py --config=configs/demo.py --run=runs/demo
	$(BIN)/python launch/report.py --config=configs/demo.py --run=runs/demo

# Prepare, train, stop, resume, evaluate, predict at toy widths: does it run on this Python?
smoke: $(VENV)/.installed-$(BY)
	$(BIN)/python benchmarks/smoke.py

# Workers take up to 6 GB each: WORKERS=4 where there is more.
WORKERS ?= 2
PYTEST = $(BIN)/pytest -n $(WORKERS) --dist worksteal --ignore=tests/multiprocess
# Alone: who is slow or hangs is told by the clock.
ALONE = $(BIN)/pytest tests/multiprocess

check: $(VENV)/.installed-$(BY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What a developer runs before every push; CI tries more examples of hostile input.
test: export FUZZ_EXAMPLES = 40
test: check
	$(PYTEST) -m "not slow and not nightly and not aot"
	$(ALONE) -m "not slow and not nightly"

# What CI runs after every push.
test-full: check
	$(PYTEST) -m "not nightly and not aot"
	$(ALONE) -m "not nightly"

# What is left: once a night, and before a release.
nightly: plan check-installs
	$(PYTEST) -m nightly
	$(ALONE) -m nightly

# The cluster's program, compiled without a GPU: a second environment, as its compiler has 7 GB.
.venv-cuda12/.installed-$(BY): requirements-cuda12.lock pyproject.toml
	$(call install,.venv-cuda12,$<)

plan: .venv-cuda12/.installed-$(BY)
	.venv-cuda12/bin/pytest -s -m aot  # runs launch/plan.py, and shows what it says

# What docs/gpu.md carries to a machine with a GPU and no network.
gpu-kit: $(VENV)/.installed-$(BY)
	$(BIN)/python benchmarks/gpu_kit.py

# Asks the package index what pip would bring by each documented line.
check-installs: $(VENV)/.installed-$(BY)
	$(BIN)/pytest tests/e2e/check_installs.py

# What an index would get, in dist/: the wheel is built from the sdist, as conda-forge does it (needs uv).
release:
	rm -rf dist
	uv build --quiet
	uvx --quiet twine check --strict dist/*

LOCK = uv pip compile pyproject.toml --universal --python-version=3.11 --generate-hashes --no-header \
	--quiet --extra=text --extra=media --extra=serve --extra=plots --extra=cluster --extra=mlflow --extra=dev --group=weights

# After a change of dependencies: one lock for all Pythons. Versions stay where they still fit;
# make lock UPGRADE="-P jax -P flax" takes the newest of these, UPGRADE=--upgrade of all.
lock:
	$(LOCK) $(UPGRADE) -o requirements.lock
	$(LOCK) $(UPGRADE) --extra=cuda12 --constraint=requirements.lock -o requirements-cuda12.lock
